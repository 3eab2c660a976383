/* Path resolution from outside: which file a path leads to, and over which symlinks. */
#define _GNU_SOURCE
#include "resolve.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAX_LINKS 40
#ifndef SYS_openat2
#define SYS_openat2 437
#endif

/* "" names the root itself. */
static const char *inside(const char *canonical) { return canonical[0] == 0 ? "." : canonical + 1; }

static void pop(struct place *place) {
  while (place->length > 0 && place->path[--place->length] != '/') continue;
  place->path[place->length] = 0;
}

static bool push(struct place *place, const char *name, size_t length) {
  if (place->length + 1 + length >= sizeof place->path) return false;
  place->path[place->length] = '/';
  memcpy(place->path + place->length + 1, name, length);
  place->length += 1 + length;
  place->path[place->length] = 0;
  return true;
}

static bool is_dots(const char *name, size_t length) {
  return length == 2 && name[0] == '.' && name[1] == '.';
}

/* Append the components of `rest` as text; a missing directory's ".." leads nowhere further. */
static void append_text(struct place *place, const char *rest, bool stop_at_dots) {
  while (*rest != 0) {
    size_t length = strcspn(rest, "/");
    if (is_dots(rest, length)) {
      if (stop_at_dots) return;
      pop(place);
    } else if (length > 0 && !(length == 1 && rest[0] == '.')) {
      if (!push(place, rest, length)) return;
    }
    rest += length;
    rest += *rest == '/';
  }
}

/* Most paths hold no symlink: the kernel tells so in one call, and what the path is as text is true. */
static bool resolve_plain(const struct view *view, const char *path, bool follow, struct place *place) {
  static bool unavailable;
  if (unavailable) return false;
  struct open_how how = {
    .flags = O_PATH | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW),
    .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_IN_ROOT,
  };
  int file = (int)syscall(SYS_openat2, view->root, path, &how, sizeof how);
  if (file < 0 && errno != ENOENT) {
    unavailable = errno == ENOSYS || errno == EPERM;
    return false;
  }
  struct stat status = {0};
  if (file >= 0) {
    fstat(file, &status);
    close(file);
  } else if (strstr(path, "/..") != NULL) {
    return false; /* which component is missing matters */
  }
  place->length = 0;
  place->path[0] = 0;
  append_text(place, path, false);
  place->existence = file >= 0 ? EXISTS : ABSENT;
  place->mode = status.st_mode;
  return true;
}

/* /proc/self would be us. */
static bool is_self(const struct view *view, struct place *place) {
  char name[64];
  int length;
  if (strcmp(place->path, "/proc/self") == 0) length = snprintf(name, sizeof name, "/proc/%d", view->pid);
  else if (strcmp(place->path, "/proc/thread-self") == 0)
    length = snprintf(name, sizeof name, "/proc/%d/task/%d", view->pid, view->pid);
  else return false;
  memcpy(place->path, name, (size_t)length + 1);
  place->length = (size_t)length;
  place->passing = true;
  return true;
}

/* The target of the link at `place` put before `rest` (in place); false if it leads nowhere. */
static bool step(const struct view *view, struct place *place, char *target, size_t length, char *rest,
                 size_t size) {
  bool magic = strncmp(place->path, "/proc/", 6) == 0;
  target[length] = 0;
  if (magic) {
    place->passing = true;
    if (target[0] != '/') return false;
    /* The kernel tells where a magic link leads as seen from our root. */
    size_t prefix = strlen(view->prefix);
    if (prefix > 0 && strncmp(target, view->prefix, prefix) == 0 && (target[prefix] == '/' || target[prefix] == 0)) {
      memmove(target, target + prefix, length - prefix + 1);
      length -= prefix;
    }
  }
  size_t after = strlen(rest);
  if (length + after + 1 >= size) return false;
  memmove(rest + length, rest, after + 1);
  memcpy(rest, target, length);
  if (rest[0] == '/') {
    place->length = 0;
    place->path[0] = 0;
  } else {
    pop(place);
  }
  return true;
}

static void walk(const struct view *view, const char *path, bool follow, struct place *place,
                 void (*stepped)(const struct view *, const char *, size_t)) {
  static char rest[LONG_PATH];
  static char target[PATH_MAX];
  int links = 0;
  size_t consumed = 0;
  if (strlen(path) >= sizeof rest) {
    place->existence = NOWHERE;
    return;
  }
  strcpy(rest, path);
  for (;;) {
    char *name = rest + consumed;
    name += strspn(name, "/");
    size_t length = strcspn(name, "/");
    if (length == 0) break;
    consumed = (size_t)(name - rest) + length;
    if (length == 1 && name[0] == '.') continue;
    if (is_dots(name, length)) {
      pop(place);
      continue;
    }
    if (!push(place, name, length)) {
      place->existence = NOWHERE;
      return;
    }
    if (is_self(view, place)) continue;
    if (rest[consumed] == 0 && !follow) break;
    ssize_t got = readlinkat(view->root, inside(place->path), target, sizeof target - 1);
    if (got < 0) {
      if (errno == EINVAL) continue;
      place->existence = errno == ENOENT || errno == ENOTDIR ? ABSENT : EXISTS;
      append_text(place, rest + consumed, place->existence == ABSENT);
      return;
    }
    bool magic = strncmp(place->path, "/proc/", 6) == 0;
    if (!magic) stepped(view, place->path, place->length);
    memmove(rest, rest + consumed, strlen(rest + consumed) + 1);
    consumed = 0;
    if (++links > MAX_LINKS || !step(view, place, target, (size_t)got, rest, sizeof rest)) {
      place->existence = NOWHERE;
      return;
    }
  }
  struct stat status;
  if (fstatat(view->root, inside(place->path), &status, AT_SYMLINK_NOFOLLOW) == 0) {
    place->existence = EXISTS;
    place->mode = status.st_mode;
  } else {
    place->existence = errno == ENOENT || errno == ENOTDIR ? ABSENT : EXISTS;
  }
}

void resolve(const struct view *view, const char *path, bool follow, struct place *place,
             void (*stepped)(const struct view *view, const char *path, size_t length)) {
  place->mode = 0;
  place->passing = false;
  place->length = 0;
  place->path[0] = 0;
  size_t length = strlen(path);
  follow = follow || (length > 0 && path[length - 1] == '/');
  if (!resolve_plain(view, path, follow, place)) walk(view, path, follow, place, stepped);
}
