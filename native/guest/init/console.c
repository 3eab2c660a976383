#include "console.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "power.h"
#include "system.h"

void open_console(void) {
  int fd = open_file("/dev/console", O_RDWR | O_NOCTTY, 0);
  if (fd < 0) return;
  for (int standard = 0; standard < 3; standard++)
    if (fd != standard) call3(dup3, fd, standard, 0);
  if (fd > 2) close_file(fd);
  else call3(fcntl, fd, F_SETFD, 0);
}

void say(const char *text) {
  char line[1024] = "debloat: ";
  append(line, sizeof line - 1, text);
  append(line, sizeof line, "\n");
  write_file(2, line, length(line));
}

static const char *meaning(int error) {
  switch (-error) {
    case ENOENT: return "no such file or directory";
    case EACCES: return "permission denied";
    case EPERM: return "not permitted";
    case ENOEXEC: return "not a program for this machine";
    case ENODEV: return "the kernel does not know this file system";
    case EINVAL: return "invalid argument";
    case ENXIO: return "no such device";
    case ENOMEM: return "out of memory";
    case ENOSPC: return "no space left";
    case ENOTDIR: return "not a directory";
    case EROFS: return "read-only file system";
    default: return NULL;
  }
}

void say_failure(const char *text, const char *name, int error) {
  char line[1000] = "";
  append(line, sizeof line, text);
  if (name != NULL) {
    append(line, sizeof line, " ");
    append(line, sizeof line, name);
  }
  append(line, sizeof line, ": ");
  if (meaning(error) != NULL) append(line, sizeof line, meaning(error));
  else {
    append(line, sizeof line, "error ");
    append_number(line, sizeof line, -error);
  }
  say(line);
}

void drain_console(void) { call3(ioctl, 2, TCSBRK, 1); }

void give_up(const char *text, int error) {
  if (error != 0) say_failure(text, NULL, error);
  else say(text);
  power_off();
}
