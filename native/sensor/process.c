/* Looking into the traced processes. */
#define _GNU_SOURCE
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "record.h"

#define PAGE 4096
/* Most paths are shorter; one read of this size serves them. */
#define FIRST_READ 256

/* Docker before 23 allows process_vm_readv only together with CAP_SYS_PTRACE; the file asks the same rights. */
static ssize_t read_memory_file(pid_t pid, const struct iovec *local, const struct iovec *remote, int count) {
  char name[32];
  snprintf(name, sizeof name, "/proc/%d/mem", pid);
  int file = open(name, O_RDONLY | O_CLOEXEC);
  if (file < 0) return -1;
  char *to = local->iov_base;
  ssize_t total = 0, got = 0;
  for (int i = 0; i < count; i++) {
    got = pread(file, to + total, remote[i].iov_len, (off_t)(uintptr_t)remote[i].iov_base);
    if (got <= 0) break;
    total += got;
  }
  int error = errno == EIO ? EFAULT : errno;
  close(file);
  errno = error;
  return total > 0 ? total : got;
}

static ssize_t read_memory(pid_t pid, const struct iovec *local, const struct iovec *remote, int count) {
  static bool refused;
  if (!refused) {
    ssize_t got = process_vm_readv(pid, local, 1, remote, (unsigned long)count, 0);
    if (got >= 0 || (errno != EPERM && errno != ENOSYS)) return got;
  }
  ssize_t got = read_memory_file(pid, local, remote, count);
  refused = refused || got > 0; /* by seccomp then, not for want of rights */
  return got;
}

ssize_t read_string(pid_t pid, uint64_t address, char *to, size_t size) {
  size_t have = 0;
  while (have < size) {
    uint64_t from = address + have;
    size_t wanted = have == 0 ? FIRST_READ : PAGE;
    if (wanted > size - have) wanted = size - have;
    /* Split at the page: the string may end just before one that is not mapped. */
    size_t room = PAGE - (from & (PAGE - 1));
    struct iovec local = {to + have, wanted};
    struct iovec remote[2] = {{(void *)from, wanted}, {(void *)(from + room), 0}};
    if (room < wanted) {
      remote[0].iov_len = room;
      remote[1].iov_len = wanted - room;
    }
    ssize_t got = read_memory(pid, &local, remote, room < wanted ? 2 : 1);
    if (got < 0) return -errno;
    if (got == 0) return -EFAULT;
    char *end = memchr(to + have, 0, (size_t)got);
    if (end != NULL) return end - to;
    have += (size_t)got;
  }
  return -ENAMETOOLONG;
}

int read_bytes(pid_t pid, uint64_t address, void *to, size_t size) {
  struct iovec local = {to, size};
  struct iovec remote = {(void *)address, size};
  ssize_t got = read_memory(pid, &local, &remote, 1);
  if (got < 0) return -errno;
  return got == (ssize_t)size ? 0 : -EFAULT;
}

ssize_t read_process_link(pid_t pid, const char *name, char *to, size_t size) {
  static const char deleted[] = " (deleted)";
  char link[64];
  snprintf(link, sizeof link, "/proc/%d/%s", pid, name);
  ssize_t length = readlink(link, to, size - 1);
  if (length < 0) return -errno;
  to[length] = 0;
  size_t tail = sizeof deleted - 1;
  if (to[0] != '/') return -ENOENT;
  if ((size_t)length > tail && strcmp(to + length - tail, deleted) == 0) return -ENOENT;
  return length;
}

void read_program(pid_t pid, char *to) {
  char name[32];
  snprintf(name, sizeof name, "/proc/%d/comm", pid);
  int file = open(name, O_RDONLY | O_CLOEXEC);
  ssize_t length = file < 0 ? -1 : read(file, to, COMM_SIZE - 1);
  if (file >= 0) close(file);
  if (length > 0 && to[length - 1] == '\n') length--;
  if (length <= 0) to[0] = '?', length = 1;
  to[length] = 0;
}
