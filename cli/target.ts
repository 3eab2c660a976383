import { basename, join } from 'node:path';
import { parseReference, type Reference } from '../analyzer/transport/reference.js';
import { requirePublishable } from '../builder/publish/publish.js';

/**
 * Where a result called `tag` goes. A tag with a transport says so itself; a bare name goes to the
 * registry if the source came from one by name, else to the local engine. Throws a DebloatError if no
 * image can go there: better now than after the work.
 */
export function targetFor(tag: string, source: string): Reference {
  const target = requirePublishable(parseReference(tag));
  if (target.transport !== 'any') return target;
  const transport = parseReference(source).transport === 'registry' ? 'registry' : 'engine';
  return { ...target, transport };
}

/** `debloat-out/` and a name made of the source's: "debloat-out/nginx-1". */
export function defaultOutputDir(source: string): string {
  const name = basename(source.replace(/^[a-z-]+:(\/\/)?/, '')).replace(/[^\w.-]+/g, '-');
  return join('debloat-out', name || 'image');
}
