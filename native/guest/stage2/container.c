/* The namespaces of a container, named by one of its processes. */
#include "stage2.h"

#define OPEN_TREE_CLONE 1
#define OPEN_TREE_CLOEXEC O_CLOEXEC
#define AT_RECURSIVE 0x8000
#define MOVE_MOUNT_F_EMPTY_PATH 4

/* Mounts come first, processes last: that one is for children only. */
static const char *const kinds[] = { "net", "ipc", "uts", "cgroup", "pid", NULL };
static int namespaces[5] = { -1, -1, -1, -1, -1 }, mounts = -1, root = -1;

static int open_of(u32 process, const char *what, int flags)
{
	char path[64] = "";

	append_number(path, sizeof path, process);
	append(path, sizeof path, "/");
	append(path, sizeof path, what);
	return call(openat, proc_folder, path, flags | O_RDONLY | O_CLOEXEC);
}

int container_open(u32 process)
{
	int index;

	mounts = open_of(process, "ns/mnt", 0);
	root = open_of(process, "root", O_DIRECTORY);
	if (mounts < 0 || root < 0)
		return failed("find the container's process", mounts < 0 ? mounts : root);
	for (index = 0; kinds[index]; index++) {
		char name[16] = "ns/";

		append(name, sizeof name, kinds[index]);
		namespaces[index] = open_of(process, name, 0);
	}
	return 0;
}

int container_enter(const char *overlay)
{
	int tree, index, result;

	tree = call(open_tree, AT_FDCWD, overlay, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
	if (tree < 0)
		return failed("take the overlay along (open_tree)", tree);
	mounts_are_ours = 0;
	result = call(setns, mounts, CLONE_NEWNS);
	if (!result)
		result = call(fchdir, root);
	if (result)
		return failed("enter the container's mounts", result);
	/* Before the change of root: that may be a folder, where no mounts can be made private. */
	result = own_mounts();
	if (result)
		return result;
	result = call(chroot, ".");
	if (result)
		return failed("enter the container's root", result);
	result = workspace();
	if (result)
		return result;
	result = call(move_mount, tree, "", AT_FDCWD, "o", MOVE_MOUNT_F_EMPTY_PATH);
	if (result)
		return failed("mount the overlay in the container (move_mount)", result);
	for (index = 0; kinds[index]; index++) {
		if (namespaces[index] < 0)
			continue;
		result = call(setns, namespaces[index], 0);
		if (result)
			note(kinds[index], result);
	}
	return 0;
}
