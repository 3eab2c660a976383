#ifndef SENSOR_COMMAND_H
#define SENSOR_COMMAND_H

#include <stddef.h>

/* The environment as the kernel handed it over: libc takes variables out of it when the file has capabilities. */
char **original_environment(int argc, char **argv);

/*
 * Where `name` is, by the PATH of `environment`, as a container runtime looks for an entrypoint. Writes
 * the path into `to` and returns 0, or ENOENT, or EACCES if there is only one that may not be run.
 */
int find_program(const char *name, char **environment, char *to, size_t size);

#endif
