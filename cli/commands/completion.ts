import { Argument, Command } from 'commander';

/** `debloat completion bash|zsh|fish`: a script that completes commands and options. */
export function completionCommand(program: Command): Command {
  return new Command('completion')
    .description('print a completion script; e.g. source <(debloat completion bash)')
    .addArgument(new Argument('<shell>').choices(['bash', 'zsh', 'fish']))
    .action((shell: 'bash' | 'zsh' | 'fish') => {
      process.stdout.write(
        shell === 'fish' ? fishScript(program) : bashScript(program, shell === 'zsh'),
      );
    });
}

interface CommandWords {
  name: string;
  about: string;
  options: { flag: string; about: string; choices: readonly string[] }[];
}

function commandWords(program: Command): CommandWords[] {
  return program.commands.map((command) => ({
    name: command.name(),
    about: command.description(),
    options: command.options.flatMap((o) =>
      o.long ? [{ flag: o.long, about: o.description, choices: o.argChoices ?? [] }] : [],
    ),
  }));
}

// zsh understands bash's `complete` through bashcompinit.
function bashScript(program: Command, zsh: boolean): string {
  const commands = commandWords(program);
  const cases = commands.map(
    (c) => `    ${c.name}) words="${c.options.map((o) => o.flag).join(' ')}" ;;`,
  );
  const choices = new Map(
    commands.flatMap((c) =>
      c.options.filter((o) => o.choices.length > 0).map((o) => [o.flag, o.choices.join(' ')]),
    ),
  );
  const values = [...choices].map(
    ([flag, words]) => `    ${flag}) COMPREPLY=($(compgen -W "${words}" -- "$cur")); return ;;`,
  );
  return `${zsh ? 'autoload -U +X bashcompinit && bashcompinit\n' : ''}_debloat() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" prev="\${COMP_WORDS[COMP_CWORD-1]}" words
  COMPREPLY=()
  case "$prev" in
${values.join('\n')}
  esac
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "${commands.map((c) => c.name).join(' ')}" -- "$cur"))
    return
  fi
  case "\${COMP_WORDS[1]}" in
${cases.join('\n')}
  esac
  case "$cur" in
    -*) COMPREPLY=($(compgen -W "$words" -- "$cur")) ;;
    *) COMPREPLY=($(compgen -f -- "$cur")) ;;
  esac
}
complete -F _debloat debloat
`;
}

function fishScript(program: Command): string {
  const quote = (text: string) => `'${text.replace(/['\\]/g, '\\$&')}'`;
  const lines = commandWords(program).flatMap((c) => [
    `complete -c debloat -n __fish_use_subcommand -a ${c.name} -d ${quote(c.about)}`,
    ...c.options.map(
      (o) =>
        `complete -c debloat -n '__fish_seen_subcommand_from ${c.name}' -l ${o.flag.slice(2)} -d ${quote(o.about)}` +
        (o.choices.length > 0 ? ` -xa ${quote(o.choices.join(' '))}` : ''),
    ),
  ]);
  return `${lines.join('\n')}\n`;
}
