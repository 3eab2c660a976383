/* The original image's tree, from the overlay (o) and the running system's root. */
#include "stage2.h"

/* What is written goes to memory and is gone with the session: nothing of the root changes. */
static int overlay_root(void)
{
	char options[64] = "lowerdir=o:";
	u64 length;
	int result;

	append(options, sizeof options, base);
	length = length_of(options);
	append(options, sizeof options, ",upperdir=u,workdir=w");
	result = mount_at("overlay", "r", "overlay", 0, options);
	options[length] = 0;
	if (result == -EINVAL || result == -EIO) /* a memory file system without the needed attributes */
		result = mount_at("overlay", "r", "overlay", MS_RDONLY, options);
	return result;
}

static void mount_device_files(void)
{
	int result;

	if (has_submount_below("/dev"))
		return;
	call(mkdirat, AT_FDCWD, "r/dev", 0755);
	result = mount_at("devtmpfs", "r/dev", "devtmpfs", MS_NOSUID, "mode=755");
	if (result)
		note("mount devtmpfs", result);
}

/* Everything but /proc, which the program's own process namespace decides (enter_root). */
int build_root(void)
{
	int result = overlay_root();

	if (result) {
		note("the tree is bind mounts, read-only, for the kernel refuses overlayfs", result);
		result = mount_at("debloat", "r", "tmpfs", 0, "mode=755");
		if (!result)
			result = merge("o", base, "r");
	}
	if (result)
		return failed("build the original tree", result);
	carry_submounts();
	mount_device_files();
	if (!has_submount_below("/sys")) {
		call(mkdirat, AT_FDCWD, "r/sys", 0755);
		mount_at("sysfs", "r/sys", "sysfs", 0, NULL);
	}
	call(mkdirat, AT_FDCWD, "r/dev/pts", 0755);
	mount_at("p", "r/dev/pts", NULL, MS_BIND, NULL);
	return 0;
}

/* In the program's process: the tree becomes the root. */
int enter_root(void)
{
	int result;

	call(mkdirat, AT_FDCWD, "r/proc", 0755);
	result = mount_at("proc", "r/proc", "proc", 0, NULL);
	if (result)
		note("mount /proc", result);
	result = call(chdir, "r");
	if (result)
		return failed("enter the original tree", result);
	result = call(pivot_root, ".", ".");
	if (!result) {
		call(umount2, ".", MNT_DETACH);
	} else {
		/* An initramfs cannot be pivoted away. */
		result = mount_at(".", "/", NULL, MS_MOVE, NULL);
		if (!result)
			result = call(chroot, ".");
		if (result)
			return failed("enter the original tree", result);
	}
	call(chdir, "/");
	return 0;
}
