/* File systems that are mounted below the root: an overlay of the root does not show them. */
#include "stage2.h"

#define LIST_BYTES (1 << 18)

static char list[LIST_BYTES]; /* mount points, each with its NUL; an empty one ends it */

static int is_octal(const char *text)
{
	return text[0] >= '0' && text[0] < '4' && text[1] >= '0' && text[1] < '8' && text[2] >= '0' &&
	       text[2] < '8';
}

/* Field 5 of a line (Documentation/filesystems/proc.rst), its \040 and the like undone. */
static u64 take_mount_point(const char *line, char *to, u64 size)
{
	u64 length = 0;
	int field;

	for (field = 1; field < 5; field++) {
		while (*line && *line != ' ')
			line++;
		if (*line)
			line++;
	}
	for (; *line && *line != ' ' && length + 1 < size; line++) {
		if (*line == '\\' && is_octal(line + 1)) {
			to[length++] = (line[1] - '0') * 64 + (line[2] - '0') * 8 + line[3] - '0';
			line += 3;
		} else {
			to[length++] = *line;
		}
	}
	to[length] = 0;
	return length;
}

/* Whether `path` is `folder` or below it. */
static int is_below(const char *path, const char *folder)
{
	char after = path[length_of(folder)];

	return starts_with(path, folder) && (after == 0 || after == '/');
}

static int is_listed_already(const char *path)
{
	const char *entry;

	for (entry = list; *entry; entry += length_of(entry) + 1)
		if (is_below(path, entry))
			return 1;
	return 0;
}

/* Only the outermost: what is mounted below them comes along. */
int read_submounts(void)
{
	static char text[LIST_BYTES];
	u64 size = 0, used = 0;
	char *line, *next;
	s64 got;
	int file = call(openat, proc_folder, "self/mountinfo", O_RDONLY | O_CLOEXEC);

	if (file < 0)
		return failed("read the list of mounts", file);
	while (size + 1 < sizeof text && (got = call(read, file, text + size, sizeof text - 1 - size)) > 0)
		size += got;
	call(close, file);
	text[size] = 0;
	list[0] = 0;
	for (line = text; *line; line = next) {
		static char path[PATH_BYTES];
		u64 length;

		for (next = line; *next && *next != '\n'; next++)
			;
		if (*next)
			*next++ = 0;
		length = take_mount_point(line, path, sizeof path);
		if (length < 2 || equal(path, "/proc") || starts_with(path, "/proc/") ||
		    is_listed_already(path) || used + length + 2 > sizeof list)
			continue;
		copy(list + used, path, length + 1);
		used += length + 1;
		list[used] = 0;
	}
	return 0;
}

int has_submount_below(const char *path)
{
	const char *entry;

	for (entry = list; *entry; entry += length_of(entry) + 1)
		if (is_below(entry, path) || is_below(path, entry))
			return 1;
	return 0;
}

int is_submount(const char *path)
{
	const char *entry;

	for (entry = list; *entry; entry += length_of(entry) + 1)
		if (equal(entry, path))
			return 1;
	return equal(path, "/proc");
}

/* Make the folders of `path` (a copy of which is cut) as far as they are missing. */
static void make_folders(const char *path)
{
	static char part[PATH_BYTES];
	u64 at;

	part[0] = 0;
	if (append(part, sizeof part, path))
		return;
	for (at = 2; part[at]; at++) {
		if (part[at] != '/')
			continue;
		part[at] = 0;
		call(mkdirat, AT_FDCWD, part, 0755);
		part[at] = '/';
	}
	call(mkdirat, AT_FDCWD, part, 0755);
}

void carry_submounts(void)
{
	const char *entry;

	for (entry = list; *entry; entry += length_of(entry) + 1) {
		static char target[PATH_BYTES];
		int result;

		target[0] = 'r';
		target[1] = 0;
		if (append(target, sizeof target, entry))
			continue;
		result = mount_at(entry, target, NULL, MS_BIND | MS_REC, NULL);
		if (result == -ENOENT) {
			make_folders(target);
			result = mount_at(entry, target, NULL, MS_BIND | MS_REC, NULL);
		}
		if (result)
			note(entry, result);
	}
}
