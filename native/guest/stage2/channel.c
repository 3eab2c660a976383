/* The stream to the host. */
#include "stage2.h"

#define SHUT_WR 1
#define END_MS 2000 /* for the host to hang up */

int channel;

static int write_all(const u8 *bytes, u64 size)
{
	while (size) {
		s64 written = call(write, channel, bytes, size);

		if (written == -EINTR)
			continue;
		if (written <= 0)
			return written ? (int)written : -EIO;
		bytes += written;
		size -= written;
	}
	return 0;
}

/* In one write, so that a child's frame and ours do not mix. */
int send_frame(enum frame type, const void *payload, u32 size)
{
	static u8 frame[FRAME_HEADER + FRAME_MOST];

	if (size > FRAME_MOST)
		return -EINVAL;
	frame[0] = type;
	frame[1] = 0;
	frame[2] = size;
	frame[3] = size >> 8;
	copy(frame + FRAME_HEADER, payload, size);
	return write_all(frame, FRAME_HEADER + size);
}

static void report(enum frame type, const char *what, s64 error)
{
	u8 payload[4 + 256];
	u32 length = length_of(what);
	s32 number = error;

	if (length > 256)
		length = 256;
	copy(payload, &number, 4);
	copy(payload + 4, what, length);
	send_frame(type, payload, 4 + length);
}

int failed(const char *what, s64 error)
{
	report(FRAME_FAILED, what, error);
	return (int)error;
}

void note(const char *what, s64 error)
{
	report(FRAME_NOTE, what, error);
}

static int read_all(u8 *bytes, u64 size)
{
	while (size) {
		s64 got = call(read, channel, bytes, size);

		if (got == -EINTR)
			continue;
		if (got <= 0)
			return got ? (int)got : -EIO;
		bytes += got;
		size -= got;
	}
	return 0;
}

int read_frame(u8 *payload, u32 *size)
{
	u8 header[FRAME_HEADER];

	if (read_all(header, FRAME_HEADER))
		return 0;
	*size = header[2] | header[3] << 8;
	if (*size > FRAME_MOST || read_all(payload, *size))
		return 0;
	return header[0];
}

/*
 * No more will be sent. A socket that is closed with input unread is reset, and what the host has not
 * read by then may be lost: so its input is read until the host hangs up, too.
 */
void end_channel(void)
{
	static u8 unread[4096];
	struct pollfd more = { channel, POLLIN, 0 };

	call(shutdown, channel, SHUT_WR);
	while (poll_for(&more, 1, END_MS) > 0 && call(read, channel, unread, sizeof unread) > 0)
		;
}
