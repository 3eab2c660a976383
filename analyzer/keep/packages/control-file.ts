/** One stanza of a Debian control file (deb822(5)), its fields' exact text kept. */
export interface Stanza {
  text: string;
  /** By field name in lower case: the value with continuation lines, as written. */
  fields: ReadonlyMap<string, string>;
}

/** Split a control file into its stanzas, in order. */
export function parseControlFile(text: string): Stanza[] {
  return text
    .split(/\n(?:[ \t]*\n)+/)
    .filter((stanza) => stanza.trim() !== '')
    .map((stanza) => ({ text: stanza.replace(/\n+$/, ''), fields: parseFields(stanza) }));
}

function parseFields(stanza: string): Map<string, string> {
  const fields = new Map<string, string>();
  let name: string | undefined;
  for (const line of stanza.split('\n')) {
    if (/^[ \t]/.test(line)) {
      if (name !== undefined) fields.set(name, `${fields.get(name) ?? ''}\n${line}`);
      continue;
    }
    const colon = line.indexOf(':');
    name = colon > 0 ? line.slice(0, colon).toLowerCase() : undefined;
    if (name !== undefined) fields.set(name, line.slice(colon + 1).trim());
  }
  return fields;
}

/** Package names of a dependency field, alternatives and all: "a (>= 1), b | c:any" gives a, b, c. */
export function dependencyNames(field: string | undefined): string[] {
  return (field ?? '')
    .split(/[,|]/)
    .map((one) => /^\s*([\w.+-]+)/.exec(one)?.[1])
    .filter((name) => name !== undefined);
}
