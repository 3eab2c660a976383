/* What the files of stage 1 offer to each other. */
#ifndef DEBLOAT_STAGE1_H
#define DEBLOAT_STAGE1_H

#include "kernel.h"

#pragma GCC visibility push(hidden)

/* control.c */
extern struct control stage1_control;

/* work.c: the work item, and its body, called by entry.S. */
extern struct work_struct stage1_work;
void stage1_enqueue(void);
/* Whether our code is to be written over. */
int stage1_execute(void);
/* entry.S: runs the body, then says "completed" with its last instruction but one. */
void stage1_work_entry(struct work_struct *work);

/* message.c: a line "what: value" for the host. */
void message(const char *what, s64 value);
/* Note where we are. */
static inline void at(enum step step)
{
	stage1_control.step = step;
}
/* Tell the host that `what` answered `error`; returns it. */
int failed(const char *what, s64 error);

/* drivers.c: ask for the modules named in the control block. */
int load_drivers(void);

/* interrupt.c: the disk's interrupt: a line, or a software one that poll.c raises. */
int interrupt_acquire(u32 gsi);
int interrupt_release(void);

/* poll.c: a thread that raises `irq` whenever the host counts `tick` up. */
int poll_start(u32 irq);
int poll_stop(void);

/* disk.c */
int disk_add(void);
int disk_remove(void);

/* socket.c: two connected ends of a stream, as files; `server` stays valid as long as its file. */
struct channel {
	struct socket *server;
	struct file *server_file;
	struct file *client_file;
};
int channel_open(struct channel *channel);

/* program.c: run stage 2 with `*stream` as a descriptor of its own; takes `*stream` over. */
int program_run(struct file *stream);

/* pump.c: two threads between the channel's server end and the host's rings. */
int pumps_start(struct channel *channel);
void pumps_stop(void);

/* heart.c */
int heart_start(void);
void heart_stop(void);
/* Tell the host that the session's threads run, and do what it asks for. */
void beat(void);

/* session.c */
int session_start(void);
int session_end(void);

/* rest.c: sleep about so long, idle in the eyes of the load average where the kernel can. */
void rest(u32 microseconds);

#pragma GCC visibility pop

#endif
