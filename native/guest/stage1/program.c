/*
 * Stage 2's file and its start.  The file is in memory and has no name, so no file system of the
 * guest is touched; where /proc is missing, by which it is executed, the host's list of paths is
 * tried, and stage 2 unlinks itself.
 */
#include "stage1.h"

#define ETXTBSY_TRIES 100
#define HIGHEST_DESCRIPTOR 9 /* one digit */

static char path_in_proc[] = "/proc/self/fd/?";
static char stream_number[] = "?";
static char *arguments[] = { "debloat-session", stream_number, NULL, NULL };
static char *environment[] = { NULL };

/* What the new process shall have open; each attempt takes a reference and leaves one here. */
static struct file *stream_file, *program_file;

static int install(struct file **file)
{
	int number = get_unused_fd_flags(0);

	if (number < 0)
		return number;
	fd_install(number, *file);
	*file = fget(number);
	return number <= HIGHEST_DESCRIPTOR ? number : -EMFILE;
}

/* In the new process, before it executes the program. */
static int prepare(struct subprocess_info *info, struct cred *credentials)
{
	int number = install(&stream_file);

	(void)info;
	(void)credentials;
	if (number < 0)
		return number;
	stream_number[0] = '0' + number;
	if (!program_file)
		return 0;
	number = install(&program_file);
	if (number < 0)
		return number;
	path_in_proc[sizeof path_in_proc - 2] = '0' + number;
	return 0;
}

static int execute(const char *path)
{
	int result, tries;

	for (tries = 0; tries < ETXTBSY_TRIES; tries++) {
		struct subprocess_info *info;

		at(STEP_EXEC_SETUP);
		info = call_usermodehelper_setup(path, arguments, environment, GFP_KERNEL, prepare,
						 NULL, NULL);
		if (!info)
			return failed("call_usermodehelper_setup", -ENOMEM);
		at(STEP_EXEC);
		result = call_usermodehelper_exec(info, UMH_WAIT_EXEC);
		stage1_control.attempts++;
		/* The file's last writer is closed a little later, by a kernel thread. */
		if (result != -ETXTBSY)
			break;
		rest(2000);
	}
	return result;
}

static int write_program(struct file *file)
{
	const char *bytes = (const char *)stage1_control.program;
	u64 size = stage1_control.program_size;
	s64 position = 0;

	at(STEP_WRITE_PROGRAM);
	while ((u64)position < size) {
		s64 written = kernel_write(file, bytes + position, size - position, &position);

		if (written <= 0)
			return failed("kernel_write", written ? written : -EINVAL);
	}
	return 0;
}

static int run_from_memory(void)
{
	int result;

	at(STEP_MEMORY_FILE);
	program_file = shmem_file_setup("debloat-session", stage1_control.program_size, 0);
	if (is_error(program_file)) {
		result = failed("shmem_file_setup", (s64)program_file);
	} else {
		result = write_program(program_file);
		arguments[2] = NULL;
		if (!result) {
			result = execute(path_in_proc);
			if (result)
				message(path_in_proc, result);
		}
		filp_close(program_file, NULL);
	}
	program_file = NULL;
	return result;
}

static int run_from(const char *path)
{
	struct file *file;
	int result;

	at(STEP_OPEN_PROGRAM);
	file = filp_open(path, O_WRONLY | O_CREAT | O_EXCL, 0700);
	if (is_error(file)) {
		message(path, (s64)file);
		return (int)(s64)file;
	}
	result = write_program(file);
	arguments[2] = (char *)path; /* stage 2 removes it */
	filp_close(file, NULL);
	if (flush_delayed_fput)
		flush_delayed_fput();
	if (!result) {
		result = execute(path);
		if (result)
			message(path, result);
	}
	if (result) {
		/* No exported function removes a name in all kernels: at least nothing is in it. */
		file = filp_open(path, O_WRONLY | O_TRUNC, 0);
		if (!is_error(file))
			filp_close(file, NULL);
	}
	return result;
}

int program_run(struct file *stream)
{
	const char *path = (const char *)stage1_control.names;
	u32 left = stage1_control.name_count;
	int result;

	stream_file = stream;
	stage1_control.attempts = 0;
	result = run_from_memory();
	for (; result && left; left--) {
		result = run_from(path);
		while (*path++)
			;
	}
	/* Stage 2 has its own reference; ours would hide its end. */
	filp_close(stream_file, NULL);
	stream_file = NULL;
	if (flush_delayed_fput)
		flush_delayed_fput();
	return result;
}
