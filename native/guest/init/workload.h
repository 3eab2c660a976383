// The image's own program.
#ifndef DEBLOAT_INIT_WORKLOAD_H
#define DEBLOAT_INIT_WORKLOAD_H

#include "settings.h"

// Start it as the image says. Returns its process id, or -errno. Where it cannot be executed the
// process says so on the console and ends with 127 (not found) or 126, as a shell's would.
int start_workload(const struct settings *settings);

#endif
