/* Between the host's frames and the program's streams, nobody waiting for the other. */
#include "stage2.h"

#define PIECE 8192
#define REST_MS 2000 /* for output that is on its way when the program has ended */
#define TERMINAL_END 4 /* control-D */

static u8 frame[FRAME_HEADER + FRAME_MOST];
static u32 have;	/* bytes of frame[] that have come */
static u32 given;	/* and of its payload that the program has */

static u32 payload_size(void)
{
	return frame[2] | frame[3] << 8;
}

/* Output of the program to the host: 0 at its end, else whether there was some. */
static int take_output(int *stream, enum frame type)
{
	u8 piece[PIECE];
	s64 got = call(read, *stream, piece, sizeof piece);

	if (got == -EAGAIN || got == -EINTR)
		return 1;
	if (got <= 0) { /* EIO: the terminal's last user is gone */
		*stream = -1;
		return 0;
	}
	send_frame(type, piece, got);
	return 1;
}

/* Input to the program as far as it takes it; whether the frame is done with. */
static int give_input(struct program *program)
{
	while (given < payload_size() && program->input >= 0) {
		s64 taken = call(write, program->input, frame + FRAME_HEADER + given,
				 payload_size() - given);

		if (taken == -EAGAIN)
			return 0;
		if (taken <= 0)
			break; /* nobody reads any more */
		given += taken;
	}
	return 1;
}

static int end_input(struct program *program)
{
	u8 end = TERMINAL_END;

	if (program->input < 0)
		return 1;
	if (program->terminal)
		return call(write, program->input, &end, 1) != -EAGAIN;
	call(close, program->input);
	program->input = -1;
	return 1;
}

/* Obey the frame; whether it is done with. */
static int obey(struct program *program)
{
	u16 size[4];

	switch (frame[0]) {
	case FRAME_INPUT:
		return give_input(program);
	case FRAME_INPUT_END:
		return end_input(program);
	case FRAME_RESIZE:
		copy(size, frame + FRAME_HEADER, sizeof size);
		if (program->terminal)
			terminal_resize(program->output, size);
		return 1;
	case FRAME_SIGNAL:
		call(kill, -program->process, frame[FRAME_HEADER]);
		return 1;
	}
	return 1; /* of a newer host */
}

/* Reads once, and obeys each frame that is whole; 0 when the host has hung up. */
static int take_frames(void)
{
	u32 want = have < FRAME_HEADER ? FRAME_HEADER : FRAME_HEADER + payload_size();
	s64 got;

	if (want > sizeof frame)
		return 0;
	if (want == have)
		return 1;
	got = call(read, channel, frame + have, want - have);
	if (got == -EINTR || got == -EAGAIN)
		return 1;
	if (got <= 0)
		return 0;
	have += got;
	return 1;
}

static int is_whole(void)
{
	return have >= FRAME_HEADER && have == FRAME_HEADER + payload_size();
}

enum ending relay(struct program *program)
{
	for (;;) {
		int blocked = is_whole(); /* a frame that the program has not taken all of */
		struct pollfd wanted[5] = {
			{ program->watch, POLLIN, 0 },
			{ program->output, POLLIN, 0 },
			{ program->errors, POLLIN, 0 },
			{ channel, blocked ? 0 : POLLIN, 0 },
			{ blocked ? program->input : -1, POLLOUT, 0 },
		};

		poll_for(wanted, 5, -1);
		if (wanted[1].revents)
			take_output(&program->output, FRAME_OUTPUT);
		if (wanted[2].revents)
			take_output(&program->errors, FRAME_ERRORS);
		if (wanted[0].revents)
			return ENDED;
		if (wanted[3].revents & (POLLHUP | POLLERR))
			return HUNG_UP;
		if (wanted[3].revents && !take_frames())
			return HUNG_UP;
		if (is_whole() && obey(program)) {
			have = 0;
			given = 0;
		}
	}
}

/* What was written before the end, once nobody can write any more. */
void relay_rest(struct program *program)
{
	struct pollfd wanted[2];

	while (program->output >= 0 || program->errors >= 0) {
		wanted[0] = (struct pollfd){ program->output, POLLIN, 0 };
		wanted[1] = (struct pollfd){ program->errors, POLLIN, 0 };
		if (poll_for(wanted, 2, REST_MS) <= 0)
			return;
		if (wanted[0].revents)
			take_output(&program->output, FRAME_OUTPUT);
		if (wanted[1].revents)
			take_output(&program->errors, FRAME_ERRORS);
	}
}
