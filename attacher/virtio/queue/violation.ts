/**
 * The driver broke the rules of the queue in a way that cannot be answered by a request’s status.
 * The queue stops (VIRTIO 1.2, 2.1.2: the device needs a reset); others go on.
 */
export class QueueViolation extends Error {
  override readonly name = 'QueueViolation';
}
