export { attachDisk, AttachedDisk, type AttachDiskOptions } from './attach-disk.js';
export { exclusively } from './exclusive.js';
export { openUndisturbed } from './open-undisturbed.js';
export { describePlan, preparePlan, type AttachPlan } from './prepare.js';
export { recoverSession } from './recover.js';
export { allSessions, sessionsIn, type FoundSession } from './sessions.js';
