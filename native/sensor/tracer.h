#ifndef SENSOR_TRACER_H
#define SENSOR_TRACER_H

/* Answer the notifications of `listener` until the last traced process is gone. */
void trace(int listener);

#endif
