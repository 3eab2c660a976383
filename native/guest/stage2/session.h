/*
 * The frames between the host and stage 2, over one stream: type, 0, length (16 bits), payload.
 * Little endian.  attacher/guest/session-frames.ts is the mirror.
 */
#ifndef DEBLOAT_SESSION_H
#define DEBLOAT_SESSION_H

#define FRAME_HEADER 4
#define FRAME_MOST 16384 /* bytes of payload */

enum frame {
	/* Host to stage 2, while running. */
	FRAME_INPUT = 1,     /* bytes for the program */
	FRAME_INPUT_END = 2, /* no more of them */
	FRAME_RESIZE = 3,    /* rows, columns, x and y pixels, 16 bits each */
	FRAME_SIGNAL = 4,    /* number, 8 bits: to the program's process group */
	/* Host to stage 2, before it runs: settings. */
	FRAME_ARGUMENT = 0x10,	  /* one word of the command */
	FRAME_ENVIRONMENT = 0x11, /* one NAME=VALUE */
	FRAME_DIRECTORY = 0x12,	  /* where the command starts, else / */
	FRAME_USER = 0x13,	  /* uid, gid, further gids, 32 bits each */
	FRAME_SERIAL = 0x14,	  /* serial number of the overlay's disk */
	FRAME_TREE = 0x15,	  /* or a directory in which the overlay is mounted already */
	FRAME_CONTAINER = 0x16,	  /* process whose namespaces to join, 32 bits */
	FRAME_TERMINAL = 0x17,	  /* wants a terminal, of this size as in FRAME_RESIZE */
	FRAME_MODULE = 0x18,	  /* bytes of a kernel module, in pieces */
	FRAME_FILE = 0x19,	  /* or the path of a file that holds the overlay */
	FRAME_LOAD = 0x1a,	  /* load the module whose pieces came: its name */
	FRAME_CONTAINER_NAME = 0x1b, /* or the name of a container to find such a process by */
	FRAME_RUN = 0x1f,	  /* that is all: run the command; after modules there may be none */
	/* Stage 2 to host. */
	FRAME_OUTPUT = 0x21,  /* of the program, or its terminal */
	FRAME_ERRORS = 0x22,  /* its standard error, where it has no terminal */
	FRAME_STARTED = 0x23, /* the program runs: its process id, 32 bits */
	FRAME_EXIT = 0x24,    /* it ended: wait status, 32 bits; the last frame */
	FRAME_FAILED = 0x25,  /* errno, 32 bits, and what failed, 0 if that says all; then the end */
	FRAME_NOTE = 0x26,    /* errno and what went another way than usual */
};

#endif
