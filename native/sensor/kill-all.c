/* kill(-1) without the tracer among its victims, else the survivors' calls would end in ENOSYS. */
#define _GNU_SOURCE
#include "kill-all.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "process.h"
#include "record.h"

struct credentials {
  pid_t process;
  unsigned int real, effective, saved;
  uint64_t capabilities;
  bool nested; /* in a PID namespace below ours */
};

static bool read_credentials(pid_t pid, struct credentials *who) {
  char name[32], text[4096];
  snprintf(name, sizeof name, "/proc/%d/status", pid);
  int file = open(name, O_RDONLY | O_CLOEXEC);
  ssize_t length = file < 0 ? -1 : read(file, text, sizeof text - 1);
  if (file >= 0) close(file);
  if (length <= 0) return false;
  text[length] = 0;
  const char *group = strstr(text, "\nTgid:"), *uid = strstr(text, "\nUid:");
  const char *capabilities = strstr(text, "\nCapEff:"), *inner = strstr(text, "\nNSpid:");
  if (group == NULL || uid == NULL || capabilities == NULL) return false;
  who->process = (pid_t)strtol(group + 6, NULL, 10);
  if (sscanf(uid + 5, "%u %u %u", &who->real, &who->effective, &who->saved) != 3) return false;
  who->capabilities = strtoull(capabilities + 8, NULL, 16);
  unsigned int outer_pid, inner_pid;
  who->nested = inner != NULL && sscanf(inner + 7, "%u%*[\t]%u", &outer_pid, &inner_pid) == 2;
  return true;
}

/* kill(2): CAP_KILL, or the sender's real or effective user is the target's real or saved one. */
static bool may_signal(const struct credentials *sender, const struct credentials *target) {
  if ((sender->capabilities >> CAP_KILL & 1) != 0) return true;
  return sender->effective == target->saved || sender->effective == target->real ||
         sender->real == target->saved || sender->real == target->real;
}

int kill_all(pid_t caller, int signal, bool *emulated) {
  struct credentials sender, target;
  DIR *processes = opendir("/proc");
  *emulated = processes != NULL && read_credentials(caller, &sender) && !sender.nested;
  int count = 0;
  for (struct dirent *entry; *emulated && (entry = readdir(processes)) != NULL;) {
    char program[COMM_SIZE];
    pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
    if (pid <= 1 || pid == sender.process || pid == getpid()) continue;
    read_program(pid, program);
    if (strcmp(program, TRACER_NAME) == 0 || !read_credentials(pid, &target)) continue;
    count++;
    if (may_signal(&sender, &target)) kill(pid, signal);
  }
  if (processes != NULL) closedir(processes);
  return count > 0 ? 0 : -ESRCH;
}
