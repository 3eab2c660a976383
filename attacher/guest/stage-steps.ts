/** What stage 1 does in a command, step by step (native/guest/stage1/control.h, enum step). */

export const Command = {
  addDisk: 1,
  removeDisk: 2,
  startSession: 3,
  endSession: 4,
  loadDrivers: 5,
  /** End the session, if one is there, and write over the stage's code. */
  leave: 6,
} as const;

export type Command = (typeof Command)[keyof typeof Command];

export interface Step {
  /** Completes "The guest's kernel could not …". */
  readonly doing: string;
  readonly kernelFunction: string;
}

const steps = new Map<number, Step>([
  [1, { doing: 'load a driver', kernelFunction: '__request_module' }],
  [2, { doing: 'take the interrupt line', kernelFunction: 'acpi_register_gsi' }],
  [3, { doing: 'make an interrupt', kernelFunction: '__irq_alloc_descs' }],
  [4, { doing: 'start the polling thread', kernelFunction: 'kthread_create_on_node' }],
  [5, { doing: 'make the device', kernelFunction: 'platform_device_alloc' }],
  [6, { doing: 'describe the device', kernelFunction: 'platform_device_add_resources' }],
  [7, { doing: 'add the device', kernelFunction: 'platform_device_add' }],
  [8, { doing: 'remove the device', kernelFunction: 'platform_device_unregister' }],
  [9, { doing: 'stop the polling thread', kernelFunction: 'kthread_stop' }],
  [10, { doing: 'give the interrupt back', kernelFunction: 'irq_free_descs' }],
  [20, { doing: 'make a socket for the session', kernelFunction: 'sock_create_kern' }],
  [21, { doing: 'name the session’s socket', kernelFunction: 'kernel_bind' }],
  [22, { doing: 'connect the session’s socket', kernelFunction: 'kernel_connect' }],
  [23, { doing: 'accept the session’s socket', kernelFunction: 'kernel_accept' }],
  [24, { doing: 'open the session’s socket', kernelFunction: 'sock_alloc_file' }],
  [25, { doing: 'make a file in memory', kernelFunction: 'shmem_file_setup' }],
  [26, { doing: 'make the file of the session’s program', kernelFunction: 'filp_open' }],
  [27, { doing: 'write the session’s program', kernelFunction: 'kernel_write' }],
  [28, { doing: 'prepare the session’s program', kernelFunction: 'call_usermodehelper_setup' }],
  [29, { doing: 'run the session’s program', kernelFunction: 'call_usermodehelper_exec' }],
  [30, { doing: 'start the session’s threads', kernelFunction: 'kthread_create_on_node' }],
  [31, { doing: 'hang up', kernelFunction: 'kernel_sock_shutdown' }],
  [32, { doing: 'stop the session’s threads', kernelFunction: 'kthread_stop' }],
  [33, { doing: 'start the session’s heart', kernelFunction: 'kthread_create_on_node' }],
  [34, { doing: 'stop the session’s heart', kernelFunction: 'kthread_stop' }],
  [35, { doing: 'have all processors leave the stage', kernelFunction: 'smp_call_function' }],
]);

/** The step of a number that the guest wrote; undefined for one that does not exist. */
export function stepOf(number: number): Step | undefined {
  return steps.get(number);
}
