/* Interpreters: the kernel opens them inside execve, with no system call that could be seen. */
#define _GNU_SOURCE
#include "interpreter.h"

#include <elf.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static bool copy(char *to, size_t size, const char *from, size_t length) {
  if (length == 0 || length >= size) return false;
  memcpy(to, from, length);
  to[length] = 0;
  return true;
}

static bool read_shebang(const char *head, size_t length, char *to, size_t size) {
  const char *from = head + 2, *end = memchr(head, '\n', length);
  if (end == NULL) end = head + length;
  while (from < end && (*from == ' ' || *from == '\t')) from++;
  const char *stop = from;
  while (stop < end && *stop != ' ' && *stop != '\t' && *stop != 0) stop++;
  return copy(to, size, from, (size_t)(stop - from));
}

static bool read_segment(int file, off_t offset, size_t length, char *to, size_t size) {
  if (length == 0 || length > size) return false;
  return pread(file, to, length, offset) == (ssize_t)length && to[length - 1] == 0 && to[0] != 0;
}

/* At most 64 program headers: linkers put PT_INTERP among the first. */
#define READ_ELF(bits)                                                                    \
  static bool read_elf##bits(int file, const char *head, char *to, size_t size) {         \
    Elf##bits##_Ehdr header;                                                              \
    memcpy(&header, head, sizeof header);                                                 \
    for (int i = 0; i < header.e_phnum && i < 64; i++) {                                  \
      Elf##bits##_Phdr segment;                                                           \
      off_t at = (off_t)header.e_phoff + (off_t)i * header.e_phentsize;                   \
      if (pread(file, &segment, sizeof segment, at) != sizeof segment) return false;      \
      if (segment.p_type == PT_INTERP)                                                    \
        return read_segment(file, (off_t)segment.p_offset, segment.p_filesz, to, size);   \
    }                                                                                     \
    return false;                                                                         \
  }
READ_ELF(32)
READ_ELF(64)

bool read_interpreter(const struct view *view, const char *path, char *interpreter, size_t size) {
  char head[256];
  int file = openat(view->root, path[0] == 0 ? "." : path + 1, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC);
  if (file < 0) return false;
  ssize_t length = pread(file, head, sizeof head, 0);
  bool found = false;
  if (length >= 2 && memcmp(head, "#!", 2) == 0)
    found = read_shebang(head, (size_t)length, interpreter, size);
  else if (length >= (ssize_t)sizeof(Elf64_Ehdr) && memcmp(head, ELFMAG, SELFMAG) == 0)
    found = head[EI_CLASS] == ELFCLASS32 ? read_elf32(file, head, interpreter, size)
                                         : read_elf64(file, head, interpreter, size);
  close(file);
  return found;
}
