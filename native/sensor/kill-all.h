#ifndef SENSOR_KILL_ALL_H
#define SENSOR_KILL_ALL_H

#include <stdbool.h>
#include <sys/types.h>

/* What every tracer is called, so that no tracer kills another. */
#define TRACER_NAME "debloat-tracer"

/*
 * kill(-1, signal) on behalf of thread `caller`: everything that it may signal but for itself, process
 * 1 and the tracers. Returns 0 or a negative errno; `emulated` is false where the kernel may do it.
 */
int kill_all(pid_t caller, int signal, bool *emulated);

#endif
