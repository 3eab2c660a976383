#ifndef SENSOR_INTENT_H
#define SENSOR_INTENT_H

#include <linux/seccomp.h>
#include <stdbool.h>

#include "record.h"
#include "syscalls.h"

/* What a call is going to do with one of its paths. */
struct intent {
  enum kind kind;
  bool follow;    /* a symlink as the last component */
  bool creates;   /* makes the path if it is not there */
  bool exclusive; /* and fails if it is */
  bool directory; /* fails unless it is a directory */
  bool no_link;   /* fails if it is a symlink */
  bool empty;     /* "" means the directory descriptor itself */
  bool fresh;     /* each such call changes what other paths mean: look every time */
};

/* Fill `first` and, for a call with two paths, `second`; false for a bad struct open_how. */
bool read_intent(const struct seccomp_notif *notification, const struct call *call, struct intent *first,
                 struct intent *second);

/* Everything in it that matters for the outcome, as a number. */
unsigned int intent_bits(const struct intent *intent);

#endif
