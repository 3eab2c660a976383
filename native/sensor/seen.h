#ifndef SENSOR_SEEN_H
#define SENSOR_SEEN_H

#include <stddef.h>
#include <stdint.h>

/* A 64-bit key of `length` bytes, told apart by `salt`; never 0. */
uint64_t seen_key(uint64_t salt, const char *bytes, size_t length);

/* The note left under `key`, or 0. */
uint64_t seen_get(uint64_t key);

/* Leave `note` (not 0) under `key`. */
void seen_put(uint64_t key, uint64_t note);

#endif
