#ifndef SENSOR_INTERPRETER_H
#define SENSOR_INTERPRETER_H

#include <stdbool.h>
#include <stddef.h>

#include "resolve.h"

/*
 * The program that the kernel itself opens to run the file at `path` (canonical in `view`): the
 * loader of an ELF file or what a "#!" line names. False where there is none.
 */
bool read_interpreter(const struct view *view, const char *path, char *interpreter, size_t size);

#endif
