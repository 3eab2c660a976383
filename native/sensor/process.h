#ifndef SENSOR_PROCESS_H
#define SENSOR_PROCESS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Copy the string at `address` of thread `pid` with its NUL into `to`. Returns its length, or
 * -EPERM (not ours to read), -ESRCH, -EFAULT, -ENAMETOOLONG.
 */
ssize_t read_string(pid_t pid, uint64_t address, char *to, size_t size);

/* Copy `size` bytes; 0 or a negative errno. */
int read_bytes(pid_t pid, uint64_t address, void *to, size_t size);

/*
 * Where the magic link `name` ("cwd", "root", "fd/3") of thread `pid` leads, as text. Returns its
 * length, or a negative errno; -ENOENT too for what is not a path or is no longer there.
 */
ssize_t read_process_link(pid_t pid, const char *name, char *to, size_t size);

/* The name of thread `pid` ("nginx"), "?" if it is gone; `to` has COMM_SIZE bytes. */
void read_program(pid_t pid, char *to);

#endif
