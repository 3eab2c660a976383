#include "settings.h"

#include <signal.h>

#include "console.h"
#include "system.h"

static struct settings settings = {.directory = "/", .hostname = "debloat", .stop_signal = SIGTERM};

static unsigned id(const char *text) {
  long value = number(text);
  if (value < 0 || value > 0xfffffffeL) give_up("/.debloat/init.conf is damaged", 0);
  return (unsigned)value;
}

static int count_of(const char *content, size_t size, const char *prefix) {
  int count = 0;
  for (size_t at = 0; at < size; at += length(content + at) + 1)
    if (after(content + at, prefix) != NULL) count++;
  return count;
}

static char **list_for(const char *content, size_t size, const char *prefix) {
  return allocate(((size_t)count_of(content, size, prefix) + 1) * sizeof(char *));
}

static void take(char *field, char ***argument, char ***variable) {
  const char *value;
  if ((value = after(field, "arg=")) != NULL) *(*argument)++ = (char *)value;
  else if ((value = after(field, "env=")) != NULL) *(*variable)++ = (char *)value;
  else if ((value = after(field, "cwd=")) != NULL) settings.directory = value;
  else if ((value = after(field, "hostname=")) != NULL) settings.hostname = value;
  else if ((value = after(field, "uid=")) != NULL) settings.uid = id(value);
  else if ((value = after(field, "gid=")) != NULL) settings.gid = id(value);
  else if ((value = after(field, "stop=")) != NULL) settings.stop_signal = (int)(id(value) & 127);
  else if ((value = after(field, "group=")) != NULL) {
    if (settings.group_count < max_groups) settings.groups[settings.group_count++] = id(value);
  } else if ((value = after(field, "volume=")) != NULL) {
    if (settings.volume_count < max_volumes) settings.volumes[settings.volume_count++] = (char *)value;
  }
}

const struct settings *read_settings(void) {
  char *content;
  size_t size;
  int error = map_file("/.debloat/init.conf", 8 * 1024 * 1024, &content, &size);
  if (error < 0) give_up("/.debloat/init.conf cannot be read", error);
  char **argument = settings.arguments = list_for(content, size, "arg=");
  char **variable = settings.environment = list_for(content, size, "env=");
  for (size_t at = 0; at < size; at += length(content + at) + 1) take(content + at, &argument, &variable);
  if (settings.arguments[0] == NULL) give_up("/.debloat/init.conf names no command", 0);
  return &settings;
}
