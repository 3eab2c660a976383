#include "workload.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "console.h"
#include "system.h"

enum { open_files = 1048576, signal_set_size = 8 };

static const char *variable(char **environment, const char *prefix) {
  const char *value = NULL;
  for (; *environment != NULL; environment++) {
    const char *rest = after(*environment, prefix);
    if (rest != NULL) value = rest;
  }
  return value;
}

static int has_slash(const char *text) {
  while (*text != 0)
    if (*text++ == '/') return 1;
  return 0;
}

// Returns only if it failed, with -errno.
static int execute(const struct settings *settings) {
  const char *name = settings->arguments[0];
  if (has_slash(name)) return (int)call3(execve, name, settings->arguments, settings->environment);
  const char *path = variable(settings->environment, "PATH=");
  int error = -ENOENT;
  while (path != NULL && *path != 0) {
    char program[4096] = "";
    size_t used = 0;
    while (*path != 0 && *path != ':' && used + 1 < sizeof program) program[used++] = *path++;
    while (*path != 0 && *path++ != ':') {}
    append(program, sizeof program, used == 0 ? "./" : "/");
    append(program, sizeof program, name);
    int failed = (int)call3(execve, program, settings->arguments, settings->environment);
    if (failed != -ENOENT && failed != -ENOTDIR) error = failed;
  }
  return error;
}

static void become_user(const struct settings *settings) {
  const char *failed = NULL;
  int error = (int)call2(setgroups, settings->group_count, settings->groups);
  if (error < 0) failed = "groups";
  if (error == 0 && (error = (int)call3(setresgid, settings->gid, settings->gid, settings->gid)) < 0) failed = "group";
  if (error == 0 && (error = (int)call3(setresuid, settings->uid, settings->uid, settings->uid)) < 0) failed = "user";
  if (failed == NULL) return;
  say_failure("cannot set the workload's", failed, error);
  exit_process(126);
}

static void enter_directory(const struct settings *settings) {
  int error = (int)call1(chdir, settings->directory);
  if (error == -ENOENT) {
    make_directories(settings->directory, 0755);
    error = (int)call1(chdir, settings->directory);
  }
  if (error == 0) return;
  say_failure("cannot enter the working directory", settings->directory, error);
  exit_process(126);
}

static _Noreturn void run(const struct settings *settings) {
  uint64_t none = 0;
  struct rlimit limit = {open_files, open_files};
  call0(setsid);
  call4(rt_sigprocmask, SIG_SETMASK, &none, NULL, signal_set_size);
  call4(prlimit64, 0, RLIMIT_NOFILE, &limit, NULL);
  call1(umask, 022);
  int input = open_file("/dev/null", O_RDONLY, 0);
  if (input > 0) call3(dup3, input, 0, 0);
  // opening /dev/stdout must succeed for every user
  call3(fchown, 1, settings->uid, -1);
  enter_directory(settings);
  become_user(settings);
  int error = execute(settings);
  say_failure("cannot execute", settings->arguments[0], error);
  exit_process(error == -ENOENT ? 127 : 126);
}

int start_workload(const struct settings *settings) {
  int pid = fork_process();
  if (pid == 0) run(settings);
  return pid;
}
