import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

export interface KernelModule {
  name: string;
  content: Buffer;
}

/** The wanted modules below `directory` and those that they depend on, which come first; what is no file is built in. */
export function modulesInOrder(directory: string, wanted: string[]): KernelModule[] {
  const files = new Map(
    readdirSync(directory, { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.ko'))
      .map((path) => [basename(path, '.ko').replaceAll('-', '_'), join(directory, path)]),
  );
  const order = new Map<string, Buffer>();
  const add = (name: string): void => {
    const path = files.get(name);
    if (path === undefined || order.has(name)) return;
    const content = readFileSync(path);
    // The section .modinfo has "depends=a,b" between zero bytes.
    const start = content.indexOf('\0depends=') + '\0depends='.length;
    const depends = content.subarray(start, content.indexOf(0, start)).toString();
    depends
      .split(',')
      .filter(Boolean)
      .forEach((each) => add(each.replaceAll('-', '_')));
    order.set(name, content);
  };
  wanted.forEach(add);
  return [...order].map(([name, content]) => ({ name, content }));
}
