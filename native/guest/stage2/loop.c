/* The overlay as a file, on a loop device that goes when its mount does. */
#include "stage2.h"

/* include/uapi/linux/loop.h, miscdevice.h */
#define LOOP_CONTROL "/dev/loop-control"
#define LOOP_CONTROL_NUMBER 0x0aed
#define LOOP_MAJOR 7
#define LOOP_CTL_GET_FREE 0x4C82
#define LOOP_CONFIGURE 0x4C0A
#define LO_FLAGS_READ_ONLY 1
#define LO_FLAGS_AUTOCLEAR 4
#define TRIES 64 /* somebody else may take the free device first */

struct loop_info {
	u64 device, inode, rdevice, offset, size_limit;
	u32 number, encrypt_type, encrypt_key_size, flags;
	u8 file_name[64], crypt_name[64], encrypt_key[32];
	u64 init[2];
};

struct loop_config {
	u32 file, block_size;
	struct loop_info info;
	u64 reserved[8];
};

/* A device node of our own: /dev may have none. */
static int open_device(u64 number, u32 type, int flags)
{
	int result = call(mknodat, AT_FDCWD, "disk", type | 0600, number);

	if (!result) {
		result = call(openat, AT_FDCWD, "disk", flags | O_CLOEXEC);
		call(unlinkat, AT_FDCWD, "disk", 0);
	}
	return result;
}

static int open_control(void)
{
	int control = call(openat, AT_FDCWD, LOOP_CONTROL, O_RDWR | O_CLOEXEC);

	/* Opening it loads the driver. */
	return control >= 0 ? control : open_device(LOOP_CONTROL_NUMBER, 0020000, O_RDWR);
}

/* Device numbers of one byte each, and then the rest of the minor (include/linux/kdev_t.h). */
static u64 loop_number(u32 index)
{
	return (index & 0xff) | LOOP_MAJOR << 8 | (u64)(index & ~0xffu) << 12;
}

/* The open loop device and, in *number, which one it is. */
static int configure(int control, int file, u64 *number)
{
	struct loop_config config = { .file = file,
				      .info.flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR };
	int tries, result = -EAGAIN;

	for (tries = 0; tries < TRIES; tries++) {
		int index = call(ioctl, control, LOOP_CTL_GET_FREE, 0), device;

		if (index < 0)
			return index;
		*number = loop_number(index);
		device = open_device(*number, 0060000, O_RDONLY);
		if (device < 0)
			return device;
		result = call(ioctl, device, LOOP_CONFIGURE, &config);
		if (!result)
			return device;
		call(close, device);
		if (result != -EBUSY)
			break;
	}
	return result;
}

int mount_file(const char *path, const char *target)
{
	int file, control, device, result;
	u64 number;

	file = call(openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return failed("open the overlay's file", file);
	control = open_control();
	if (control < 0)
		return failed("open /dev/loop-control", control);
	device = configure(control, file, &number);
	if (device < 0)
		return failed("set a loop device up", device);
	call(close, file);
	call(close, control);
	result = mount_number(number, target);
	call(close, device); /* from now on it is the mount that keeps it */
	return result;
}
