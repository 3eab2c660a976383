/* The work item: how a command gets from the host into a kernel worker, and its dispatch. */
#include "stage1.h"

__attribute__((section(".control"), aligned(CONTROL_SIZE)))
struct control stage1_control = { .abi = CONTROL_ABI };

struct work_struct stage1_work = {
	.entry = { &stage1_work.entry, &stage1_work.entry },
	.function = stage1_work_entry,
};

/*
 * Queue the work.  Runs in the interrupted context, or in a thread of ours: it may not sleep, and
 * RCU may not be watching, so it does nothing else.
 */
void stage1_enqueue(void)
{
	struct workqueue_struct *queue = &system_dfl_wq ? system_dfl_wq : system_unbound_wq;

	queue_work_on(0, queue, &stage1_work);
}

__attribute__((noinline)) static void nothing(void *argument)
{
	(void)argument;
}

/* The session has ended; each other processor that is in our last instructions leaves them. */
static int leave(void)
{
	session_end();
	at(STEP_LEAVE);
	/* They let interrupts in with the last one, so whoever comes to do this is outside. */
	if (smp_call_function)
		smp_call_function(nothing, NULL, 1);
	return 0;
}

int stage1_execute(void)
{
	int result = -EINVAL;

	at(STEP_NONE);
	switch (stage1_control.command) {
	case COMMAND_ADD_DISK:
		result = disk_add();
		break;
	case COMMAND_REMOVE_DISK:
		result = disk_remove();
		break;
	case COMMAND_START_SESSION:
		result = session_start();
		break;
	case COMMAND_END_SESSION:
		result = session_end();
		break;
	case COMMAND_LOAD_DRIVERS:
		result = load_drivers();
		break;
	case COMMAND_LEAVE:
		result = leave();
		break;
	}
	stage1_control.result = result;
	return stage1_control.command == COMMAND_LEAVE;
}
