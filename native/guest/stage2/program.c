/* The user's command: its process, its standard streams, its user. */
#include "stage2.h"

#define TIOCSCTTY 0x540e
#define CLONE_PIDFD 0x1000
#define F_SETFL 4
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define EXIT_NOT_FOUND 127
#define EXIT_NOT_EXECUTABLE 126

static const char *search_path(void)
{
	char **word;

	for (word = settings.environment; *word; word++)
		if (starts_with(*word, "PATH="))
			return *word + 5;
	return DEFAULT_PATH;
}

static int has_slash(const char *name)
{
	for (; *name; name++)
		if (*name == '/')
			return 1;
	return 0;
}

/* execvp; returns -errno of the most telling attempt. */
static int execute(void)
{
	const char *name = settings.arguments[0], *path = search_path();
	int result = -ENOENT;

	if (has_slash(name))
		return call(execve, name, settings.arguments, settings.environment);
	while (*path) {
		char file[PATH_BYTES];
		u64 length = 0;
		int attempt;

		while (*path && *path != ':' && length + 1 < sizeof file)
			file[length++] = *path++;
		file[length] = 0;
		while (*path == ':')
			path++;
		if (append(file, sizeof file, "/") || append(file, sizeof file, name))
			continue;
		attempt = call(execve, file, settings.arguments, settings.environment);
		if (attempt != -ENOENT && attempt != -ENOTDIR)
			result = attempt;
	}
	return result;
}

static int become_user(void)
{
	int result = 0;

	if (!settings.has_user)
		return 0;
	if (settings.group_count || !users_are_others())
		result = call(setgroups, settings.group_count, settings.groups);
	if (!result)
		result = call(setgid, settings.gid);
	if (!result)
		result = call(setuid, settings.uid);
	if (result == -EINVAL) /* setuid(2), setgid(2): it is not mapped */
		failed("the container's user namespace has no such user or group", 0);
	else if (result)
		failed("become the user", result);
	return result;
}

/* The kernel's struct sigaction, of which only the handler is set. */
void signal_action(int number, u64 handler)
{
	u64 action[4] = { handler, 0, 0, 0 };

	call(rt_sigaction, number, action, 0, 8);
}

/* "cannot start in /no/such (see --cwd)" */
static void cannot_start(int error)
{
	char what[PATH_BYTES] = "cannot start in ";

	append(what, sizeof what, settings.directory);
	append(what, sizeof what, " (see --cwd)");
	failed(what, error);
}

/* In the new process; never returns. */
static void run(int input, int output, int errors, int terminal)
{
	int result;

	signal_action(SIGPIPE, SIG_DFL);
	call(setsid);
	if (terminal)
		call(ioctl, input, TIOCSCTTY, 0);
	call(dup3, input, 0, 0);
	call(dup3, output, 1, 0);
	call(dup3, errors, 2, 0);
	result = enter_root();
	if (!result && settings.directory) {
		result = call(chdir, settings.directory);
		if (result)
			cannot_start(result);
	}
	if (terminal)
		call(fchown, 0, users_outside(USER, settings.uid), -1);
	if (!result)
		result = users_enter();
	if (!result)
		result = become_user();
	if (result)
		call(exit_group, EXIT_NOT_EXECUTABLE);
	result = execute();
	failed(settings.arguments[0], result);
	call(exit_group, result == -ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE);
}

/* A pipe whose end `ours` is non-blocking, as the relay never waits for one alone. */
static int make_pipe(int *theirs, int *ours, int they_read)
{
	int ends[2], result = call(pipe2, ends, O_CLOEXEC);

	if (result)
		return failed("make a pipe", result);
	*theirs = ends[!they_read];
	*ours = ends[they_read];
	call(fcntl, *ours, F_SETFL, O_NONBLOCK);
	return 0;
}

static int make_streams(struct program *program, int *input, int *output, int *errors)
{
	int result;

	program->terminal = settings.terminal;
	if (!settings.terminal) {
		result = make_pipe(input, &program->input, 1);
		if (!result)
			result = make_pipe(output, &program->output, 0);
		return result ? result : make_pipe(errors, &program->errors, 0);
	}
	program->input = program->output = terminal_open();
	program->errors = -1;
	if (program->input < 0)
		return program->input;
	*input = terminal_program_side(program->input);
	if (*input < 0)
		return failed("open the terminal's other side", *input);
	*output = *errors = *input;
	call(fcntl, program->input, F_SETFL, O_NONBLOCK);
	return 0;
}

int program_start(struct program *program)
{
	int input, output, errors, result;
	long process;

	result = make_streams(program, &input, &output, &errors);
	if (result)
		return result;
	process = call(clone, CLONE_PIDFD | SIGCHLD, 0, &program->watch, 0, 0);
	if (process == 0)
		run(input, output, errors, program->terminal);
	if (process < 0)
		return failed("make a process", process);
	program->process = process;
	call(close, input);
	if (!program->terminal) {
		call(close, output);
		call(close, errors);
	}
	return 0;
}
