/* What the program left running: every other process in our mount namespace. */
#include "stage2.h"

#define ROUNDS 100
#define ROUND_MS 20
#define WNOHANG 1

static int namespace_of(const char *process, char *name, u64 size)
{
	char path[64] = "";
	s64 length;

	if (append(path, sizeof path, process) || append(path, sizeof path, "/ns/mnt"))
		return -ENAMETOOLONG;
	length = call(readlinkat, proc_folder, path, name, size - 1);
	if (length < 0)
		return (int)length;
	name[length] = 0;
	return 0;
}

static u32 number_of(const char *text)
{
	u32 number = 0;

	for (; *text >= '0' && *text <= '9'; text++)
		number = number * 10 + (*text - '0');
	return *text ? 0 : number;
}

/* Kills once; how many there were. */
static int kill_all(const char *ours)
{
	static u8 entries[32768];
	u32 self = call(getpid);
	int found = 0;
	s64 got;

	call(lseek, proc_folder, 0, 0);
	while ((got = call(getdents64, proc_folder, entries, sizeof entries)) > 0) {
		s64 at = 0;

		while (at < got) {
			struct entry *entry = (struct entry *)(entries + at);
			u32 process = number_of(entry->name);
			char theirs[64];

			at += entry->length;
			if (!process || process == self ||
			    namespace_of(entry->name, theirs, sizeof theirs) || !equal(ours, theirs))
				continue;
			call(kill, process, SIGKILL);
			found++;
		}
	}
	return found;
}

void end_leftovers(void)
{
	char ours[64];
	int round;

	/* Never in a namespace that is not ours alone. */
	if (!mounts_are_ours || namespace_of("self", ours, sizeof ours))
		return;
	for (round = 0; round < ROUNDS && kill_all(ours); round++) {
		while (call(wait4, -1, 0, WNOHANG, 0) > 0)
			;
		pause_ms(ROUND_MS);
	}
}
