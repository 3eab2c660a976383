import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { z } from 'zod';
import { failedWith } from '../native/linux/system-error.js';

type NoteKind = 'sessions' | 'containers' | 'plugged-disks';

/**
 * Where sessions are noted that leave no trace of their own to find them by. For root it is a place
 * that a restart of the host empties, as it does machines and containers.
 */
function stateDirectory(kind: NoteKind): string {
  const uid = process.geteuid?.() ?? 0;
  if (uid === 0) return join('/run/debloat', kind);
  const runtime = process.env['XDG_RUNTIME_DIR'] ?? join(tmpdir(), `debloat-${uid}`);
  return join(runtime, `debloat-${kind}`);
}

/** Notes about sessions of one kind, a file each, which are whole or not there. */
export class SessionNotes<T extends { id: string }> {
  constructor(
    readonly kind: NoteKind,
    readonly schema: z.ZodType<T>,
  ) {}

  write(note: T): void {
    const file = this.#fileOf(note.id);
    const text = JSON.stringify(note);
    const write = () => writeFileSync(`${file}.new`, text, { mode: 0o600 });
    try {
      write();
    } catch (error) {
      if (!failedWith(error, 'ENOENT')) throw error;
      mkdirSync(stateDirectory(this.kind), { recursive: true, mode: 0o700 });
      write();
    }
    renameSync(`${file}.new`, file);
  }

  remove(id: string): void {
    rmSync(this.#fileOf(id), { force: true });
  }

  /** Those that can be read; none where the directory is somebody else's. */
  all(): T[] {
    return this.unchecked().flatMap((note) => {
      const parsed = this.schema.safeParse(note);
      return parsed.success ? [parsed.data] : []; // of another version
    });
  }

  /** What is in them, whatever that is: checking it takes some milliseconds the first time. */
  unchecked(): unknown[] {
    let names: string[];
    try {
      names = readdirSync(stateDirectory(this.kind));
    } catch (error) {
      if (failedWith(error, 'ENOENT', 'EACCES')) return [];
      throw error;
    }
    return names.filter((name) => name.endsWith('.json')).flatMap((name) => this.#read(name));
  }

  #read(name: string): unknown[] {
    try {
      return [JSON.parse(readFileSync(join(stateDirectory(this.kind), name), 'utf8'))];
    } catch {
      return []; // gone meanwhile
    }
  }

  #fileOf(id: string): string {
    return join(stateDirectory(this.kind), `${id}.json`);
  }
}
