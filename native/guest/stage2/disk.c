/* The overlay's disk: found by its serial number, reached by a device node of our own. */
#include "stage2.h"

#define WAIT_MS 15000 /* for a disk that the kernel is still adding */
#define SETTLE_MS 1000
#define LOOK_MS 20

/* The first line of a small file, without its end. */
static int read_line(const char *path, char *line, u64 size)
{
	int file = call(openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC), at;
	s64 got;

	if (file < 0)
		return file;
	got = call(read, file, line, size - 1);
	call(close, file);
	if (got < 0)
		return (int)got;
	for (at = 0; at < got && line[at] != '\n'; at++)
		;
	line[at] = 0;
	return 0;
}

static int attribute(const char *disk, const char *name, char *line, u64 size)
{
	char path[300] = "y/block/";

	if (append(path, sizeof path, disk) || append(path, sizeof path, "/") ||
	    append(path, sizeof path, name))
		return -ENAMETOOLONG;
	return read_line(path, line, size);
}

/* Looks once through all disks; the device number as "MAJOR:MINOR". */
static int find(const char *serial, char *number, u64 size)
{
	static u8 entries[32768];
	int folder = call(openat, AT_FDCWD, "y/block", O_RDONLY | O_DIRECTORY | O_CLOEXEC), found = 0;
	s64 got;

	if (folder < 0)
		return folder;
	while (!found && (got = call(getdents64, folder, entries, sizeof entries)) > 0) {
		s64 at = 0;

		while (at < got && !found) {
			struct entry *entry = (struct entry *)(entries + at);
			char line[64];

			found = entry->name[0] != '.' &&
				!attribute(entry->name, "serial", line, sizeof line) &&
				equal(line, serial) && !attribute(entry->name, "dev", number, size);
			at += entry->length;
		}
	}
	call(close, folder);
	return found ? 0 : -ENOENT;
}

/* include/linux/kdev_t.h: the number that mknod takes. */
static u64 device_number(const char *text)
{
	u64 part[2] = { 0, 0 };
	int index = 0;

	for (; *text; text++) {
		if (*text == ':')
			index = 1;
		else
			part[index] = part[index] * 10 + (*text - '0');
	}
	return (part[1] & 0xff) | part[0] << 8 | (part[1] & ~0xfful) << 12;
}

/* The error that says most: of a file system that the kernel has not, none does. */
static int mount_device(const char *target)
{
	static const char *const types[] = { "squashfs", "erofs", "ext4", NULL };
	int result = -ENODEV, index;

	for (index = 0; types[index]; index++) {
		int error = mount_at("disk", target, types[index], MS_RDONLY | MS_NODEV, NULL);

		if (!error)
			return 0;
		if (result == -ENODEV)
			result = error;
	}
	return result;
}

int mount_number(u64 number, const char *target)
{
	int result = call(mknodat, AT_FDCWD, "disk", 0060600, number), waited;

	if (result)
		return failed("make a device node", result);
	/* A disk is in sysfs a moment before it can be opened. */
	for (waited = 0; (result = mount_device(target)) && waited < SETTLE_MS; waited += LOOK_MS)
		pause_ms(LOOK_MS);
	call(unlinkat, AT_FDCWD, "disk", 0);
	return result ? failed("mount the overlay's disk", result) : 0;
}

int mount_disk(const char *serial, const char *target)
{
	char number[32];
	int result, waited;

	result = mount_at("sysfs", "y", "sysfs", 0, NULL);
	if (result)
		return failed("mount sysfs", result);
	for (waited = 0; (result = find(serial, number, sizeof number)); waited += LOOK_MS) {
		if (waited >= WAIT_MS)
			return failed("find the overlay's disk", result);
		pause_ms(LOOK_MS);
	}
	return mount_number(device_number(number), target);
}
