#ifndef SENSOR_SYSCALLS_H
#define SENSOR_SYSCALLS_H

#include <stddef.h>
#include <stdint.h>

/* What a system call does with the path that it is given. */
enum call_class {
  CALL_OPEN,     /* flags in an argument */
  CALL_OPENAT2,  /* flags in a struct open_how */
  CALL_CREAT,
  CALL_STAT,     /* asks about the path; AT_SYMLINK_NOFOLLOW counts */
  CALL_LSTAT,    /* the same about a symlink itself */
  CALL_ACCESS,
  CALL_READLINK,
  CALL_EXEC,
  CALL_CHDIR,
  CALL_CHROOT,
  CALL_TRUNCATE,
  CALL_CHANGE,   /* mode, owner, times, xattrs; AT_SYMLINK_NOFOLLOW counts */
  CALL_LCHANGE,
  CALL_REMOVE,
  CALL_MAKE,     /* mkdir, mknod */
  CALL_SYMLINK,
  CALL_RENAME,
  CALL_LINK,     /* AT_SYMLINK_FOLLOW counts */
  CALL_TOPOLOGY, /* mounts and namespaces: no path is read, but paths may mean something else now */
  CALL_KILL,     /* only of everything, and only by a signal that the tracer cannot block */
  CALL_REFUSED,  /* answered ENOSYS by the filter */
};

#define NONE (-1)

/* One traced system call: argument positions of directory, path and flags (NONE where it has none). */
struct call {
  uint16_t number;
  uint8_t class;
  int8_t directory, path, flags;
  int8_t directory2, path2;
};

struct call_table {
  uint32_t arch; /* AUDIT_ARCH_… */
  const struct call *calls;
  size_t count;
};

extern const struct call_table native_calls;
#if defined(__x86_64__)
extern const struct call_table i386_calls;
#endif

#define MAX_CALL_NUMBER 512

#endif
