// What the image says about its workload, as builder/vm/init-settings.ts writes it to /.debloat/init.conf:
// fields "name=value", each ended by a zero byte.
#ifndef DEBLOAT_INIT_SETTINGS_H
#define DEBLOAT_INIT_SETTINGS_H

enum { max_groups = 1024, max_volumes = 64 };

struct settings {
  char **arguments; // NULL ends it
  char **environment;
  const char *directory;
  const char *hostname;
  char *volumes[max_volumes];
  int volume_count;
  unsigned uid, gid;
  unsigned groups[max_groups];
  int group_count;
  int stop_signal;
};

// Ends the machine with a message if there are none, or they are damaged.
const struct settings *read_settings(void);

#endif
