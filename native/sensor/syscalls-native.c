/* The traced system calls of this machine's own architecture. */
#include "syscalls.h"

#include <linux/audit.h>
#include <sys/syscall.h>

#define AT(name, class, flags) {__NR_##name, class, 0, 1, flags, NONE, NONE}
#define PATH(name, class, path, flags) {__NR_##name, class, NONE, path, flags, NONE, NONE}
#define BARE(name, class) {__NR_##name, class, NONE, NONE, NONE, NONE, NONE}
/* Numbers from 424 on are the same everywhere; headers may be older than the kernel. */
#define AT_NUMBER(number, class, flags) {number, class, 0, 1, flags, NONE, NONE}

static const struct call calls[] = {
#if defined(__x86_64__)
  PATH(open, CALL_OPEN, 0, 1),
  PATH(creat, CALL_CREAT, 0, NONE),
  PATH(stat, CALL_STAT, 0, NONE),
  PATH(lstat, CALL_LSTAT, 0, NONE),
  PATH(access, CALL_ACCESS, 0, NONE),
  PATH(readlink, CALL_READLINK, 0, NONE),
  PATH(chmod, CALL_CHANGE, 0, NONE),
  PATH(chown, CALL_CHANGE, 0, NONE),
  PATH(lchown, CALL_LCHANGE, 0, NONE),
  PATH(utime, CALL_CHANGE, 0, NONE),
  PATH(utimes, CALL_CHANGE, 0, NONE),
  AT(futimesat, CALL_CHANGE, NONE),
  PATH(unlink, CALL_REMOVE, 0, NONE),
  PATH(rmdir, CALL_REMOVE, 0, NONE),
  PATH(mkdir, CALL_MAKE, 0, NONE),
  PATH(mknod, CALL_MAKE, 0, NONE),
  PATH(symlink, CALL_SYMLINK, 1, NONE),
  PATH(uselib, CALL_OPEN, 0, NONE),
  {__NR_rename, CALL_RENAME, NONE, 0, NONE, NONE, 1},
  {__NR_link, CALL_LINK, NONE, 0, NONE, NONE, 1},
#endif
  AT(openat, CALL_OPEN, 2),
  AT_NUMBER(437 /* openat2 */, CALL_OPENAT2, 2),
  AT(newfstatat, CALL_STAT, 3),
  AT(statx, CALL_STAT, 2),
  AT(faccessat, CALL_ACCESS, NONE),
  AT_NUMBER(439 /* faccessat2 */, CALL_ACCESS, 3),
  AT(readlinkat, CALL_READLINK, NONE),
  PATH(execve, CALL_EXEC, 0, NONE),
  AT(execveat, CALL_EXEC, 4),
  PATH(chdir, CALL_CHDIR, 0, NONE),
  PATH(chroot, CALL_CHROOT, 0, NONE),
  PATH(truncate, CALL_TRUNCATE, 0, NONE),
  PATH(getxattr, CALL_STAT, 0, NONE),
  PATH(lgetxattr, CALL_LSTAT, 0, NONE),
  PATH(listxattr, CALL_STAT, 0, NONE),
  PATH(llistxattr, CALL_LSTAT, 0, NONE),
  PATH(setxattr, CALL_CHANGE, 0, NONE),
  PATH(lsetxattr, CALL_LCHANGE, 0, NONE),
  PATH(removexattr, CALL_CHANGE, 0, NONE),
  PATH(lremovexattr, CALL_LCHANGE, 0, NONE),
  AT_NUMBER(463 /* setxattrat */, CALL_CHANGE, 2),
  AT_NUMBER(464 /* getxattrat */, CALL_STAT, 2),
  AT_NUMBER(465 /* listxattrat */, CALL_STAT, 2),
  AT_NUMBER(466 /* removexattrat */, CALL_CHANGE, 2),
  AT_NUMBER(468 /* file_getattr */, CALL_STAT, 4),
  AT_NUMBER(469 /* file_setattr */, CALL_CHANGE, 4),
  PATH(statfs, CALL_STAT, 0, NONE),
  AT(fchmodat, CALL_CHANGE, NONE),
  AT_NUMBER(452 /* fchmodat2 */, CALL_CHANGE, 3),
  AT(fchownat, CALL_CHANGE, 4),
  AT(utimensat, CALL_CHANGE, 3),
  AT(unlinkat, CALL_REMOVE, NONE),
  AT(mkdirat, CALL_MAKE, NONE),
  AT(mknodat, CALL_MAKE, NONE),
  {__NR_symlinkat, CALL_SYMLINK, 1, 2, NONE, NONE, NONE},
  {__NR_renameat, CALL_RENAME, 0, 1, NONE, 2, 3},
  {__NR_renameat2, CALL_RENAME, 0, 1, 4, 2, 3},
  {__NR_linkat, CALL_LINK, 0, 1, 4, 2, 3},
  AT(name_to_handle_at, CALL_STAT, NONE),
  AT_NUMBER(428 /* open_tree */, CALL_STAT, 2),
  PATH(inotify_add_watch, CALL_STAT, 1, NONE),
  BARE(mount, CALL_TOPOLOGY),
  BARE(umount2, CALL_TOPOLOGY),
  BARE(pivot_root, CALL_TOPOLOGY),
  BARE(setns, CALL_TOPOLOGY),
  BARE(unshare, CALL_TOPOLOGY),
  {429 /* move_mount */, CALL_TOPOLOGY, NONE, NONE, NONE, NONE, NONE},
  BARE(kill, CALL_KILL),
  {425 /* io_uring_setup */, CALL_REFUSED, NONE, NONE, NONE, NONE, NONE},
};

const struct call_table native_calls = {
#if defined(__x86_64__)
  .arch = AUDIT_ARCH_X86_64,
#elif defined(__aarch64__)
  .arch = AUDIT_ARCH_AARCH64,
#else
#error "the sensor knows x86_64 and aarch64"
#endif
  .calls = calls,
  .count = sizeof calls / sizeof *calls,
};
