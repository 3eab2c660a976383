/* From a notification to records: which path is meant, whether it was seen before, what became of it. */
#define _GNU_SOURCE
#include "note.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "intent.h"
#include "interpreter.h"
#include "process.h"
#include "record.h"
#include "resolve.h"
#include "seen.h"

/* The number before Linux 5.9, taken by all kernels. */
#define NOTIF_ID_VALID SECCOMP_IOR(2, __u64)

/*
 * How long a call that changes the tree may take to do so after it was let go on. An answer is kept
 * only if it was found later than this after the last change that could make it another.
 */
#define SETTLE_MS 100

#define MAX_INTERPRETERS 5
#define KEEP_NAME_MS 20

static struct view own;
static uint64_t own_root_salt;

/* Some process may see another root than we do. */
static bool roots_vary;

/* Answers older than this are looked up again. */
static uint64_t found_since, missing_since;

/* The event at hand. */
static struct {
  int listener;
  const struct seccomp_notif *notification;
  bool checked, alive, executes;
  char program[COMM_SIZE];
} event;

bool prepare_notes(void) {
  own.root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  return own.root >= 0;
}

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &time);
  return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000 + 1;
}

static void paths_appear(void) { missing_since = now() + SETTLE_MS; }

static void paths_move(void) {
  paths_appear();
  found_since = missing_since;
}

/* The caller's name; one that asks for many new paths in a row keeps it for a moment. */
static void read_caller(void) {
  static pid_t last;
  static uint64_t since;
  pid_t pid = (pid_t)event.notification->pid;
  uint64_t time = now();
  if (pid == last && time < since + KEEP_NAME_MS && !event.executes) return;
  read_program(pid, event.program);
  last = event.executes ? 0 : pid;
  since = time;
}

/* Whether the caller still waits, so that its number was not another process's when we looked. */
static bool alive(void) {
  if (!event.checked) {
    uint64_t id = event.notification->id;
    event.checked = true;
    event.alive = ioctl(event.listener, NOTIF_ID_VALID, &id) == 0;
    if (event.alive) read_caller();
  }
  return event.alive;
}

/* What the kernel makes up is in no image. */
static bool is_kernels(const char *path) {
  static const char *const tops[] = {"/proc", "/sys", "/dev"};
  for (size_t i = 0; i < sizeof tops / sizeof *tops; i++) {
    size_t length = strlen(tops[i]);
    if (strncmp(path, tops[i], length) == 0 && (path[length] == '/' || path[length] == 0)) return true;
  }
  return false;
}

static void record(const struct view *view, enum kind kind, enum outcome outcome, const char *path, size_t length) {
  static char whole[PATH_MAX + LONG_PATH];
  size_t prefix = strlen(view->prefix);
  if (prefix > 0) {
    memcpy(whole, view->prefix, prefix);
    memcpy(whole + prefix, path, length + 1);
    path = whole;
    length += prefix;
  }
  if (length == 0) path = "/", length = 1;
  if (is_kernels(path)) return;
  uint64_t key = seen_key(0x10000 + (uint64_t)kind * 4 + outcome, path, length);
  if (seen_get(key) != 0 || !alive()) return;
  seen_put(key, 1);
  add_record(kind, outcome, event.program, path, length);
}

static void record_link(const struct view *view, const char *path, size_t length) {
  record(view, KIND_LINK, OUTCOME_FOUND, path, length);
}

/* What the call really does with what is there. */
static enum kind kind_of(const struct intent *intent, mode_t mode) {
  if (intent->exclusive) return KIND_STAT;
  if (mode == 0) return intent->kind;
  if (S_ISLNK(mode) && intent->no_link) return KIND_STAT;
  if (!S_ISDIR(mode) && intent->directory) return KIND_STAT;
  switch (intent->kind) {
    case KIND_OPEN: return S_ISDIR(mode) ? KIND_LIST : KIND_OPEN;
    case KIND_WRITE:
    case KIND_EXEC: return S_ISDIR(mode) ? KIND_STAT : intent->kind;
    case KIND_READLINK: return S_ISLNK(mode) ? KIND_READLINK : KIND_STAT;
    default: return intent->kind;
  }
}

static void record_interpreters(const struct view *view, const struct place *program) {
  static struct place place;
  static char path[PATH_MAX];
  const char *at = program->path;
  for (int depth = 0; depth < MAX_INTERPRETERS && read_interpreter(view, at, path, sizeof path); depth++) {
    if (path[0] != '/') return;
    resolve(view, path, true, &place, record_link);
    if (place.existence == NOWHERE) return;
    enum outcome outcome = place.existence == EXISTS ? OUTCOME_FOUND : OUTCOME_MISSING;
    record(view, KIND_EXEC, outcome, place.path, place.length);
    if (outcome == OUTCOME_MISSING) return;
    at = place.path;
  }
}

/* Returns whether the answer may be kept, and which. */
static bool look(const struct view *view, const struct intent *intent, const char *path, enum outcome *outcome) {
  static struct place place;
  resolve(view, path, intent->follow, &place, record_link);
  if (place.existence == NOWHERE) return false;
  if (place.existence == ABSENT) {
    *outcome = intent->creates ? OUTCOME_CREATED : OUTCOME_MISSING;
    if (intent->creates) paths_appear();
    /* What a magic link leads to and is gone was never asked for by name. */
    if (!place.passing) record(view, intent->kind, *outcome, place.path, place.length);
    return !place.passing;
  }
  *outcome = OUTCOME_FOUND;
  if (intent->fresh && !S_ISREG(place.mode)) paths_move();
  enum kind kind = kind_of(intent, place.mode);
  record(view, kind, OUTCOME_FOUND, place.path, place.length);
  if (kind == KIND_EXEC && (place.mode == 0 || S_ISREG(place.mode))) record_interpreters(view, &place);
  return !place.passing;
}

static void note_path(const struct view *view, const struct intent *intent, const char *path, size_t length) {
  uint64_t salt = view == &own ? 0 : own_root_salt + seen_key(1, view->prefix, strlen(view->prefix));
  uint64_t key = seen_key(salt * 0x10001 + intent_bits(intent), path, length);
  if (!intent->fresh) {
    uint64_t note = seen_get(key);
    if (note != 0) {
      uint64_t since = (note & 3) == OUTCOME_MISSING ? missing_since : found_since;
      if (note >> 2 > since) return;
    }
  }
  enum outcome outcome;
  uint64_t time = now();
  if (look(view, intent, path, &outcome) && !intent->fresh) seen_put(key, time << 2 | outcome);
}

/* The process's own root, opened; `own` where all share one. */
static const struct view *view_of(pid_t pid) {
  static struct view other;
  if (!roots_vary) return &own;
  char name[32];
  snprintf(name, sizeof name, "/proc/%d/root", pid);
  struct stat status;
  other.pid = pid;
  other.root = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (other.root < 0) return NULL;
  if (read_process_link(pid, "root", other.prefix, sizeof other.prefix) <= 1) other.prefix[0] = 0;
  own_root_salt = fstat(other.root, &status) == 0 ? status.st_ino * 31 + status.st_dev : 0;
  return &other;
}

/* `text`, as seen from our root, as seen from the view's; false if it is outside of it. */
static bool enter(const struct view *view, char *text) {
  size_t prefix = strlen(view->prefix);
  if (prefix == 0) return true;
  if (strncmp(text, view->prefix, prefix) != 0 || (text[prefix] != '/' && text[prefix] != 0)) return false;
  memmove(text, text + prefix, strlen(text + prefix) + 1);
  return true;
}

/* Put the directory that a relative path starts from before it; its length or a negative errno. */
static ssize_t read_base(const struct view **view, pid_t pid, int directory, char *to) {
  char name[24] = "cwd";
  if (directory != AT_FDCWD) snprintf(name, sizeof name, "fd/%d", directory);
  ssize_t length = read_process_link(pid, name, to, PATH_MAX);
  if (length < 0) return length;
  if (!enter(*view, to)) *view = &own;
  return (ssize_t)strlen(to);
}

static void note_argument(const struct view *view, const struct intent *intent, int directory, uint64_t address) {
  static char text[LONG_PATH + 1];
  char *path = text + PATH_MAX;
  pid_t pid = (pid_t)event.notification->pid;
  ssize_t length = read_string(pid, address, path, PATH_MAX);
  bool relative = length >= 0 && path[0] != '/';
  if (relative) {
    static char base[PATH_MAX];
    if (length == 0 && !intent->empty) return;
    ssize_t before = read_base(&view, pid, directory, base);
    if (before >= 0) {
      if (length > 0) *--path = '/', length++;
      path -= before;
      memcpy(path, base, (size_t)before);
    }
    length = before < 0 ? before : length + before;
  }
  if (length >= 0) {
    if (length == 0) path[0] = '/', path[1] = 0, length = 1;
    note_path(view, intent, path, (size_t)length);
  } else if ((length == -EPERM || length == -EACCES) && alive()) {
    count_unreadable(event.program);
  }
}

void note_call(int listener, const struct seccomp_notif *notification, const struct call *call) {
  event.listener = listener;
  event.notification = notification;
  event.checked = false;
  event.executes = call->class == CALL_EXEC;
  if (call->class == CALL_TOPOLOGY || call->class == CALL_CHROOT) {
    roots_vary = true;
    paths_move();
  }
  struct intent first, second;
  if (!read_intent(notification, call, &first, &second)) return;
  const __u64 *arguments = notification->data.args;
  own.pid = (pid_t)notification->pid;
  const struct view *view = view_of(own.pid);
  if (view == NULL) {
    if (alive()) count_unreadable(event.program);
    return;
  }
  int directory = call->directory == NONE ? AT_FDCWD : (int)arguments[call->directory];
  note_argument(view, &first, directory, arguments[call->path]);
  if (call->path2 != NONE) {
    directory = call->directory2 == NONE ? AT_FDCWD : (int)arguments[call->directory2];
    note_argument(view, &second, directory, arguments[call->path2]);
  }
  if (call->class == CALL_SYMLINK) paths_move();
  if (view != &own) close(view->root);
  write_records();
}
