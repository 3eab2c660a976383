import { randomUUID } from 'node:crypto';
import { appendFileSync } from 'node:fs';

/** A workflow command that shows an annotation (GitHub, "Workflow commands"). */
export function annotation(
  level: 'error' | 'warning' | 'notice',
  title: string,
  message: string,
): string {
  return `::${level} title=${escapeProperty(title)}::${escapeData(message)}\n`;
}

/** Two workflow commands: what is printed between them is never taken for a workflow command. */
export function withoutCommands(): { begin: string; end: string } {
  const token = randomUUID();
  return { begin: `::stop-commands::${token}\n`, end: `::${token}::\n` };
}

/** Append `values` to the file that $GITHUB_OUTPUT names; nobody can guess the delimiter. */
export function writeOutputs(file: string, values: Record<string, string>): void {
  const text = Object.entries(values).map(([name, value]) => {
    const delimiter = `end-of-${randomUUID()}`;
    return `${name}<<${delimiter}\n${value}\n${delimiter}\n`;
  });
  appendFileSync(file, text.join(''));
}

function escapeData(text: string): string {
  return text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
}

function escapeProperty(text: string): string {
  return escapeData(text).replaceAll(':', '%3A').replaceAll(',', '%2C');
}
