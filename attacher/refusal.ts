import { DebloatError, type DebloatErrorOptions } from '../analyzer/errors.js';

/** Why a virtual machine cannot be looked into or attached to; for programs, where the message is for people. */
export type RefusalReason =
  | 'not-found'
  | 'privilege'
  | 'not-a-vm'
  | 'confidential'
  | 'paused'
  | 'interrupts'
  | 'registers'
  | 'mode'
  | 'no-linux'
  | 'too-old'
  | 'page-tables'
  | 'symbol-missing';

/** A virtual machine that nothing was done to, and the reason. */
export class Refusal extends DebloatError {
  override readonly name = 'Refusal';

  constructor(
    readonly reason: RefusalReason,
    message: string,
    options: DebloatErrorOptions = {},
  ) {
    super(message, options);
  }
}

/** A target that was named by a process which is not there. */
export class NoProcess extends Refusal {
  constructor(pid: number) {
    super('not-found', `There is no process ${pid}.`, {
      hint: 'it may have ended; `debloat targets` lists what runs here',
    });
  }
}
