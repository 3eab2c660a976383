#include "system.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#include "console.h"

int main(char **argv);

#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n"
        "  xor %ebp, %ebp\n"
        "  lea 8(%rsp), %rdi\n"
        "  and $-16, %rsp\n"
        "  call main\n"
        "  mov %eax, %edi\n"
        "  mov $231, %eax\n" // exit_group
        "  syscall\n");

long system_call(long number, long a, long b, long c, long d, long e, long f) {
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  long result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}
#elif defined(__aarch64__)
__asm__(".globl _start\n_start:\n"
        "  mov x29, #0\n"
        "  add x0, sp, #8\n"
        "  bl main\n"
        "  mov x8, #94\n" // exit_group
        "  svc #0\n");

long system_call(long number, long a, long b, long c, long d, long e, long f) {
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  register long x4 __asm__("x4") = e;
  register long x5 __asm__("x5") = f;
  __asm__ volatile("svc #0"
                   : "+r"(x0)
                   : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                   : "memory");
  return x0;
}
#else
#error "the init knows x86_64 and aarch64"
#endif

// The compiler calls these three by itself.
void *memcpy(void *to, const void *from, size_t size) {
  for (size_t i = 0; i < size; i++) ((char *)to)[i] = ((const char *)from)[i];
  return to;
}

void *memset(void *to, int value, size_t size) {
  for (size_t i = 0; i < size; i++) ((char *)to)[i] = (char)value;
  return to;
}

int memcmp(const void *a, const void *b, size_t size) {
  const unsigned char *x = a, *y = b;
  for (size_t i = 0; i < size; i++)
    if (x[i] != y[i]) return x[i] - y[i];
  return 0;
}

int open_file(const char *path, int flags, int mode) {
  return (int)call4(openat, AT_FDCWD, path, flags | O_CLOEXEC, mode);
}

int close_file(int fd) { return (int)call1(close, fd); }

long read_file(int fd, void *buffer, size_t size) {
  long count;
  do count = call3(read, fd, buffer, size);
  while (count == -EINTR);
  return count;
}

long write_file(int fd, const void *buffer, size_t size) {
  long count;
  do count = call3(write, fd, buffer, size);
  while (count == -EINTR);
  return count;
}

int make_directory(const char *path, int mode) {
  int result = (int)call3(mkdirat, AT_FDCWD, path, mode);
  return result == -EEXIST ? 0 : result;
}

int make_directories(const char *path, int mode) {
  char parent[4096] = "";
  append(parent, sizeof parent, path);
  for (size_t i = 1; parent[i] != 0; i++) {
    if (parent[i] != '/') continue;
    parent[i] = 0;
    make_directory(parent, mode);
    parent[i] = '/';
  }
  return make_directory(parent, mode);
}

int mount_at(const char *source, const char *target, const char *type, unsigned long flags, const char *data) {
  return (int)call5(mount, source, target, type, flags, data);
}

int unlink_file(const char *path) { return (int)call3(unlinkat, AT_FDCWD, path, 0); }

int exists(const char *path) { return call3(faccessat, AT_FDCWD, path, 0) == 0; }

int map_file(const char *path, size_t limit, char **content, size_t *size) {
  int fd = open_file(path, O_RDONLY, 0);
  if (fd < 0) return fd;
  char *buffer = allocate(limit + 1);
  size_t done = 0;
  for (;;) {
    long count = read_file(fd, buffer + done, limit - done);
    if (count < 0) {
      close_file(fd);
      return (int)count;
    }
    done += (size_t)count;
    if (count == 0) break;
    if (done == limit) {
      close_file(fd);
      return -EFBIG;
    }
  }
  close_file(fd);
  *content = buffer;
  *size = done;
  return 0;
}

int put_text(const char *path, const char *text) {
  int fd = open_file(path, O_WRONLY, 0);
  if (fd < 0) return fd;
  long count = write_file(fd, text, length(text));
  close_file(fd);
  return count < 0 ? (int)count : 0;
}

void sleep_milliseconds(long milliseconds) {
  struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
  call4(clock_nanosleep, CLOCK_MONOTONIC, 0, &time, NULL);
}

long monotonic_milliseconds(void) {
  struct timespec now = {0, 0};
  call2(clock_gettime, CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int fork_process(void) { return (int)call5(clone, SIGCHLD, 0, 0, 0, 0); }

void exit_process(int status) {
  for (;;) call1(exit_group, status);
}

void *allocate(size_t size) {
  long address = system_call(SYS_mmap, 0, (long)size, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address < 0 && address > -4096) give_up("there is no memory", (int)address);
  return (void *)address;
}

size_t length(const char *text) {
  size_t count = 0;
  while (text[count] != 0) count++;
  return count;
}

int equal(const char *a, const char *b) {
  while (*a != 0 && *a == *b) a++, b++;
  return *a == *b;
}

const char *after(const char *text, const char *prefix) {
  while (*prefix != 0)
    if (*text++ != *prefix++) return NULL;
  return text;
}

long number(const char *text) {
  long value = 0;
  if (*text == 0) return -1;
  for (; *text != 0; text++) {
    if (*text < '0' || *text > '9' || value > 0xffffffffL) return -1;
    value = value * 10 + (*text - '0');
  }
  return value;
}

void append(char *buffer, size_t size, const char *text) {
  size_t at = length(buffer);
  while (*text != 0 && at + 1 < size) buffer[at++] = *text++;
  buffer[at] = 0;
}

void append_number(char *buffer, size_t size, long value) {
  char digits[24];
  size_t at = sizeof digits - 1;
  unsigned long rest = value < 0 ? 0UL - (unsigned long)value : (unsigned long)value;
  digits[at] = 0;
  do digits[--at] = (char)('0' + rest % 10);
  while ((rest /= 10) != 0);
  if (value < 0) digits[--at] = '-';
  append(buffer, size, digits + at);
}
