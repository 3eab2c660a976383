/* Mounts that nobody else sees. */
#include "stage2.h"

/* include/uapi/linux/mount.h */
#define FSOPEN_CLOEXEC 1
#define FSCONFIG_CMD_CREATE 6
#define FSMOUNT_CLOEXEC 1

int proc_folder = -1;
const char *covered = "", *base = "/";
int mounts_are_ours;

int mount_at(const char *source, const char *target, const char *type, u64 flags,
	     const char *options)
{
	return call(mount, source, target, type, flags, options);
}

/* A /proc without a place: for the list of mounts, and to find processes by. */
static int open_proc(void)
{
	int context = call(fsopen, "proc", FSOPEN_CLOEXEC), mounted, result;

	if (context < 0)
		return context;
	result = call(fsconfig, context, FSCONFIG_CMD_CREATE, 0, 0, 0);
	mounted = result ? result : (int)call(fsmount, context, FSMOUNT_CLOEXEC, 0);
	call(close, context);
	if (mounted < 0)
		return mounted;
	result = call(openat, mounted, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	call(close, mounted);
	return result;
}

int own_mounts(void)
{
	int result = call(unshare, CLONE_NEWNS);

	if (!result) {
		mounts_are_ours = 1;
		result = mount_at(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
	}
	return result ? failed("make a mount namespace", result) : 0;
}

int private_mounts(void)
{
	proc_folder = open_proc();
	if (proc_folder < 0)
		return failed("open a /proc", proc_folder);
	return own_mounts();
}

/* Some folder that we can cover: in our namespace alone, and nothing mounted below it is lost. */
static int cover_some_folder(void)
{
	static const char *const folders[] = { "/mnt", "/media", "/srv", "/opt", "/home", "/tmp",
					       "/run", "/var", "/root", "/sbin", "/bin", "/usr",
					       "/etc", "/dev", "/lib", NULL };
	int result = -ENOENT, index;

	for (index = 0; folders[index]; index++) {
		if (has_submount_below(folders[index]))
			continue;
		result = mount_at("debloat", folders[index], "tmpfs", MS_NOSUID, "mode=755");
		if (result == -ENODEV)
			result = mount_at("debloat", folders[index], "ramfs", MS_NOSUID, NULL);
		if (!result) {
			covered = folders[index];
			return call(chdir, covered);
		}
	}
	return result;
}

int workspace(void)
{
	static const char *const folders[] = { "o", "b", "r", "u", "w", "y", "p", NULL };
	int result, index;

	result = read_submounts();
	if (result)
		return result;
	result = cover_some_folder();
	if (result)
		return failed("find a folder to work in", result);
	for (index = 0; folders[index]; index++)
		call(mkdirat, AT_FDCWD, folders[index], 0755);
	/* The new root's owner. */
	call(fchownat, AT_FDCWD, "u", users_outside(USER, 0), users_outside(GROUP, 0), 0);
	result = mount_at("devpts", "p", "devpts", 0, "newinstance,ptmxmode=0666,mode=620");
	return result ? failed("mount devpts", result) : 0;
}
