/* The trace file: counters in a shared mapping, records by one write per event. */
#include "record.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

_Static_assert(sizeof(struct trace_header) <= HEADER_SIZE, "the header outgrew its page");

static int file = -1;
static off_t end;
static struct trace_header *header;

/* One event makes at most 40 symlinks per path, two paths and a few interpreters. */
static unsigned char batch[1 << 20];
static size_t batched;
static uint64_t batched_records;

int create_trace(const char *directory) {
  char path[PATH_MAX];
  int made;
  do {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int size = snprintf(path, sizeof path, "%s/%d-%lld%09ld.trace", directory, getpid(), (long long)now.tv_sec,
                        now.tv_nsec);
    if (size >= (int)sizeof path) {
      errno = ENAMETOOLONG;
      return -1;
    }
    made = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  } while (made < 0 && errno == EEXIST);
  return made;
}

bool open_trace(int fd, uint32_t flags) {
  static const char zeros[HEADER_SIZE];
  file = fd;
  /* Written, not only truncated to: a hole in the mapping would fault on a full disk. */
  ssize_t written = pwrite(file, zeros, HEADER_SIZE, 0);
  if (written != HEADER_SIZE) {
    if (written >= 0) errno = ENOSPC;
    return false;
  }
  header = mmap(NULL, HEADER_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (header == MAP_FAILED) return false;
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  header->started = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
  header->version = TRACE_VERSION;
  header->flags = flags;
  memcpy(header->magic, "DBLTRACE", sizeof header->magic);
  end = HEADER_SIZE;
  return true;
}

void count_event(void) { header->events++; }

void count_unreadable(const char *program) {
  for (uint32_t i = 0; i < TRACE_PROGRAMS; i++) {
    if (i == header->programs) {
      strncpy(header->unreadable[i].name, program, COMM_SIZE - 1);
      header->programs = i + 1;
    }
    if (strncmp(header->unreadable[i].name, program, COMM_SIZE - 1) == 0) {
      header->unreadable[i].count++;
      return;
    }
  }
  header->unreadable_others++;
}

void add_record(enum kind kind, enum outcome outcome, const char *program, const char *path, size_t length) {
  size_t name = strnlen(program, COMM_SIZE - 1);
  size_t size = 5 + name + length;
  if (size > UINT16_MAX || batched + size > sizeof batch) {
    header->lost++;
    header->lost_errno = ENAMETOOLONG;
    return;
  }
  unsigned char *to = batch + batched;
  to[0] = (unsigned char)size;
  to[1] = (unsigned char)(size >> 8);
  to[2] = (unsigned char)kind;
  to[3] = (unsigned char)outcome;
  to[4] = (unsigned char)name;
  memcpy(to + 5, program, name);
  memcpy(to + 5 + name, path, length);
  batched += size;
  batched_records++;
}

/* Written at a known offset: what a full disk cut short is written over by the next record. */
void write_records(void) {
  if (batched == 0) return;
  ssize_t written = pwrite(file, batch, batched, end);
  if (written == (ssize_t)batched) {
    end += written;
  } else {
    header->lost += batched_records;
    header->lost_errno = written < 0 ? (uint32_t)errno : ENOSPC;
  }
  drop_records();
}

void drop_records(void) {
  batched = 0;
  batched_records = 0;
}
