/* The tracer: takes each notification, notes what is new in it, and lets the call go on. */
#define _GNU_SOURCE
#include "tracer.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "kill-all.h"
#include "note.h"
#include "record.h"
#include "syscalls.h"

/* Linux 6.6: hand the processor over to the tracer and back instead of waking another. */
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP 1UL
#endif

static const struct call *native[MAX_CALL_NUMBER];
#if defined(__x86_64__)
static const struct call *i386[MAX_CALL_NUMBER];
#endif

static void index_calls(const struct call_table *table, const struct call **by_number) {
  for (size_t i = 0; i < table->count; i++) by_number[table->calls[i].number] = &table->calls[i];
}

static const struct call *call_of(const struct seccomp_data *data) {
  if (data->nr < 0 || data->nr >= MAX_CALL_NUMBER) return NULL;
#if defined(__x86_64__)
  if (data->arch == i386_calls.arch) return i386[data->nr];
#endif
  return native[data->nr];
}

static void wake_up(int signal) { (void)signal; }

/* Before Linux 6.11 a waiting tracer is not told that the last traced process is gone: look each second. */
static void look_up_each_second(void) {
  struct sigaction action = {.sa_handler = wake_up};
  struct itimerval second = {{1, 0}, {1, 0}};
  sigset_t alarm;
  sigemptyset(&alarm);
  sigaddset(&alarm, SIGALRM);
  sigaction(SIGALRM, &action, NULL);
  sigprocmask(SIG_UNBLOCK, &alarm, NULL);
  setitimer(ITIMER_REAL, &second, NULL);
}

static int hung_up(int listener) {
  struct pollfd poller = {listener, 0, 0};
  return poll(&poller, 1, 0) == 1 && (poller.revents & (POLLHUP | POLLERR)) != 0;
}

static void handle(int listener, const struct seccomp_notif *notification,
                   struct seccomp_notif_resp *response) {
  const struct call *call = call_of(&notification->data);
  response->flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
  if (call == NULL) return;
  if (call->class != CALL_KILL) {
    note_call(listener, notification, call);
    return;
  }
  bool emulated;
  int error = kill_all((pid_t)notification->pid, (int)notification->data.args[1], &emulated);
  if (!emulated) return;
  response->flags = 0;
  response->error = error;
}

void trace(int listener) {
  struct seccomp_notif_sizes sizes;
  if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) != 0) return;
  size_t request_size = sizes.seccomp_notif, response_size = sizes.seccomp_notif_resp;
  if (request_size < sizeof(struct seccomp_notif)) request_size = sizeof(struct seccomp_notif);
  if (response_size < sizeof(struct seccomp_notif_resp)) response_size = sizeof(struct seccomp_notif_resp);
  struct seccomp_notif *notification = malloc(request_size);
  struct seccomp_notif_resp *response = malloc(response_size);
  if (notification == NULL || response == NULL) return;
  index_calls(&native_calls, native);
#if defined(__x86_64__)
  index_calls(&i386_calls, i386);
#endif
  ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
  look_up_each_second();

  for (;;) {
    memset(notification, 0, request_size);
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, notification) != 0) {
      /* ENOENT: the caller died first. EINTR: the timer. */
      if ((errno == ENOENT || errno == EINTR) && !hung_up(listener)) continue;
      return;
    }
    count_event();
    memset(response, 0, response_size);
    response->id = notification->id;
    handle(listener, notification, response);
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, response);
  }
}
