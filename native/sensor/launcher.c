/* The tracer as a process of its own, which the workload neither waits for nor shares a file with. */
#define _GNU_SOURCE
#include "launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kill-all.h"
#include "note.h"
#include "record.h"
#include "tracer.h"

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

/* The three lowest are /dev/null, so that nothing of the workload's is held open: readers wait for its end. */
static int leave_files(int *kept, int count) {
  for (int i = 0; i < count; i++) {
    kept[i] = fcntl(kept[i], F_DUPFD_CLOEXEC, 3 + count);
    if (kept[i] < 0) return -1;
  }
  for (int i = 0; i < count; i++) kept[i] = dup3(kept[i], 3 + i, O_CLOEXEC);
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int i = 0; i < 3; i++)
    if (null < 0) close(i);
    else dup2(null, i);
  if (syscall(SYS_close_range, 3 + count, UINT_MAX, 0) == 0) return 0;
  long limit = sysconf(_SC_OPEN_MAX);
  for (int i = 3 + count; i < limit; i++) close(i);
  return 0;
}

static int receive(int socket) {
  char byte, control[CMSG_SPACE(sizeof(int))] = {0};
  struct iovec data = {&byte, 1};
  struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != 1) return -1;
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  int listener = -1;
  if (header != NULL && header->cmsg_type == SCM_RIGHTS) memcpy(&listener, CMSG_DATA(header), sizeof listener);
  return listener;
}

static void run_tracer(int file, int socket) {
  int kept[] = {file, socket};
  setsid();
  prctl(PR_SET_NAME, TRACER_NAME, 0, 0, 0);
  if (leave_files(kept, 2) != 0) _exit(1);
  /* A directory that the workload may want to unmount. */
  if (chdir("/") != 0 || !prepare_notes()) _exit(1);
  int listener = receive(kept[1]);
  if (listener < 0 || write(kept[1], "", 1) != 1) _exit(1);
  close(kept[1]);
  trace(listener);
  _exit(0);
}

int start_tracer(int file, pid_t *tracer) {
  int sockets[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0) return -1;
  sigset_t all, before;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, &before);
  /*
   * Exit signal 0: wait() of the workload does not see the tracer. An exec'd process of a container
   * has its parent outside; the tracer then goes there too, else its end would be process 1's to reap.
   */
  unsigned long flags = getpid() != 1 && getppid() == 0 ? CLONE_PARENT : 0;
  *tracer = (pid_t)syscall(SYS_clone, flags, 0, 0, 0, 0);
  if (*tracer == 0) run_tracer(file, sockets[1]);
  int error = errno;
  sigprocmask(SIG_SETMASK, &before, NULL);
  close(sockets[1]);
  errno = error;
  return *tracer < 0 ? -1 : sockets[0];
}

int hand_over(int socket, int listener) {
  char byte = 0, control[CMSG_SPACE(sizeof(int))] = {0};
  struct iovec data = {&byte, 1};
  struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(header), &listener, sizeof listener);
  if (sendmsg(socket, &message, MSG_NOSIGNAL) != 1) return -1;
  ssize_t got;
  do got = read(socket, &byte, 1);
  while (got < 0 && errno == EINTR);
  if (got == 1) return 0;
  if (got == 0) errno = ECHILD;
  return -1;
}
