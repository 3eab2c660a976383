/* System calls without a C library: stage 2 must be small, and needs nothing of the guest. */
#ifndef DEBLOAT_SYSCALL_H
#define DEBLOAT_SYSCALL_H

#include <asm/unistd.h>

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef int s32;
typedef unsigned long u64;
typedef long s64;

static inline long system_call(long number, long a, long b, long c, long d, long e, long f)
{
#if defined(__x86_64__)
	long result;
	register long r10 asm("r10") = d, r8 asm("r8") = e, r9 asm("r9") = f;

	asm volatile("syscall"
		     : "=a"(result)
		     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
		     : "rcx", "r11", "memory");
	return result;
#elif defined(__aarch64__)
	register long x8 asm("x8") = number, x0 asm("x0") = a, x1 asm("x1") = b, x2 asm("x2") = c;
	register long x3 asm("x3") = d, x4 asm("x4") = e, x5 asm("x5") = f;

	asm volatile("svc #0"
		     : "+r"(x0)
		     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
		     : "memory");
	return x0;
#else
#error "stage 2 knows x86-64 and aarch64"
#endif
}

/* call(openat, AT_FDCWD, path, ...): up to six arguments, the result or -errno. */
#define CALL_6(number, a, b, c, d, e, f, ...) \
	system_call(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define call(name, ...) CALL_6(__NR_##name, ##__VA_ARGS__, 0, 0, 0, 0, 0, 0)

/* include/uapi/asm-generic, the same on both architectures where used. */
#define AT_FDCWD (-100)
#define O_RDONLY 0
#define O_WRONLY 01
#define O_RDWR 02
#define O_CREAT 0100
#define O_NOCTTY 0400
#define O_NONBLOCK 04000
#define O_CLOEXEC 02000000
#if defined(__aarch64__)
#define O_DIRECTORY 040000
#define O_NOFOLLOW 0100000
#else
#define O_DIRECTORY 0200000
#define O_NOFOLLOW 0400000
#endif

#define EPERM 1
#define ENOENT 2
#define EINTR 4
#define EIO 5
#define EAGAIN 11
#define EACCES 13
#define EBUSY 16
#define EEXIST 17
#define ENODEV 19
#define ENOTDIR 20
#define EINVAL 22
#define ENAMETOOLONG 36
#define E2BIG 7
#define EPROTO 71
#define ETIMEDOUT 110

#define SIGHUP 1
#define SIGKILL 9
#define SIGPIPE 13
#define SIGCHLD 17
#define SIG_DFL 0
#define SIG_IGN 1

#define MS_RDONLY 1
#define MS_NOSUID 2
#define MS_NODEV 4
#define MS_REMOUNT 32
#define MS_BIND 4096
#define MS_MOVE 8192
#define MS_REC 16384
#define MS_PRIVATE (1 << 18)
#define MNT_DETACH 2

/* include/uapi/linux/mount.h, from Linux 5.12 on; of the same number on both architectures. */
#ifndef __NR_mount_setattr
#define __NR_mount_setattr 442
#endif
#define MOUNT_ATTR_RDONLY 1
#define MOUNT_ATTR_IDMAP 0x100000
struct mount_attributes {
	u64 set, clear, propagation, users;
};

#define CLONE_NEWNS 0x20000
#define CLONE_NEWUSER 0x10000000

struct timespec {
	s64 seconds, nanoseconds;
};

static inline void pause_ms(u32 milliseconds)
{
	struct timespec time = { milliseconds / 1000, milliseconds % 1000 * 1000000l };

	call(nanosleep, &time, 0);
}

struct pollfd {
	int descriptor;
	short events, revents;
};
#define POLLIN 1
#define POLLOUT 4
#define POLLERR 8
#define POLLHUP 16

/* The next call's descriptors that become ready within `milliseconds`, -1: wait. */
static inline long poll_for(struct pollfd *wanted, u32 count, int milliseconds)
{
	struct timespec time = { milliseconds / 1000, milliseconds % 1000 * 1000000l };

	return call(ppoll, wanted, count, milliseconds < 0 ? 0 : &time, 0, 0);
}

#endif
