/** What a container gets from `docker run` unless told otherwise. */
export const defaultCapabilities = [
  'CAP_AUDIT_WRITE',
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_MKNOD',
  'CAP_NET_BIND_SERVICE',
  'CAP_NET_RAW',
  'CAP_SETFCAP',
  'CAP_SETGID',
  'CAP_SETPCAP',
  'CAP_SETUID',
  'CAP_SYS_CHROOT',
] as const;

/**
 * What the sensor needs besides: to read processes that changed their user (SYS_PTRACE), to filter
 * without no_new_privs, so that su and sudo work (SYS_ADMIN).
 */
export const sensorCapabilities = ['CAP_SYS_ADMIN', 'CAP_SYS_PTRACE'] as const;

/** The OCI spec's five capability sets (config.md, "Linux process"). */
export interface CapabilitySets {
  bounding: string[];
  effective: string[];
  permitted: string[];
  inheritable: string[];
  ambient: string[];
}

/**
 * Sets with which the sensor starts. Any user but root keeps capabilities over exec only where they
 * are ambient; such a user gets the sensor's own and the one to shrink its bounding set, no more.
 */
export function sensorCapabilitySets(uid: number): CapabilitySets {
  const all = [...defaultCapabilities, ...sensorCapabilities].sort();
  if (uid === 0) {
    return { bounding: all, effective: all, permitted: all, inheritable: [], ambient: [] };
  }
  const own = droppedCapabilities(uid);
  return { bounding: all, effective: own, permitted: own, inheritable: own, ambient: own };
}

/** What the sensor is to drop before the workload of user `uid` starts. */
export function droppedCapabilities(uid: number): string[] {
  return uid === 0 ? [...sensorCapabilities] : [...sensorCapabilities, 'CAP_SETPCAP'];
}
