/*
 * The control block: one page that the host and stage 1 share.  Little endian, offsets fixed;
 * attacher/guest/stage-control.ts is its mirror and a test compares the two.
 *
 * One arena serves at most one disk and one session; independent attaches are independent arenas.
 */
#ifndef DEBLOAT_CONTROL_H
#define DEBLOAT_CONTROL_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef int s32;
typedef unsigned long u64;
typedef long s64;

#define CONTROL_ABI 1
#define CONTROL_SIZE 4096

/* What the host asks for, in `command`. */
enum command {
	COMMAND_ADD_DISK = 1,
	COMMAND_REMOVE_DISK = 2,
	COMMAND_START_SESSION = 3,
	COMMAND_END_SESSION = 4,
	COMMAND_LOAD_DRIVERS = 5,
	COMMAND_LEAVE = 6,
};

/* Where a command is, or failed, in `step`: each names one kernel function. */
enum step {
	STEP_NONE = 0,
	STEP_REQUEST_MODULE = 1,
	STEP_REGISTER_GSI = 2,
	STEP_ALLOC_IRQ = 3,
	STEP_POLL_THREAD = 4,
	STEP_DEVICE_ALLOC = 5,
	STEP_DEVICE_RESOURCES = 6,
	STEP_DEVICE_ADD = 7,
	STEP_DEVICE_UNREGISTER = 8,
	STEP_POLL_STOP = 9,
	STEP_FREE_IRQ = 10,
	STEP_CREATE_SOCKET = 20,
	STEP_BIND_SOCKET = 21,
	STEP_CONNECT_SOCKET = 22,
	STEP_ACCEPT_SOCKET = 23,
	STEP_SOCKET_FILE = 24,
	STEP_MEMORY_FILE = 25,
	STEP_OPEN_PROGRAM = 26,
	STEP_WRITE_PROGRAM = 27,
	STEP_EXEC_SETUP = 28,
	STEP_EXEC = 29,
	STEP_PUMP_THREAD = 30,
	STEP_SHUTDOWN = 31,
	STEP_PUMP_STOP = 32,
	STEP_HEART_THREAD = 33,
	STEP_HEART_STOP = 34,
	STEP_LEAVE = 35,
};

#define GSI_POLL 0xffffffffu /* no interrupt line: stage 1 watches `tick` */

/* A ring of bytes with one producer and one consumer; indices run free, size is a power of two. */
struct ring {
	volatile u32 head; /* bytes ever written: the producer's */
	u32 size;	   /* bytes of data[]: the host's, never read back by it */
	u8 mark[16];   /* the host's, by which it knows whether this memory is a ring of its own still */
	u8 pad0[40];
	volatile u32 tail;   /* bytes ever read: the consumer's */
	volatile u32 closed; /* 1: the producer writes no more */
	u8 pad1[56];
	u8 data[];
};

#define MESSAGE_BYTES 1024

struct control {
	/* The host's. */
	u32 abi;		 /* 0x000 CONTROL_ABI, as built; the host checks it */
	volatile u32 command;	 /* 0x004 */
	volatile u32 sequence;	 /* 0x008 of this command; never 0 */
	volatile u32 tick;	 /* 0x00c counts interrupts that the poller shall raise */
	volatile u64 resume_rip; /* 0x010 where the interrupted vCPU was */
	volatile u64 resume_flags; /* 0x018 and its flags, interrupts enabled */
	/* Stage 1's. */
	volatile u32 queued;	 /* 0x020 sequence whose work was queued */
	volatile u32 completed;	 /* 0x024 sequence that is done: no code of ours runs for it any more */
	volatile s32 result;	 /* 0x028 0 or -errno */
	volatile u32 step;	 /* 0x02c enum step */
	volatile u32 irq;	 /* 0x030 the guest's number of the disk's interrupt */
	volatile u32 polls;	 /* 0x034 interrupts raised by the poller */
	volatile u32 session;	 /* 0x038 1: a session runs, 2: its program has ended, 0: none */
	volatile u32 attempts;	 /* 0x03c exec calls that the last session took */
	/* The host's: the disk. */
	u64 window;		 /* 0x040 guest-physical address of the device's registers */
	u64 window_size;	 /* 0x048 bytes */
	u32 gsi;		 /* 0x050 interrupt line, or GSI_POLL */
	s32 device_id;		 /* 0x054 N of virtio-mmio.N */
	u32 driver_count;	 /* 0x058 names in drivers[]: asked for before the disk is added */
	u32 pad0;		 /* 0x05c */
	char drivers[96];	 /* 0x060 module names, each with its NUL */
	/* The host's: the session. */
	u64 program;		 /* 0x0c0 guest-virtual address of stage 2's ELF file */
	u64 program_size;	 /* 0x0c8 bytes */
	u64 to_guest;		 /* 0x0d0 guest-virtual address of the ring to stage 2 */
	u64 from_guest;		 /* 0x0d8 and of the ring from it */
	u64 names;		 /* 0x0e0 paths to try for the program's file, each with its NUL */
	u32 name_count;		 /* 0x0e8 */
	volatile u32 asked;	 /* 0x0ec sequence that the session's own threads shall queue */
	char socket_name[32];	 /* 0x0f0 abstract socket name, unguessable, NUL-terminated */
	/* The host's: what COMMAND_LEAVE writes over our code with its last step. */
	u64 code;		 /* 0x110 guest-virtual address where it can be written */
	u64 code_size;		 /* 0x118 bytes */
	u32 code_byte;		 /* 0x120 what was there before us */
	u8 pad1[0x400 - 0x124];
	/* Sentences of stage 1 for the host: lines "function: value\n". */
	volatile u32 message_head; /* 0x400 bytes ever written */
	volatile u32 beats;	   /* 0x404 counts on for as long as a session is there */
	volatile u32 message_tail; /* 0x408 bytes ever read: the host's */
	u32 pad3;
	char messages[MESSAGE_BYTES]; /* 0x410 */
	u8 pad4[CONTROL_SIZE - 0x410 - MESSAGE_BYTES];
};

#endif
