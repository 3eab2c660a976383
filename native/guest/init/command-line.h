// The kernel's command line.
#ifndef DEBLOAT_INIT_COMMAND_LINE_H
#define DEBLOAT_INIT_COMMAND_LINE_H

// Read /proc/cmdline, which must be mounted.
void read_command_line(void);

// The value of the last NAME=VALUE, "" for a bare NAME, NULL where there is none.
const char *parameter(const char *name);

// The same, `otherwise` where there is none.
const char *parameter_or(const char *name, const char *otherwise);

// Append " NAME=VALUE" for each word MODULE.NAME=VALUE to `parameters`.
void append_module_parameters(const char *module, char *parameters, unsigned long size);

// 1 if the first word comes last of the two, -1 if the second does, 0 if there is neither.
int last_of(const char *first, const char *second);

#endif
