/*
 * Two trees made one by bind mounts, for kernels without overlayfs: what only one of them has is
 * bound whole, folders of both are made anew and merged, and the upper tree wins elsewhere.
 */
#include "stage2.h"

#define DT_DIR 4
#define DT_LNK 10
#define DEPTH_MOST 64
#define STATX_BASIC 0x7ff
#define ENTRIES_BYTES 32768

static int join(char *to, const char *folder, const char *name)
{
	to[0] = 0;
	if (append(to, PATH_BYTES, folder) || append(to, PATH_BYTES, "/") ||
	    append(to, PATH_BYTES, name))
		return -ENAMETOOLONG;
	return 0;
}

static int is_folder(const char *path)
{
	int file = call(openat, AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (file < 0)
		return 0;
	call(close, file);
	return 1;
}

static int exists(const char *path)
{
	char target[8];
	s64 result = call(readlinkat, AT_FDCWD, path, target, sizeof target);

	return result != -ENOENT; /* EINVAL: there, and no symbolic link */
}

/* include/uapi/linux/stat.h: struct statx, as far as wanted. */
struct attributes {
	u32 mask, block_size;
	u64 flags;
	u32 links, uid, gid;
	u16 mode;
	u8 rest[256 - 30];
};

static void make_folder_like(const char *model, const char *to)
{
	struct attributes attributes;

	call(mkdirat, AT_FDCWD, to, 0755);
	if (call(statx, AT_FDCWD, model, 0, STATX_BASIC, &attributes))
		return;
	call(fchownat, AT_FDCWD, to, attributes.uid, attributes.gid, 0);
	call(fchmodat, AT_FDCWD, to, attributes.mode & 07777);
}

static int make_read_only(const char *path)
{
	struct mount_attributes attributes = { .set = MOUNT_ATTR_RDONLY };
	int result = mount_at(NULL, path, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL);

	/* That would also take other restrictions away, which may be locked (mount_namespaces(7)). */
	if (result == -EPERM)
		result = call(mount_setattr, AT_FDCWD, path, 0, &attributes, sizeof attributes);
	return result;
}

static int place(const char *from, const char *to, int type)
{
	int result;

	if (type == DT_LNK) {
		char target[PATH_BYTES];
		s64 length = call(readlinkat, AT_FDCWD, from, target, sizeof target - 1);

		if (length < 0)
			return (int)length;
		target[length] = 0;
		return call(symlinkat, target, AT_FDCWD, to);
	}
	if (type == DT_DIR)
		make_folder_like(from, to);
	else
		call(mknodat, AT_FDCWD, to, 0100644, 0);
	if (is_submount(from + 1)) /* comes later, as what it is; from is "/" and "/dev" joined */
		return 0;
	result = mount_at(from, to, NULL, MS_BIND, NULL);
	if (result)
		return result;
	/* There is no copy in between: writing would change the system itself. */
	result = make_read_only(to);
	if (result)
		call(umount2, to, MNT_DETACH);
	return result;
}

static int merge_at(const char *upper, const char *lower, const char *target, int depth);

/* The entries of `folder` into `target`; `other` is the tree's other half, seen or still to see. */
static int add_entries(const char *folder, const char *other, const char *target, int is_upper,
		       int depth)
{
	u8 entries[ENTRIES_BYTES];
	int opened, result = 0;
	s64 got;

	if (depth > DEPTH_MOST)
		return -ENAMETOOLONG;
	opened = call(openat, AT_FDCWD, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (opened < 0)
		return opened;
	while (!result && (got = call(getdents64, opened, entries, sizeof entries)) > 0) {
		s64 at = 0;

		while (at < got && !result) {
			struct entry *entry = (struct entry *)(entries + at);
			char from[PATH_BYTES], beside[PATH_BYTES], to[PATH_BYTES];

			at += entry->length;
			if (equal(entry->name, ".") || equal(entry->name, ".."))
				continue;
			if (join(from, folder, entry->name) || join(beside, other, entry->name) ||
			    join(to, target, entry->name))
				continue;
			if (base[0] == '/' && equal(from + 1, covered)) /* "/" and "/mnt" joined */
				continue;
			if (!exists(beside)) {
				result = place(from, to, entry->type);
				/* With mounts in it that are locked (container.c) it is not to be had whole. */
				if (result == -EINVAL && entry->type == DT_DIR)
					result = add_entries(from, beside, to, 1, depth + 1);
			} else if (!is_upper)
				continue;
			else if (is_submount(beside + 1))
				make_folder_like(beside, to);
			else if (is_folder(from) && is_folder(beside))
				result = merge_at(from, beside, to, depth + 1);
			else
				result = place(from, to, entry->type);
			if (result) {
				note(to, result);
				result = 0;
			}
		}
	}
	call(close, opened);
	return result;
}

static int merge_at(const char *upper, const char *lower, const char *target, int depth)
{
	int result;

	make_folder_like(upper, target);
	result = add_entries(upper, lower, target, 1, depth);
	return result ? result : add_entries(lower, upper, target, 0, depth);
}

int merge(const char *upper, const char *lower, const char *target)
{
	return merge_at(upper, lower, target, 0);
}
