/** Programs whose arguments are a command again. */
const wrappers = new Set(
  'exec command env xargs nice nohup time sudo setpriv timeout tini dumb-init eval setsid ionice catatonit stdbuf'.split(
    ' ',
  ),
);

/** The same with one operand before the command: a user, a directory, a lock file. */
const operandWrappers = new Set('gosu su-exec s6-setuidgid chpst chroot flock'.split(' '));

/** Reserved words after which a command follows, and such that end something. */
const openers = new Set('then do else elif if while until ! { }'.split(' '));
const closers = new Set('fi done esac'.split(' '));

export interface ScriptWords {
  /** Words that stand where a command does, in order of appearance. */
  commands: Set<string>;
  /** Absolute paths anywhere in the script. */
  paths: Set<string>;
}

/**
 * The commands that a POSIX shell script names, found by a tokeniser that knows quotes, comments,
 * substitutions and here-documents, but runs nothing: a command in a variable is not seen.
 */
export function shellWords(script: string): ScriptWords {
  const tokeniser = new Tokeniser(script);
  tokeniser.run();
  return tokeniser.grammar;
}

/** Decides by position which words are commands. */
class Grammar implements ScriptWords {
  readonly commands = new Set<string>();
  readonly paths = new Set<string>();
  caseDepth = 0;
  private expecting = true;
  private wrapped = false;
  private operands = 0;

  startCommand(): void {
    this.expecting = true;
    this.wrapped = false;
    this.operands = 0;
  }

  /** After a substitution within a word: the command that the word belongs to goes on. */
  resumeArguments(): void {
    this.expecting = false;
  }

  redirectionTarget(word: string): void {
    this.notePath(word);
  }

  word(word: string): void {
    this.notePath(word);
    if (word === 'case') this.caseDepth++;
    if (word === 'esac' && this.caseDepth > 0) this.caseDepth--;
    if (!this.expecting || openers.has(word) || /^[A-Za-z_]\w*=/.test(word)) return;
    if (this.wrapped && /^[-\d]/.test(word)) return;
    if (this.operands > 0) {
      this.operands--;
      return;
    }
    this.expecting = false;
    if (closers.has(word)) return;
    if (/^[\w./+@[\]][\w./+@[\]-]*$/.test(word)) this.commands.add(word);
    this.wrapped = wrappers.has(word) || operandWrappers.has(word);
    if (this.wrapped) this.expecting = true;
    if (operandWrappers.has(word)) this.operands = 1;
  }

  private notePath(word: string): void {
    const path = /^(?:[A-Za-z_]\w*=)?(\/[\w.+@%/-]+)$/.exec(word)?.[1];
    if (path !== undefined) this.paths.add(path.replace(/\/+$/, ''));
  }
}

/** Splits a script into words and tells the grammar where commands start. */
class Tokeniser {
  readonly grammar = new Grammar();
  private at = 0;
  private word = '';
  private inQuotes = false;
  private redirection: '' | '<<' | '>' = '';
  private readonly hereDocuments: string[] = [];
  /** Open parentheses; of a `$(` whether it stands within double quotes. */
  private readonly open: ('(' | '$(' | '"$(')[] = [];

  constructor(private readonly script: string) {}

  run(): void {
    while (this.at < this.script.length) this.step();
    this.endWord();
  }

  private step(): void {
    const char = this.script[this.at] ?? '';
    const next = this.script[this.at + 1] ?? '';
    if (char === '\\') {
      if (next !== '\n') this.word += next;
      this.at += 2;
    } else if (char === '$' && next === '(') this.openSubstitution();
    else if (char === '"') {
      this.inQuotes = !this.inQuotes;
      this.at++;
    } else if (char === '`') this.startCommand();
    else if (this.inQuotes) this.take(char);
    else if (char === "'") this.word += this.readPast("'", 1);
    else if (char === '#' && this.word === '') this.skipComment();
    else if (char === '\n') this.endLine();
    else if (char === '(') {
      this.open.push('(');
      this.startCommand();
    } else if (char === ')') this.close();
    else if (char === ';' || char === '|' || char === '&') this.startCommand();
    else if (char === '<' || char === '>') this.redirect(char);
    else if (/\s/.test(char)) {
      this.endWord();
      this.at++;
    } else this.take(char);
  }

  private take(char: string): void {
    this.word += char;
    this.at++;
  }

  private endWord(): void {
    const { word, redirection } = this;
    if (word === '') return;
    this.word = '';
    this.redirection = '';
    if (redirection === '') this.grammar.word(word);
    else if (redirection === '>') this.grammar.redirectionTarget(word);
    else this.hereDocuments.push(word.replace(/^-/, ''));
  }

  private startCommand(): void {
    this.endWord();
    this.grammar.startCommand();
    this.at++;
  }

  private openSubstitution(): void {
    if (this.script[this.at + 2] === '(') {
      this.word += '$'; // arithmetic names no commands
      this.readPast('))', 2);
      return;
    }
    this.open.push(this.inQuotes ? '"$(' : '$(');
    if (this.inQuotes) this.word = '';
    this.inQuotes = false;
    this.startCommand();
    this.at++;
  }

  private close(): void {
    const opened = this.open.pop();
    // The pattern of an arm of `case` is no command.
    if (opened === undefined && this.grammar.caseDepth > 0) this.word = '';
    this.startCommand();
    this.inQuotes = opened === '"$(';
    if (opened === '$(' || opened === '"$(') this.grammar.resumeArguments();
  }

  private redirect(char: string): void {
    if (/^\d*$/.test(this.word)) this.word = '';
    this.endWord();
    const isHereDocument = char === '<' && /^<<(?!<)/.test(this.script.slice(this.at, this.at + 3));
    this.redirection = isHereDocument ? '<<' : '>';
    this.at++;
    while (/[<>&]/.test(this.script[this.at] ?? '')) this.at++;
  }

  private endLine(): void {
    this.startCommand();
    for (const delimiter of this.hereDocuments.splice(0)) {
      let line: string | undefined;
      while (this.at < this.script.length && line !== delimiter)
        line = this.readPast('\n', 0).replace(/^\t+/, '');
    }
  }

  /** The text up to `end`, `skip` characters left out; moves behind `end`. */
  private readPast(end: string, skip: number): string {
    const start = this.at + skip;
    const found = this.script.indexOf(end, start);
    const stop = found < 0 ? this.script.length : found;
    this.at = Math.min(stop + end.length, this.script.length);
    return this.script.slice(start, stop);
  }

  private skipComment(): void {
    const end = this.script.indexOf('\n', this.at);
    this.at = end < 0 ? this.script.length : end;
  }
}
