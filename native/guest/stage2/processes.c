/* The guest's processes, by its /proc. */
#include "stage2.h"

static u32 number_of(const char *text)
{
	u32 number = 0;

	for (; *text >= '0' && *text <= '9'; text++)
		number = number * 10 + (*text - '0');
	return *text ? 0 : number;
}

int open_process(u32 process, const char *what, int flags)
{
	char path[64] = "";

	append_number(path, sizeof path, process);
	append(path, sizeof path, "/");
	append(path, sizeof path, what);
	return call(openat, proc_folder, path, flags | O_RDONLY | O_CLOEXEC);
}

int process_link(const char *process, const char *what, char *name, u64 size)
{
	char path[64] = "";
	s64 length;

	if (append(path, sizeof path, process) || append(path, sizeof path, "/") ||
	    append(path, sizeof path, what))
		return -ENAMETOOLONG;
	length = call(readlinkat, proc_folder, path, name, size - 1);
	if (length < 0)
		return (int)length;
	name[length] = 0;
	return 0;
}

void each_process(void (*visit)(const char *name, u32 process))
{
	static u8 entries[32768];
	s64 got;

	call(lseek, proc_folder, 0, 0);
	while ((got = call(getdents64, proc_folder, entries, sizeof entries)) > 0) {
		s64 at = 0;

		while (at < got) {
			struct entry *entry = (struct entry *)(entries + at);
			u32 process = number_of(entry->name);

			at += entry->length;
			if (process)
				visit(entry->name, process);
		}
	}
}
