#ifndef SENSOR_CAPABILITY_H
#define SENSOR_CAPABILITY_H

#include <stdbool.h>
#include <stdint.h>

/* A bit set of capabilities from "sys_ptrace,sys_admin" (also "CAP_SYS_PTRACE"); false if one is unknown. */
bool parse_capabilities(const char *names, uint64_t *set);

/* Whether capability `number` is effective now. */
bool has_capability(int number);

/* Take `set` from every set of this process, the bounding set as far as CAP_SETPCAP allows. */
void drop_capabilities(uint64_t set);

#endif
