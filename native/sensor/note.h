#ifndef SENSOR_NOTE_H
#define SENSOR_NOTE_H

#include <linux/seccomp.h>
#include <stdbool.h>

#include "syscalls.h"

/* Open what noting needs for good; false with errno set. */
bool prepare_notes(void);

/* Record what is new in one notification; the records are in the file when this returns. */
void note_call(int listener, const struct seccomp_notif *notification, const struct call *call);

#endif
