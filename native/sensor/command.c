/* What is to be run, and with which environment. */
#define _GNU_SOURCE
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* On the initial stack the variables lie between the last argument and the file's own name. */
char **original_environment(int argc, char **argv) {
  const char *end = (const char *)getauxval(AT_EXECFN);
  char *first = argv[argc - 1] + strlen(argv[argc - 1]) + 1;
  size_t count = 0;
  for (char *at = first; at < end; at += strlen(at) + 1) count++;
  char **environment = calloc(count + 1, sizeof *environment);
  if (environment == NULL) return NULL;
  char *at = first;
  for (size_t i = 0; i < count; i++, at += strlen(at) + 1) environment[i] = at;
  return environment;
}

static const char *variable(char **environment, const char *name) {
  size_t length = strlen(name);
  for (; *environment != NULL; environment++)
    if (strncmp(*environment, name, length) == 0 && (*environment)[length] == '=') return *environment + length + 1;
  return NULL;
}

/* 0, ENOENT or EACCES. */
static int can_run(const char *path) {
  struct stat status;
  if (stat(path, &status) != 0) return errno == EACCES ? EACCES : ENOENT;
  if (!S_ISREG(status.st_mode) || faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) != 0) return EACCES;
  return 0;
}

int find_program(const char *name, char **environment, char *to, size_t size) {
  if (strchr(name, '/') != NULL) {
    if ((size_t)snprintf(to, size, "%s", name) >= size) return ENOENT;
    return can_run(name);
  }
  const char *path = variable(environment, "PATH");
  if (path == NULL) path = DEFAULT_PATH;
  int result = ENOENT;
  for (const char *at = path; name[0] != 0; at++) {
    size_t length = strcspn(at, ":");
    int written = snprintf(to, size, "%.*s/%s", length == 0 ? 1 : (int)length, length == 0 ? "." : at, name);
    int outcome = written < (int)size ? can_run(to) : ENOENT;
    if (outcome == 0) return 0;
    if (outcome == EACCES) result = EACCES;
    at += length;
    if (*at == 0) break;
  }
  return result;
}
