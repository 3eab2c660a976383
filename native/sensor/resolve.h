#ifndef SENSOR_RESOLVE_H
#define SENSOR_RESOLVE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

/* A working directory may be PATH_MAX deep and the path relative to it as long again. */
#define LONG_PATH (2 * PATH_MAX)

/* From where a process looks at the file system. */
struct view {
  pid_t pid;
  int root;                /* directory descriptor of its root */
  char prefix[PATH_MAX];   /* where that is for us: "" unless it is chroot-ed */
};

enum existence {
  EXISTS,
  ABSENT,
  NOWHERE, /* not a path in a file system: a pipe, a loop of symlinks */
};

struct place {
  enum existence existence;
  mode_t mode;           /* of what exists; 0 where we may not look */
  bool passing;          /* may lead elsewhere for another process or later: went through a magic link */
  size_t length;
  char path[LONG_PATH];  /* canonical, inside the view's root; a missing one as far as it exists */
};

/*
 * Follow `path` (absolute within the view) as the kernel would. `stepped` is told the canonical path
 * of each symlink stepped through; those of /proc are not told.
 */
void resolve(const struct view *view, const char *path, bool follow, struct place *place,
             void (*stepped)(const struct view *view, const char *path, size_t length));

#endif
