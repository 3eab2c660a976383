import { constants, getPriority, setPriority } from 'node:os';

/**
 * Do something for which somebody stands still: before all others, where we may (root, or
 * CAP_SYS_NICE). Of this process it is the thread that runs it (setpriority(2)).
 */
export async function urgently<T>(act: () => Promise<T>): Promise<T> {
  const usual = getPriority();
  try {
    setPriority(constants.priority.PRIORITY_HIGHEST);
  } catch {
    return act();
  }
  try {
    return await act();
  } finally {
    setPriority(usual);
  }
}
