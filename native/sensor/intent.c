/* What each class of system call means for its paths. */
#define _GNU_SOURCE
#include "intent.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>

#include "process.h"

#ifndef RENAME_EXCHANGE
#define RENAME_EXCHANGE (1 << 1)
#endif

/* The kernel's own values: libc may define O_LARGEFILE and friends otherwise, but not these. */
static void open_intent(uint64_t flags, struct intent *intent) {
  bool writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC) != 0;
  intent->follow = (flags & O_NOFOLLOW) == 0;
  intent->directory = (flags & O_DIRECTORY) != 0;
  if ((flags & O_PATH) != 0) {
    intent->kind = KIND_STAT;
    return;
  }
  intent->no_link = (flags & O_NOFOLLOW) != 0;
  if ((flags & O_TMPFILE) == O_TMPFILE) {
    intent->kind = KIND_STAT; /* of the directory; the file has no name */
    return;
  }
  intent->kind = writes ? KIND_WRITE : KIND_OPEN;
  intent->creates = (flags & O_CREAT) != 0;
  intent->exclusive = intent->creates && (flags & O_EXCL) != 0;
  if (intent->exclusive) intent->follow = false;
}

bool read_intent(const struct seccomp_notif *notification, const struct call *call, struct intent *first,
                 struct intent *second) {
  uint64_t flags = call->flags == NONE ? 0 : (uint32_t)notification->data.args[call->flags];
  *first = (struct intent){.follow = (flags & AT_SYMLINK_NOFOLLOW) == 0, .empty = (flags & AT_EMPTY_PATH) != 0};
  *second = (struct intent){.kind = KIND_CHANGE, .creates = true};
  switch ((enum call_class)call->class) {
    case CALL_OPEN:
      *first = (struct intent){0};
      open_intent(flags, first);
      return true;
    case CALL_OPENAT2: {
      struct open_how how;
      *first = (struct intent){0};
      if (read_bytes((pid_t)notification->pid, notification->data.args[call->flags], &how, sizeof how) != 0)
        return false;
      open_intent(how.flags, first);
      return true;
    }
    case CALL_CREAT:
      *first = (struct intent){.kind = KIND_WRITE, .follow = true, .creates = true};
      return true;
    case CALL_LSTAT:
      first->follow = false;
      first->kind = KIND_STAT;
      return true;
    case CALL_STAT:
    case CALL_ACCESS:
      first->kind = KIND_STAT;
      return true;
    case CALL_READLINK:
      *first = (struct intent){.kind = KIND_READLINK, .empty = true};
      return true;
    case CALL_EXEC:
      first->kind = KIND_EXEC;
      first->no_link = !first->follow;
      return true;
    case CALL_CHDIR:
    case CALL_CHROOT:
      first->kind = KIND_CHDIR;
      first->directory = true;
      return true;
    case CALL_TRUNCATE:
      first->kind = KIND_WRITE;
      return true;
    case CALL_CHANGE:
      first->kind = KIND_CHANGE;
      return true;
    case CALL_LCHANGE:
      first->kind = KIND_CHANGE;
      first->follow = false;
      return true;
    case CALL_REMOVE:
      *first = (struct intent){.kind = KIND_CHANGE};
      return true;
    case CALL_MAKE:
      *first = (struct intent){.kind = KIND_CHANGE, .creates = true, .exclusive = true};
      return true;
    case CALL_SYMLINK:
      *first = (struct intent){.kind = KIND_CHANGE, .creates = true, .exclusive = true, .fresh = true};
      return true;
    case CALL_RENAME:
      *first = (struct intent){.kind = KIND_CHANGE, .fresh = true};
      second->fresh = true;
      if ((flags & RENAME_EXCHANGE) != 0) second->creates = false;
      return true;
    case CALL_LINK:
      *first = (struct intent){.kind = KIND_CHANGE,
                               .follow = (flags & AT_SYMLINK_FOLLOW) != 0,
                               .empty = (flags & AT_EMPTY_PATH) != 0};
      second->exclusive = true;
      return true;
    case CALL_TOPOLOGY:
    case CALL_KILL:
    case CALL_REFUSED:
      return false;
  }
  return false;
}

unsigned int intent_bits(const struct intent *intent) {
  return (unsigned)intent->kind | (unsigned)intent->follow << 4 | (unsigned)intent->creates << 5 |
         (unsigned)intent->exclusive << 6 | (unsigned)intent->directory << 7 |
         (unsigned)intent->no_link << 8;
}
