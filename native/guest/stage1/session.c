/* A session: stage 2 running, its channel bridged to the host's rings. */
#include "stage1.h"

static struct channel channel;

static void close_channel(void)
{
	at(STEP_SHUTDOWN);
	kernel_sock_shutdown(channel.server, SHUT_RDWR);
	pumps_stop();
	heart_stop();
	filp_close(channel.server_file, NULL);
	channel.server_file = NULL;
	if (flush_delayed_fput)
		flush_delayed_fput();
}

int session_start(void)
{
	int result;

	if (channel.server_file)
		return -EBUSY;
	result = channel_open(&channel);
	if (result) {
		channel.server_file = NULL;
		return result;
	}
	result = program_run(channel.client_file);
	if (!result) {
		stage1_control.session = 1;
		result = pumps_start(&channel);
		if (!result)
			result = heart_start();
	}
	if (result) {
		u32 where = stage1_control.step;

		close_channel();
		stage1_control.session = 0;
		stage1_control.step = where;
	}
	return result;
}

/* Hang up and take the threads down; stage 2 ends by itself when it sees the hang-up. */
int session_end(void)
{
	at(STEP_SHUTDOWN);
	if (!channel.server_file)
		return -ENODEV;
	close_channel();
	stage1_control.session = 0;
	return 0;
}
