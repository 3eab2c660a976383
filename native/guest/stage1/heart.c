/*
 * A thread that counts: while it does, the host knows that the guest is the one which it attached to.
 * It also queues what the host asks for, so that no processor need be stopped for that.
 */
#include "stage1.h"

#define BEAT_US 500000

static struct task_struct *heart;
static u32 queued; /* the last sequence that was asked for */

void beat(void)
{
	u32 asked = stage1_control.asked;

	stage1_control.beats++;
	/* The host writes the sequence after all that belongs to it. */
	if (asked != stage1_control.sequence)
		return;
	/* Of several threads one queues it. */
	if (__atomic_exchange_n(&queued, asked, __ATOMIC_SEQ_CST) != asked) {
		stage1_control.queued = asked;
		stage1_enqueue();
	}
}

static int beat_on(void *argument)
{
	(void)argument;
	while (!kthread_should_stop()) {
		beat();
		rest(BEAT_US);
	}
	return 0;
}

int heart_start(void)
{
	struct task_struct *task;

	at(STEP_HEART_THREAD);
	task = kthread_create_on_node(beat_on, NULL, -1, "debloat-heart");
	if (is_error(task))
		return failed("kthread_create_on_node", (s64)task);
	heart = task;
	wake_up_process(task);
	return 0;
}

void heart_stop(void)
{
	at(STEP_HEART_STOP);
	if (heart)
		kthread_stop(heart);
	heart = NULL;
}
