/* Two threads carry bytes between the host's rings and the channel to stage 2. */
#include "stage1.h"

#define FULL_US 200	    /* while the host does not read */
#define STOP_US 10000	    /* between looks for the end of a session that is over */

/*
 * How long to sleep between looks for input, by how long none came.  By the clock, and not by how
 * many looks there were: in a busy guest each takes longer than it should.
 */
static const struct {
	s64 until_ms;
	u32 us;
} pauses[] = {
	{ 5, 50 },     /* more of the same is on its way */
	{ 500, 200 },  /* someone types */
	{ 3000, 1000 }, /* and reads */
	{ 8000, 4000 }, /* or thinks */
};
#define IDLE_US 64000 /* nobody is there; a key that comes then waits at most half as long again */

static u32 pause_after(s64 ns)
{
	u32 n;

	for (n = 0; n < sizeof pauses / sizeof *pauses; n++)
		if (ns < pauses[n].until_ms * 1000000)
			return pauses[n].us;
	return IDLE_US;
}

static struct channel *channel;
static struct task_struct *reader, *writer;

/* Bytes from ring->tail on without wrapping, none if the indices make no sense. */
static u32 readable(struct ring *ring)
{
	u32 filled = ring->head - ring->tail, to_end = ring->size - ring->tail % ring->size;

	return filled > ring->size ? 0 : filled < to_end ? filled : to_end;
}

static u32 writable(struct ring *ring)
{
	u32 filled = ring->head - ring->tail, to_end = ring->size - ring->head % ring->size;
	u32 room = filled > ring->size ? 0 : ring->size - filled;

	return room < to_end ? room : to_end;
}

static void wait_for_stop(void)
{
	while (!kthread_should_stop()) {
		beat();
		rest(STOP_US);
	}
}

/* The host's input to stage 2. */
static int write_loop(void *argument)
{
	struct ring *ring = (struct ring *)stage1_control.to_guest;
	s64 last = ktime_get();

	(void)argument;
	while (!kthread_should_stop()) {
		u32 closed = ring->closed, count = readable(ring);
		s64 position = 0, written;

		if (!count && closed)
			break;
		if (!count) {
			rest(pause_after(ktime_get() - last));
			continue;
		}
		written = kernel_write(channel->server_file, ring->data + ring->tail % ring->size,
				       count, &position);
		if (written <= 0)
			break; /* stage 2 is gone: the reader says so */
		ring->tail += written;
		last = ktime_get();
	}
	/* Stage 2 sees the end of its input, and hangs up its terminal. */
	kernel_sock_shutdown(channel->server, SHUT_WR);
	wait_for_stop();
	return 0;
}

/* Stage 2's output to the host. */
static int read_loop(void *argument)
{
	struct ring *ring = (struct ring *)stage1_control.from_guest;

	(void)argument;
	while (!kthread_should_stop()) {
		u32 room = writable(ring);
		s64 position = 0, count;

		if (!room) {
			rest(FULL_US);
			continue;
		}
		count = kernel_read(channel->server_file, ring->data + ring->head % ring->size, room,
				    &position);
		if (count <= 0)
			break;
		ring->head += count;
	}
	ring->closed = 1;
	stage1_control.session = 2;
	wait_for_stop();
	return 0;
}

static struct task_struct *start(int (*function)(void *), const char *name)
{
	struct task_struct *task = kthread_create_on_node(function, NULL, -1, "%s", name);

	if (is_error(task)) {
		failed("kthread_create_on_node", (s64)task);
		return task;
	}
	wake_up_process(task);
	return task;
}

int pumps_start(struct channel *opened)
{
	struct task_struct *task;

	at(STEP_PUMP_THREAD);
	channel = opened;
	task = start(read_loop, "debloat-out");
	if (is_error(task))
		return (int)(s64)task;
	reader = task;
	task = start(write_loop, "debloat-in");
	if (is_error(task))
		return (int)(s64)task;
	writer = task;
	return 0;
}

/* The channel must be shut down, which wakes both; kthread_stop waits until each has left. */
void pumps_stop(void)
{
	at(STEP_PUMP_STOP);
	if (writer)
		kthread_stop(writer);
	if (reader)
		kthread_stop(reader);
	writer = NULL;
	reader = NULL;
}
