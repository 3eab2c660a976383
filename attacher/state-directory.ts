import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * Where sessions are noted that leave no trace of their own to find them by. For root it is a place
 * that a restart of the host empties, as it does machines and containers.
 */
export function stateDirectory(kind: 'sessions' | 'containers'): string {
  const uid = process.geteuid?.() ?? 0;
  if (uid === 0) return join('/run/debloat', kind);
  const runtime = process.env['XDG_RUNTIME_DIR'] ?? join(tmpdir(), `debloat-${uid}`);
  return join(runtime, `debloat-${kind}`);
}
