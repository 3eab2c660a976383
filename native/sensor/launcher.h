#ifndef SENSOR_LAUNCHER_H
#define SENSOR_LAUNCHER_H

#include <sys/types.h>

/*
 * Start the tracer beside this process; it waits for the listener on the returned socket and answers
 * one byte when it is ready. `file` is the trace file. -1 with errno set.
 */
int start_tracer(int file, pid_t *tracer);

/* Give the listener to the tracer and wait until it has it; -1 with errno set. */
int hand_over(int socket, int listener);

#endif
