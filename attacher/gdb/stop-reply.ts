/** Why and where the machine has stopped. */
export interface Stop {
  signal: number;
  /** The stub's name for the processor. */
  thread: string;
}

/** "T05thread:01;" or "S05"; undefined for any other answer. */
export function stopOf(payload: string): Stop | undefined {
  const [, signal, rest = ''] = /^[TS]([0-9a-f]{2})((?:[^:;]+:[^;]*;)*)$/.exec(payload) ?? [];
  if (signal === undefined) return undefined;
  return { signal: parseInt(signal, 16), thread: /thread:([^;]+);/.exec(rest)?.[1] ?? '' };
}
