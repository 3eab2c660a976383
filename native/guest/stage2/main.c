/*
 * Stage 2: started by the guest's kernel (or by debloat on a host of containers) with one stream
 * to the host, it shows the original image's tree to one command and leaves nothing behind.
 *
 * Usage: debloat-session DESCRIPTOR [FILE], the number of the stream (one digit), and the file that
 * we were started from, should it be removed.
 */
#include "stage2.h"

#define HANG_UP_MS 500 /* for programs that tidy up on a hang-up */
#define LOWEST_CHANNEL 10
#define F_DUPFD_CLOEXEC 1030

/* Keep only the channel; it also takes 0 to 2, so that no other descriptor of ours does. */
static void close_others(void)
{
	int kept = call(fcntl, channel, F_DUPFD_CLOEXEC, LOWEST_CHANNEL), number;

	for (number = 0; number < LOWEST_CHANNEL; number++)
		call(close, number);
	channel = kept;
	for (number = 0; number < 3; number++)
		call(dup3, channel, number, O_CLOEXEC);
}

static void hang_up(struct program *program)
{
	struct pollfd ended = { program->watch, POLLIN, 0 };

	call(kill, -program->process, SIGHUP);
	poll_for(&ended, 1, HANG_UP_MS);
	call(kill, program->process, SIGKILL);
}

static int session(void)
{
	struct program program = { .input = -1, .output = -1, .errors = -1 };
	enum ending ending;
	u32 status = 0;
	int result;

	result = read_settings();
	if (result)
		return result;
	if (!settings.arguments[0]) /* modules were all that was wanted */
		return send_frame(FRAME_EXIT, &status, 4);
	result = overlay_prepare();
	if (!result)
		result = program_start(&program);
	if (result)
		return result;
	send_frame(FRAME_STARTED, &program.process, 4);
	ending = relay(&program);
	if (ending == HUNG_UP)
		hang_up(&program);
	call(wait4, program.process, &status, 0, 0);
	end_leftovers();
	if (ending == ENDED) {
		relay_rest(&program);
		send_frame(FRAME_EXIT, &status, 4);
	}
	return 0;
}

/* The first instruction: hand the stack with arguments over, aligned. */
#if defined(__x86_64__)
asm(".globl _start\n_start: xor %ebp, %ebp\n mov %rsp, %rdi\n and $-16, %rsp\n call start\n");
#else
asm(".globl _start\n_start: mov x29, #0\n mov x0, sp\n bl start\n");
#endif

__attribute__((used)) void start(u64 *stack)
{
	char **arguments = (char **)(stack + 1);
	int result;

	if (stack[0] < 2)
		call(exit_group, 2);
	if (stack[0] > 2)
		call(unlinkat, AT_FDCWD, arguments[2], 0);
	channel = arguments[1][0] - '0';
	close_others();
	call(setsid);
	signal_action(SIGPIPE, SIG_IGN);
	result = session();
	end_channel();
	call(exit_group, result ? 1 : 0);
}
