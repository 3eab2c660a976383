/* The seccomp filter: a balanced tree of comparisons over system call numbers, one per architecture. */
#define _GNU_SOURCE
#include "filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "syscalls.h"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

#define X32_BIT 0x40000000
#define REFUSE(error) (SECCOMP_RET_ERRNO | (error))
/* The low half of an argument; all machines that we know are little-endian. */
#define ARGUMENT(n) offsetof(struct seccomp_data, args[n])

static struct sock_filter program[2048];
static unsigned short length;
static pid_t protected;

static void emit(unsigned short code, unsigned int k, unsigned char jt, unsigned char jf) {
  if (length == sizeof program / sizeof *program) abort();
  program[length++] = (struct sock_filter){code, jt, jf, k};
}

static void load(unsigned int offset) { emit(BPF_LD | BPF_W | BPF_ABS, offset, 0, 0); }
static void answer(unsigned int action) { emit(BPF_RET | BPF_K, action, 0, 0); }
static void skip_unless_equal(unsigned int value, unsigned char count) {
  emit(BPF_JMP | BPF_JEQ | BPF_K, value, 0, count);
}

/* stat of an open file (glibc's fstat): no path in it. A path given beside AT_EMPTY_PATH is not seen. */
static void emit_stat(const struct call *call) {
  load(ARGUMENT(call->flags));
  emit(BPF_JMP | BPF_JSET | BPF_K, AT_EMPTY_PATH, 0, 2);
  load(ARGUMENT(call->directory));
  skip_unless_equal((unsigned)AT_FDCWD, 1);
  answer(SECCOMP_RET_USER_NOTIF);
  answer(SECCOMP_RET_ALLOW);
}

/* Only signals that cannot be blocked endanger the tracer: kill(-1) is emulated, kill(tracer) refused. */
static void emit_kill(void) {
  load(ARGUMENT(1));
  emit(BPF_JMP | BPF_JEQ | BPF_K, SIGKILL, 2, 0);
  emit(BPF_JMP | BPF_JEQ | BPF_K, SIGSTOP, 1, 0);
  answer(SECCOMP_RET_ALLOW);
  load(ARGUMENT(0));
  skip_unless_equal((unsigned)-1, 1);
  answer(SECCOMP_RET_USER_NOTIF);
  skip_unless_equal((unsigned)protected, 1);
  answer(REFUSE(ESRCH));
  answer(SECCOMP_RET_ALLOW);
}

static void emit_leaf(const struct call *call) {
  if (call == NULL) answer(SECCOMP_RET_ALLOW);
  else if (call->class == CALL_REFUSED) answer(REFUSE(ENOSYS));
  else if (call->class == CALL_KILL) emit_kill();
  else if (call->class == CALL_STAT && call->directory != NONE && call->flags != NONE) emit_stat(call);
  else answer(SECCOMP_RET_USER_NOTIF);
}

/* A run of neighbouring numbers that are treated alike, up to the next run's start. */
struct run {
  unsigned int start;
  const struct call *call;
};

static int alike(const struct call *a, const struct call *b) {
  if (a == NULL || b == NULL) return a == b;
  if (a->class == CALL_REFUSED || a->class == CALL_KILL || a->class == CALL_STAT) return 0;
  return b->class != CALL_REFUSED && b->class != CALL_KILL && b->class != CALL_STAT;
}

static void emit_tree(const struct run *runs, size_t count) {
  if (count == 1) {
    emit_leaf(runs->call);
    return;
  }
  size_t half = count / 2;
  unsigned short branch = length;
  emit(BPF_JMP | BPF_JGE | BPF_K, runs[half].start, 0, 1);
  emit(BPF_JMP | BPF_JA, 0, 0, 0);
  emit_tree(runs, half);
  program[branch + 1].k = length - branch - 2;
  emit_tree(runs + half, count - half);
}

static void emit_table(const struct call_table *table) {
  static const struct call *by_number[MAX_CALL_NUMBER];
  static struct run runs[MAX_CALL_NUMBER + 1];
  for (size_t i = 0; i < MAX_CALL_NUMBER; i++) by_number[i] = NULL;
  for (size_t i = 0; i < table->count; i++) by_number[table->calls[i].number] = &table->calls[i];
  size_t count = 0;
  for (unsigned int number = 0; number < MAX_CALL_NUMBER; number++) {
    if (number > 0 && alike(by_number[number - 1], by_number[number])) continue;
    runs[count++] = (struct run){number, by_number[number]};
  }
  if (by_number[MAX_CALL_NUMBER - 1] != NULL) runs[count++] = (struct run){MAX_CALL_NUMBER, NULL};

  load(offsetof(struct seccomp_data, arch));
  unsigned short branch = length;
  skip_unless_equal(table->arch, 0);
  program[branch].jt = 1;
  emit(BPF_JMP | BPF_JA, 0, 0, 0);
  load(offsetof(struct seccomp_data, nr));
#if defined(__x86_64__)
  emit(BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1);
  answer(REFUSE(ENOSYS));
#endif
  emit_tree(runs, count);
  program[branch + 1].k = length - branch - 2;
}

int install_filter(pid_t tracer) {
  protected = tracer;
  length = 0;
  emit_table(&native_calls);
#if defined(__x86_64__)
  emit_table(&i386_calls);
#endif
  answer(REFUSE(ENOSYS)); /* an architecture that we could not follow */

  struct sock_fprog fprog = {length, program};
  unsigned long flags = SECCOMP_FILTER_FLAG_NEW_LISTENER;
  /* Signals must not interrupt a call that the tracer is looking at (Linux 5.19). */
  long listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                          flags | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, &fprog);
  if (listener < 0 && errno == EINVAL)
    listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &fprog);
  return (int)listener;
}
