/*
 * Copies out of mapped files, for debloat's block server: only what is in the page cache, so that
 * no copy waits for the medium, and with no crash where a file turns out to be cut off or
 * unreadable (a SIGBUS). Loaded into the process; native/linux/page-copier.ts is its other side.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

/* After `first_lines` the processor sees by itself where a copy is going. */
enum { page_shift = 12, page_size = 1 << page_shift, group_pages = 32, line_size = 64, first_lines = 6 };

/* One copy; `done` is the answer. The other side lays it out in the same way. */
struct piece {
  uint64_t to;
  uint64_t from;
  uint32_t length;
  uint32_t done;
};

/* Which pages of a group were in the page cache when they were last looked at (in ticks). */
struct group {
  uint32_t when;
  uint32_t seen;
};

/* A mapped file, as it was then, and its groups of pages; none: a file in memory that nobody else has. */
struct image {
  uint64_t start;
  uint64_t size;
  uint64_t groups;
  int64_t fd;
};

/* Where to go on when a copy of this thread faults. In static storage: a handler must not allocate. */
static _Thread_local sigjmp_buf *volatile guard __attribute__((tls_model("initial-exec")));
static struct sigaction before;

static void on_fault(int signal, siginfo_t *info, void *context) {
  (void)info, (void)context;
  if (guard != NULL) siglongjmp(*guard, 1);
  /* Not ours: as if we were not there. */
  sigaction(signal, &before, NULL);
  raise(signal);
}

/* Once for the process, before any copy; 0, or -1 and errno. */
int debloat_copier_start(void) {
  const struct sigaction ours = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK };
  return sigaction(SIGBUS, &ours, &before);
}

/* A quarter of a second: a page that was used within one stays cached, but for great distress. */
static uint32_t tick(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &time);
  return (uint32_t)(time.tv_sec * 4 + time.tv_nsec / 250000000) + 1;
}

/* Whether page number `page` is in the page cache, as of now or a moment ago. */
static int page_resident(const struct image *image, uint64_t page, uint32_t now) {
  struct group *const group = (struct group *)image->groups + page / group_pages;
  const uint32_t bit = (uint32_t)1 << page % group_pages;
  if (group->when == now && (group->seen & bit)) return 1;
  /* Its neighbours with it: most of what a call costs is not for the pages. */
  const uint64_t pages = (image->size + page_size - 1) >> page_shift;
  const uint64_t first = page - page % group_pages;
  const uint64_t count = pages - first < group_pages ? pages - first : group_pages;
  unsigned char found[group_pages];
  if (mincore((void *)(image->start + (first << page_shift)), count << page_shift, found) != 0) return 0;
  group->when = now;
  group->seen = 0;
  for (uint64_t n = 0; n < count; n++) group->seen |= (uint32_t)(found[n] & 1) << n;
  return (group->seen & bit) != 0;
}

/* Whether all pages of a range are. */
static int resident(const struct image *image, uint64_t from, uint32_t length, uint32_t now) {
  const uint64_t last = (from + length - 1 - image->start) >> page_shift;
  for (uint64_t page = (from - image->start) >> page_shift; page <= last; page++)
    if (!page_resident(image, page, now)) return 0;
  return 1;
}

/* Have the first cache lines at `from` brought: where they are takes as long to find out as a good part of a copy. */
static void fetch(uint64_t from, int lines) {
  for (int n = 0; n < lines; n++) __builtin_prefetch((const char *)from + n * line_size);
}

/*
 * Carry out those of `count` copies out of `image` whose source is in memory; none if the file has
 * become shorter, for then a page may have lost its end, and shows zeros there.
 */
void debloat_copy(const struct image *image, struct piece *pieces, int64_t count) {
  const int in_memory = image->groups == 0;
  const uint32_t now = tick();
  volatile int64_t at = 0;
  sigjmp_buf here;
  if (sigsetjmp(here, 0) != 0) at++;
  guard = &here;
  for (; at < count; at++) {
    struct piece *const piece = &pieces[at];
    piece->done = 0;
    if (at + 1 < count) fetch(piece[1].from, first_lines);
    if (at + 2 < count) fetch(piece[2].from, 1);
    if (!in_memory && !resident(image, piece->from, piece->length, now)) continue;
    memcpy((void *)piece->to, (const void *)piece->from, piece->length);
    piece->done = 1;
  }
  guard = NULL;
  if (in_memory) return;
  struct stat file;
  if (fstat((int)image->fd, &file) == 0 && (uint64_t)file.st_size >= image->size) return;
  for (int64_t n = 0; n < count; n++) pieces[n].done = 0;
}
