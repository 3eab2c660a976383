/* The namespaces of a container, named by one of its processes. */
#include "stage2.h"

#define OPEN_TREE_CLONE 1
#define OPEN_TREE_CLOEXEC O_CLOEXEC
#define AT_RECURSIVE 0x8000
#define MOVE_MOUNT_F_EMPTY_PATH 4

/* Mounts come first, processes last: that one is for children only. */
static const char *const kinds[] = { "net", "ipc", "uts", "cgroup", "pid", NULL };
static int namespaces[5] = { -1, -1, -1, -1, -1 }, mounts = -1, root = -1;

int container_open(u32 process)
{
	int index;

	mounts = open_process(process, "ns/mnt", 0);
	root = open_process(process, "root", O_DIRECTORY);
	if (mounts < 0 || root < 0)
		return failed("find the container's process", mounts < 0 ? mounts : root);
	for (index = 0; kinds[index]; index++) {
		char name[16] = "ns/";

		append(name, sizeof name, kinds[index]);
		namespaces[index] = open_process(process, name, 0);
	}
	return users_open(process);
}

/* A mount of the same files that is in no namespace, or -errno. */
static int take(const char *path, int flags)
{
	return call(open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | flags);
}

int container_enter(const char *overlay)
{
	int tree, bare, index, result;

	tree = take(overlay, AT_RECURSIVE);
	if (tree < 0)
		return failed("take the overlay along (open_tree)", tree);
	result = users_own(tree);
	if (result)
		note("the overlay's files belong to nobody that the container knows (mount_setattr)",
		     result);
	mounts_are_ours = 0;
	result = call(setns, mounts, CLONE_NEWNS);
	if (!result)
		result = call(fchdir, root);
	if (result)
		return failed("enter the container's mounts", result);
	/*
	 * The root without what is mounted in it, while the kernel gives it: in a copy of a namespace
	 * that belongs to other users those mounts are locked (mount_namespaces(7)), and then neither
	 * overlayfs nor a bind mount takes the root without them.
	 */
	bare = take(".", 0);
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
	if (bare >= 0 && !call(move_mount, bare, "", AT_FDCWD, "b", MOVE_MOUNT_F_EMPTY_PATH)) {
		mount_at(NULL, "b", NULL, MS_PRIVATE, NULL);
		base = "b";
	}
	for (index = 0; kinds[index]; index++) {
		if (namespaces[index] < 0)
			continue;
		result = call(setns, namespaces[index], 0);
		if (result)
			note(kinds[index], result);
	}
	return 0;
}
