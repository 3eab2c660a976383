/* A container by its name: the process of the guest that is of it. */
#include "stage2.h"

#define O_PATH 010000000
#define SHORT_ID 12 /* digits of an ID that are the hostname, unless one was given */
#define ID_LEAST 4

/* What told the name; engines and the kernel count more than what a container says of itself. */
enum teller { NOBODY, HOSTNAME, SHORT_HOSTNAME, CONTAINERENV, RECORD, CGROUP };

struct match {
	enum teller teller;
	u32 process;
	char identity[ID_LENGTH + 1]; /* differs for another container */
	int ambiguous;
};

static const char *wanted;
static char ids[ENGINE_IDS][ID_LENGTH + 1];
static int id_count;
static struct match best;
static char guest_mounts[64], guest_processes[64], text[32768];
static u64 guest_root[2];

/* The ID that an engine has put into this part of a cgroup's path, or NULL. */
static const char *id_in(const char *part, u64 length)
{
	static const char *const starts[] = { "docker-", "libpod-", "crio-", "cri-containerd-",
					      NULL };
	static const char end[] = ".scope";
	int index;

	for (index = 0; starts[index]; index++) {
		if (!starts_with(part, starts[index]))
			continue;
		part += length_of(starts[index]);
		length -= length_of(starts[index]);
		break;
	}
	if (length == ID_LENGTH + sizeof end - 1 && starts_with(part + ID_LENGTH, end))
		length = ID_LENGTH;
	return length == ID_LENGTH && is_id(part) ? part : NULL;
}

static enum teller judge_part(const char *part, u64 length, char *identity)
{
	u64 name_length = length_of(wanted);
	const char *id = id_in(part, length);
	enum teller teller = NOBODY;
	int index;

	if (length == name_length && starts_with(part, wanted))
		teller = CGROUP;
	if (!id)
		return teller;
	if (name_length >= ID_LEAST && starts_with(id, wanted))
		teller = CGROUP;
	for (index = 0; !teller && index < id_count; index++)
		if (starts_with(id, ids[index]))
			teller = RECORD;
	if (teller) {
		copy(identity, id, ID_LENGTH);
		identity[ID_LENGTH] = 0;
	}
	return teller;
}

static enum teller judge_cgroup(const char *process, char *identity)
{
	char path[32] = "";
	const char *at;

	append(path, sizeof path, process);
	append(path, sizeof path, "/cgroup");
	read_text(call(openat, proc_folder, path, O_RDONLY | O_CLOEXEC), text, sizeof text);
	for (at = text; *at; at++) {
		enum teller teller;
		u64 length = 0;

		if (*at != '/')
			continue;
		while (at[1 + length] && at[1 + length] != '/' && at[1 + length] != '\n')
			length++;
		teller = judge_part(at + 1, length, identity);
		if (teller)
			return teller;
	}
	return NOBODY;
}

static int root_of(const char *process, u64 root[2])
{
	char path[32] = "";
	u64 status[32]; /* begins with the device and the inode */
	int result;

	append(path, sizeof path, process);
	append(path, sizeof path, "/root");
	result = call(newfstatat, proc_folder, path, status, 0);
	if (!result)
		copy(root, status, 2 * sizeof *root);
	return result;
}

/* No links: a container's lead to files of the guest, seen from here. */
static void read_inside(const char *process, const char *folder, const char *name)
{
	char path[32] = "";
	int root, below;

	append(path, sizeof path, process);
	append(path, sizeof path, "/root");
	root = call(openat, proc_folder, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	below = call(openat, root, folder, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	read_text(call(openat, below, name,
		       O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC),
		  text, sizeof text);
	call(close, root);
	call(close, below);
}

static int has_line(const char *line)
{
	u64 length = length_of(line);
	const char *at = text;

	for (;;) {
		if (starts_with(at, line) && (!at[length] || at[length] == '\n'))
			return 1;
		while (*at && *at != '\n')
			at++;
		if (!*at++)
			return 0;
	}
}

static enum teller judge_files(const char *process)
{
	char line[NAME_BYTES + 16] = "name=\"";
	u64 root[2], length = 0;
	int index;

	/* A service with mounts of its own has the guest's files, and is no container. */
	if (root_of(process, root) || (root[0] == guest_root[0] && root[1] == guest_root[1]))
		return NOBODY;
	append(line, sizeof line, wanted);
	append(line, sizeof line, "\"");
	read_inside(process, "run", ".containerenv");
	if (has_line(line))
		return CONTAINERENV;
	read_inside(process, "etc", "hostname");
	while (text[length] && text[length] != '\n')
		length++;
	text[length] = 0;
	for (index = 0; index < id_count; index++)
		if (length == SHORT_ID && starts_with(ids[index], text))
			return SHORT_HOSTNAME;
	return equal(text, wanted) ? HOSTNAME : NOBODY;
}

/* Services in a container may have mounts of their own, but not processes. */
static void identify(const char *process, const char *mounts, char *identity, u64 size)
{
	if (process_link(process, "ns/pid", identity, size) || equal(identity, guest_processes)) {
		identity[0] = 0;
		append(identity, size, mounts);
	}
}

/* Whether only its children are in the container: `unshare --fork`, another session's stage 2. */
static int is_outside(const char *process)
{
	char own[64], children[64];

	return !process_link(process, "ns/pid", own, sizeof own) &&
	       !process_link(process, "ns/pid_for_children", children, sizeof children) &&
	       !equal(own, children);
}

/* They come in the order of their numbers. */
static void look_at(const char *name, u32 process)
{
	char mounts[64], identity[sizeof best.identity] = "";
	enum teller teller;

	if (process == (u32)call(getpid) ||
	    process_link(name, "ns/mnt", mounts, sizeof mounts) || equal(mounts, guest_mounts) ||
	    is_outside(name))
		return;
	teller = judge_cgroup(name, identity);
	if (!teller)
		teller = judge_files(name);
	if (!teller || teller < best.teller)
		return;
	if (!identity[0])
		identify(name, mounts, identity, sizeof identity);
	if (teller == best.teller) {
		best.ambiguous |= !equal(identity, best.identity);
		return;
	}
	best.teller = teller;
	best.process = process;
	best.ambiguous = 0;
	copy(best.identity, identity, sizeof identity);
}

int container_find(const char *name, u32 *process)
{
	char what[NAME_BYTES + 64] = "";
	int result;

	if (length_of(name) >= NAME_BYTES)
		return failed("understand the container's name", -ENAMETOOLONG);
	wanted = name;
	result = process_link("1", "ns/mnt", guest_mounts, sizeof guest_mounts);
	if (!result)
		result = process_link("1", "ns/pid", guest_processes, sizeof guest_processes);
	if (!result)
		result = root_of("1", guest_root);
	if (result)
		return failed("look at the guest's first process", result);
	id_count = engine_ids(name, ids);
	each_process(look_at);
	*process = best.process;
	if (best.process && !best.ambiguous)
		return 0;
	append(what, sizeof what, best.process ? "more than one container " : "no container ");
	append(what, sizeof what, name);
	append(what, sizeof what, " in the guest");
	failed(what, 0);
	return -ENOENT;
}
