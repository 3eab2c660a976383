/* Where the virtual machine has no line for us: a thread raises the interrupt by software. */
#include "stage1.h"

#define SHORTEST_US 50	  /* between looks while interrupts keep coming */
#define LONGEST_US 4000	  /* when none came for long */
#define LOOKS_PER_LENGTH 64 /* looks without an interrupt before the sleep doubles */

static struct task_struct *poller;

static void raise(u32 irq)
{
	/* Handlers expect the processor's interrupts off, as after a real one. */
	asm volatile("cli" ::: "memory");
	generic_handle_irq(irq);
	asm volatile("sti" ::: "memory");
	stage1_control.polls++;
}

static int poll(void *argument)
{
	u32 irq = (u64)argument, seen = stage1_control.tick, pause = SHORTEST_US, looks = 0;

	while (!kthread_should_stop()) {
		u32 tick = stage1_control.tick;

		if (tick != seen) {
			seen = tick;
			pause = SHORTEST_US;
			looks = 0;
			raise(irq);
			continue;
		}
		if (++looks == LOOKS_PER_LENGTH && pause < LONGEST_US) {
			pause *= 2;
			looks = 0;
		}
		rest(pause);
	}
	return 0;
}

int poll_start(u32 irq)
{
	struct task_struct *task;

	at(STEP_POLL_THREAD);
	task = kthread_create_on_node(poll, (void *)(u64)irq, -1, "debloat-poll");
	if (is_error(task))
		return failed("kthread_create_on_node", (s64)task);
	poller = task;
	wake_up_process(task);
	return 0;
}

/* kthread_stop returns when the thread has left our code for good. */
int poll_stop(void)
{
	at(STEP_POLL_STOP);
	if (poller)
		kthread_stop(poller);
	poller = NULL;
	return 0;
}
