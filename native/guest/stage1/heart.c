/* A thread that counts: while it does, the host knows that the guest is the one which it attached to. */
#include "stage1.h"

#define BEAT_US 20000

static struct task_struct *heart;

static int beat(void *argument)
{
	(void)argument;
	while (!kthread_should_stop()) {
		stage1_control.beats++;
		rest(BEAT_US);
	}
	return 0;
}

int heart_start(void)
{
	struct task_struct *task;

	at(STEP_HEART_THREAD);
	task = kthread_create_on_node(beat, NULL, -1, "debloat-heart");
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
