#ifndef SENSOR_FILTER_H
#define SENSOR_FILTER_H

#include <sys/types.h>

/*
 * Install the seccomp filter that reports path system calls on this process, for good.
 * `tracer` is the process that must not be killed. Returns the listener, or -1 with errno set.
 */
int install_filter(pid_t tracer);

#endif
