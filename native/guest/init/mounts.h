// The file systems of the kernel that every workload expects.
#ifndef DEBLOAT_INIT_MOUNTS_H
#define DEBLOAT_INIT_MOUNTS_H

#include "settings.h"

// /proc, /sys, /dev and what is below them, as a container has them.
void mount_system(void);

// Directories that the image's volumes need, and /run and /tmp where the root cannot be written to.
void prepare_directories(const struct settings *settings);

// Show `text` at `path` (a file of /etc) without writing to the file there.
void show_text(const char *name, const char *path, const char *text);

#endif
