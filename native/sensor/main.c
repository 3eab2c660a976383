/*
 * sensor --output DIR [--drop-caps LIST] -- PROGRAM [ARGUMENT…]
 * sensor --listening
 *
 * Becomes PROGRAM (same process, environment, files and signals) with every path that it and its
 * children use recorded in a new file in DIR. LIST names capabilities that were given for the sensor
 * alone. --listening prints the network namespace's TCP tables. Exit code, where PROGRAM is not reached: 125 the sensor failed, 126 not executable, 127 not found.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "capability.h"
#include "command.h"
#include "filter.h"
#include "launcher.h"
#include "record.h"
#include "sockets.h"

#define EXIT_SENSOR 125
#define EXIT_NOT_EXECUTABLE 126
#define EXIT_NOT_FOUND 127

/* Who "runs" the entrypoint, in the records. */
#define LAUNCHER_NAME "container"

struct options {
  const char *output;
  uint64_t drop;
  int command; /* index of PROGRAM */
};

static int fail(const char *what) {
  dprintf(2, "debloat sensor: %s: %s\n", what, strerror(errno));
  return EXIT_SENSOR;
}

static bool parse(int argc, char **argv, struct options *options) {
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--") == 0) {
      options->command = i + 1;
      return options->output != NULL && i + 1 < argc;
    }
    if (i + 1 >= argc) return false;
    if (strcmp(argv[i], "--output") == 0) options->output = argv[++i];
    else if (strcmp(argv[i], "--drop-caps") != 0 || !parse_capabilities(argv[++i], &options->drop)) return false;
  }
  return false;
}

/* The listener in the tracer's hands, the filter on this process. */
static int start_tracing(const struct options *options) {
  int file = create_trace(options->output);
  if (file < 0) {
    dprintf(2, "debloat sensor: cannot make a trace file in %s: %s\n", options->output, strerror(errno));
    return EXIT_SENSOR;
  }
  bool confined = !has_capability(CAP_SYS_ADMIN) || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
  if (!open_trace(file, confined ? TRACE_NO_NEW_PRIVILEGES : 0)) return fail("cannot write the trace file");
  pid_t tracer;
  int socket = start_tracer(file, &tracer);
  if (socket < 0) return fail("cannot start the tracer");
  close(file);
  if (confined && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return fail("cannot set no_new_privs");
  int listener = install_filter(tracer);
  if (listener < 0)
    return fail(errno == EBUSY ? "another seccomp listener is in the way"
                               : "cannot install the seccomp filter (Linux 5.5 or newer, seccomp allowed)");
  if (hand_over(socket, listener) != 0) return fail("the tracer did not start");
  close(listener);
  close(socket);
  return 0;
}

int main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], "--listening") == 0) return print_sockets();
  struct options options = {0};
  if (!parse(argc, argv, &options)) {
    dprintf(2, "usage: sensor --output DIR [--drop-caps LIST] -- PROGRAM [ARGUMENT...]\n");
    return EXIT_SENSOR;
  }
  char **command = argv + options.command;
  char **environment = original_environment(argc, argv);
  char program[PATH_MAX];
  int missing = environment == NULL ? ENOMEM : find_program(command[0], environment, program, sizeof program);
  if (missing == ENOENT) {
    dprintf(2, "debloat sensor: %s: no such program\n", command[0]);
    return EXIT_NOT_FOUND;
  }
  if (missing != 0) {
    dprintf(2, "debloat sensor: %s: %s\n", command[0], strerror(missing));
    return EXIT_NOT_EXECUTABLE;
  }
  int failed = start_tracing(&options);
  if (failed != 0) return failed;
  drop_capabilities(options.drop);
  prctl(PR_SET_NAME, LAUNCHER_NAME, 0, 0, 0);
  execve(program, command, environment);
  dprintf(2, "debloat sensor: %s: %s\n", command[0], strerror(errno));
  return errno == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
}
