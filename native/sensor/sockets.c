/* What listens in this container, for who cannot look from outside. */
#define _GNU_SOURCE
#include "sockets.h"

#include <fcntl.h>
#include <unistd.h>

int print_sockets(void) {
  static const char *const tables[] = {"/proc/net/tcp", "/proc/net/tcp6"};
  char text[16384];
  for (int i = 0; i < 2; i++) {
    int file = open(tables[i], O_RDONLY | O_CLOEXEC);
    if (file < 0) continue; /* no IPv6 */
    for (ssize_t length; (length = read(file, text, sizeof text)) > 0;)
      for (ssize_t at = 0, wrote; at < length; at += wrote)
        if ((wrote = write(1, text + at, (size_t)(length - at))) <= 0) return 1;
    close(file);
  }
  return 0;
}
