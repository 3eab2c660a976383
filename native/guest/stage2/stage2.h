/* What the files of stage 2 offer to each other. Results are 0 or more, or -errno. */
#ifndef DEBLOAT_STAGE2_H
#define DEBLOAT_STAGE2_H

#include "session.h"
#include "syscall.h"

#define NULL ((void *)0)
#define PATH_BYTES 4096

/* What getdents64 writes. */
struct entry {
	u64 inode;
	s64 offset;
	u16 length;
	u8 type;
	char name[];
};

/* text.c */
u64 length_of(const char *text);
int equal(const char *a, const char *b);
int starts_with(const char *text, const char *start);
/* Append to the text in buffer[size]; -ENAMETOOLONG where it does not fit. */
int append(char *buffer, u64 size, const char *text);
int append_number(char *buffer, u64 size, u64 number);
void copy(void *to, const void *from, u64 size);

/* channel.c: the stream to the host. */
extern int channel;
int send_frame(enum frame type, const void *payload, u32 size);
void end_channel(void);
/* Tell the host what could not be done; returns `error`. */
int failed(const char *what, s64 error);
void note(const char *what, s64 error);
/* One frame, read to its end: its type, 0 at the end of the stream. */
int read_frame(u8 *payload, u32 *size);

/* settings.c */
#define GROUPS_MOST 64
struct settings {
	char **arguments, **environment;
	const char *directory, *serial, *tree, *file;
	u32 uid, gid, groups[GROUPS_MOST], group_count, has_user;
	u32 container;
	const char *container_name;
	int terminal;
	u16 size[4];
	u32 modules; /* that were loaded */
};
extern struct settings settings;
int read_settings(void);

/* mounts.c: a mount namespace of our own, and in it a file system in memory as the current
 * directory, with the folders o(verlay), b(ase), r(oot), u(pper), w(ork), s(y)sfs, dev(p)ts. */
int private_mounts(void);
int own_mounts(void);
extern int mounts_are_ours; /* whether the namespace we are in is one that we made */
extern const char *covered; /* the folder that the workspace hides, "/mnt" */
extern const char *base;    /* the running system's root: "/", or "b" without its mounts */
int workspace(void);
int mount_at(const char *source, const char *target, const char *type, u64 flags,
	     const char *options);
extern int proc_folder; /* the /proc of our process namespace, wherever we go */

/* disk.c: mount the overlay's disk, found by its serial number, at `target`. */
int mount_disk(const char *serial, const char *target);
/* The block device of this number (as mknod takes it), whichever file system it holds. */
int mount_number(u64 number, const char *target);
/* loop.c: mount the overlay's file. */
int mount_file(const char *path, const char *target);

/* processes.c: the guest's processes, found through proc_folder. */
int open_process(u32 process, const char *what, int flags);
int process_link(const char *process, const char *what, char *name, u64 size);
void each_process(void (*visit)(const char *name, u32 process));

/* engines.c */
#define ID_LENGTH 64
#define ENGINE_IDS 2
#define NAME_BYTES 129 /* with its NUL */
int is_id(const char *id); /* whether it begins with that many hexadecimal digits */
/* What comes from `file`, which is closed; nothing if it is no file. */
void read_text(int file, char *buffer, u64 size);
/* How many engines know `name`, and their IDs for it. */
int engine_ids(const char *name, char ids[ENGINE_IDS][ID_LENGTH + 1]);

/* find-container.c */
int container_find(const char *name, u32 *process);
/* container.c */
int container_open(u32 process);
/* Takes the tree at `overlay` along into a copy of its mount namespace, as a descriptor. */
int container_enter(const char *overlay);
/* users.c */
enum id_kind { USER, GROUP };
int users_open(u32 process);
int users_are_others(void); /* whether it has users of its own */
/* What an ID of that container is outside of it; itself, where the users are ours. */
u32 users_outside(enum id_kind kind, u32 id);
/* Have a mount's files, which is in no namespace yet, belong to the container's users. */
int users_own(int tree);
/* In the program's process, after all that only the machine's root may do. */
int users_enter(void);
/* overlay.c: the overlay's tree at "o", wherever it comes from and wherever we go. */
int overlay_prepare(void);

/* root.c: the original tree from overlay and root, and a change into it. */
int build_root(void);
int enter_root(void);
/* merge.c: the same tree by bind mounts. */
int merge(const char *upper, const char *lower, const char *target);
/* submounts.c: what is mounted in the old root, into the new one. */
int read_submounts(void);
int is_submount(const char *path);
int has_submount_below(const char *path);
void carry_submounts(void);

/* module.c: gather the pieces of a kernel module, and hand it to the kernel. */
int module_keep(const u8 *payload, u32 size);
int module_load(const u8 *name, u32 size);

/* terminal.c */
int terminal_open(void);
int terminal_program_side(int terminal);
void terminal_resize(int terminal, const u16 *size);

/* program.c */
struct program {
	int process, watch;	    /* its id, and a descriptor that is readable when it ended */
	int input, output, errors; /* our ends: -1 where there is none */
	int terminal;		    /* whether the first two are one */
};
void signal_action(int number, u64 handler);
int program_start(struct program *program);

/* relay.c: until the program has ended or the host hung up. */
enum ending { ENDED, HUNG_UP };
enum ending relay(struct program *program);
void relay_rest(struct program *program);

/* leftovers.c: end every process in our mount namespace but ourselves. */
void end_leftovers(void);

#endif
