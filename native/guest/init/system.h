// System calls and the few library functions that the init needs: it is linked without a C library,
// so that it is a few KiB and not most of a MiB on every disk.
#ifndef DEBLOAT_INIT_SYSTEM_H
#define DEBLOAT_INIT_SYSTEM_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// The result of a system call, or -errno.
long system_call(long number, long a, long b, long c, long d, long e, long f);

#define call0(name) system_call(SYS_##name, 0, 0, 0, 0, 0, 0)
#define call1(name, a) system_call(SYS_##name, (long)(a), 0, 0, 0, 0, 0)
#define call2(name, a, b) system_call(SYS_##name, (long)(a), (long)(b), 0, 0, 0, 0)
#define call3(name, a, b, c) system_call(SYS_##name, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define call4(name, a, b, c, d) system_call(SYS_##name, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define call5(name, a, b, c, d, e) \
  system_call(SYS_##name, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)

// All of these return a value, or -errno.
int open_file(const char *path, int flags, int mode);
int close_file(int fd);
long read_file(int fd, void *buffer, size_t size);
long write_file(int fd, const void *buffer, size_t size);
int make_directory(const char *path, int mode);
// With its parents; 0 also where it was there.
int make_directories(const char *path, int mode);
int mount_at(const char *source, const char *target, const char *type, unsigned long flags, const char *data);
int unlink_file(const char *path);
int exists(const char *path);
// All of the file, at most `limit` bytes, mapped privately and ended by a zero byte beyond `*size`.
int map_file(const char *path, size_t limit, char **content, size_t *size);
// Text into a file that is there, in one write.
int put_text(const char *path, const char *text);
void sleep_milliseconds(long milliseconds);
long monotonic_milliseconds(void);
int fork_process(void);
_Noreturn void exit_process(int status);
// Memory that is never given back; zeros. Ends the program when there is none.
void *allocate(size_t size);

size_t length(const char *text);
int equal(const char *a, const char *b);
// The rest of `text` behind `prefix`, or NULL.
const char *after(const char *text, const char *prefix);
// A decimal number in all of `text`, or -1.
long number(const char *text);
// Append to the string in `buffer`; what does not fit is left out.
void append(char *buffer, size_t size, const char *text);
void append_number(char *buffer, size_t size, long value);

#endif
