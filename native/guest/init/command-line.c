#include "command-line.h"

#include "system.h"

enum { max_words = 256 };
static const char *words[max_words];
static int count;

void read_command_line(void) {
  char *text;
  size_t size;
  count = 0;
  if (map_file("/proc/cmdline", 65536, &text, &size) < 0) return;
  int quoted = 0, inside = 0;
  for (size_t i = 0; i < size; i++) {
    if (text[i] == '"') quoted = !quoted;
    int separates = !quoted && (text[i] == ' ' || text[i] == '\n' || text[i] == '\t');
    if (separates) {
      text[i] = 0;
      inside = 0;
    } else if (!inside && count < max_words) {
      words[count++] = text + i;
      inside = 1;
    }
  }
}

const char *parameter(const char *name) {
  for (int i = count - 1; i >= 0; i--) {
    const char *rest = after(words[i], name);
    if (rest != NULL && *rest == '=') return rest + 1;
    if (rest != NULL && *rest == 0) return rest;
  }
  return NULL;
}

const char *parameter_or(const char *name, const char *otherwise) {
  const char *value = parameter(name);
  return value == NULL ? otherwise : value;
}

void append_module_parameters(const char *module, char *parameters, unsigned long size) {
  for (int i = 0; i < count; i++) {
    const char *rest = after(words[i], module);
    if (rest == NULL || *rest != '.') continue;
    append(parameters, size, " ");
    append(parameters, size, rest + 1);
  }
}

int last_of(const char *first, const char *second) {
  for (int i = count - 1; i >= 0; i--) {
    if (equal(words[i], first)) return 1;
    if (equal(words[i], second)) return -1;
  }
  return 0;
}
