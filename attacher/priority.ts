import { constants, getPriority, setPriority } from 'node:os';

/** How many stand still for us. */
let standing = 0;
let ordinary = 0;

/**
 * Somebody stands still for us: nobody else on this machine should come before this thread of ours
 * (setpriority(2) is of a thread). Without CAP_SYS_NICE it takes as long as it takes.
 */
export function comeFirst(): void {
  if (standing++ > 0) return;
  ordinary = getPriority();
  attempt(constants.priority.PRIORITY_HIGHEST);
}

/** Once for each `comeFirst`. */
export function standBack(): void {
  if (--standing === 0) attempt(ordinary);
}

function attempt(priority: number): void {
  try {
    setPriority(priority);
  } catch {
    // not allowed
  }
}
