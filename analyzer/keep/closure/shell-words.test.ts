import { describe, expect, it } from 'vitest';
import { shellWords } from './shell-words.js';

const commands = (script: string): string[] => [...shellWords(script).commands];

describe('shellWords', () => {
  it('finds commands wherever one may stand', () => {
    expect(commands('#!/bin/sh\nset -e\nmkdir -p /run/x && chown app /run/x || exit 1\n')).toEqual([
      'set',
      'mkdir',
      'chown',
      'exit',
    ]);
    expect(commands('if ! id app >/dev/null 2>&1; then useradd app; else :; fi')).toEqual([
      'id',
      'useradd',
    ]);
    expect(commands('cat /etc/hosts | grep x | { sort; uniq -c; }')).toEqual(
      expect.arrayContaining(['cat', 'grep', 'sort', 'uniq']),
    );
    expect(commands('for f in a b; do rm "$f"; done')).toContain('rm');
  });

  it('looks into substitutions, quoted ones too, and back quotes', () => {
    expect(commands('tmp=$(mktemp -d)')).toContain('mktemp');
    expect(commands('echo "host $(hostname -f) at `date`" done')).toEqual(
      expect.arrayContaining(['echo', 'hostname', 'date']),
    );
    expect(commands('echo "a $(b "$(c d)" e)" f; g')).toEqual(['echo', 'b', 'c', 'g']);
    expect(commands('x=$((1 + 2)); y')).toEqual(['y']);
  });

  it('takes no commands from quotes, comments, arguments and here-documents', () => {
    expect(commands('echo \'rm; chmod\' "mv; cp" sed # awk')).toEqual(['echo']);
    expect(commands('cat <<EOF >f\nrm -rf /\nEOF\nsync')).toEqual(['cat', 'sync']);
    expect(commands("cat <<-'END'\n\trm\n\tEND\nsync")).toEqual(['cat', 'sync']);
    expect(commands('echo a > rm; echo b >> chmod')).toEqual(['echo']);
  });

  it('looks behind programs that run another one', () => {
    expect(commands('exec gosu postgres initdb -D x')).toEqual(
      expect.arrayContaining(['exec', 'gosu', 'initdb']),
    );
    expect(commands('LANG=C exec nginx -g x')).toEqual(['exec', 'nginx']);
    expect(commands('timeout 5 curl -f http://localhost/')).toEqual(['timeout', 'curl']);
  });

  it('finds commands in the arms of case', () => {
    expect(
      commands('case "$1" in\n start) run x;;\n stop|halt) kill 1 ;;\n *) usage;;\nesac\nend'),
    ).toEqual(expect.arrayContaining(['run', 'kill', 'usage', 'end']));
  });

  it('collects absolute paths, those assigned to variables included', () => {
    const { paths } = shellWords(
      'CONF=/etc/app.conf\n. /usr/lib/app/env.sh\nexec /opt/app/bin/app --config "$CONF"\n',
    );
    expect([...paths]).toEqual(['/etc/app.conf', '/usr/lib/app/env.sh', '/opt/app/bin/app']);
  });

  it('ends on any input', () => {
    for (const script of [
      '"',
      "'",
      '$(',
      '`',
      '<<',
      '<<EOF',
      '((',
      ')))',
      '\\',
      'case',
      '"$(',
      '$((',
      'a <<E\n',
    ])
      expect(() => shellWords(script.repeat(50))).not.toThrow();
  });
});
