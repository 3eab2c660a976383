/*
 * The user namespace of a container, where it has one of its own: its root is some plain user of
 * the machine.  The tree is put together by the machine's root, whom the kernel lets do that, and
 * only the program enters (user_namespaces(7)).
 */
#include "stage2.h"

#define RANGES_MOST 340 /* user_namespaces(7), "User and group ID mappings" */
#define TEXT_BYTES 16384

#define AT_EMPTY_PATH 0x1000 /* include/uapi/linux/fcntl.h */

struct range {
	u32 inside, outside, count;
};

static struct range ranges[2][RANGES_MOST];
static int users = -1; /* -1: they are ours */

static const char *take_number(const char *at, u32 *number)
{
	while (*at == ' ')
		at++;
	for (*number = 0; *at >= '0' && *at <= '9'; at++)
		*number = *number * 10 + (*at - '0');
	return at;
}

/* Lines of "inside outside count", outside as we see it. */
static void read_map(u32 process, const char *name, struct range *to)
{
	static char text[TEXT_BYTES];
	const char *at = text;
	int index;

	read_text(open_process(process, name, 0), text, sizeof text);
	for (index = 0; index < RANGES_MOST && *at; index++) {
		at = take_number(at, &to[index].inside);
		at = take_number(at, &to[index].outside);
		at = take_number(at, &to[index].count);
		while (*at && *at++ != '\n')
			;
	}
}

int users_open(u32 process)
{
	char ours[64], theirs[64], number[16] = "";

	append_number(number, sizeof number, process);
	/* A kernel may have no such namespaces. */
	if (process_link("self", "ns/user", ours, sizeof ours) ||
	    process_link(number, "ns/user", theirs, sizeof theirs) || equal(ours, theirs))
		return 0;
	users = open_process(process, "ns/user", 0);
	if (users < 0)
		return failed("open the container's user namespace", users);
	read_map(process, "uid_map", ranges[USER]);
	read_map(process, "gid_map", ranges[GROUP]);
	return 0;
}

int users_are_others(void)
{
	return users >= 0;
}

u32 users_outside(enum id_kind kind, u32 id)
{
	const struct range *range;

	for (range = ranges[kind]; users >= 0 && range->count; range++)
		if (id >= range->inside && id - range->inside < range->count)
			return range->outside + (id - range->inside);
	return id;
}

int users_own(int tree)
{
	struct mount_attributes attributes = { .set = MOUNT_ATTR_IDMAP, .users = users };

	if (users < 0)
		return 0;
	return call(mount_setattr, tree, "", AT_EMPTY_PATH, &attributes, sizeof attributes);
}

int users_enter(void)
{
	int result;

	if (users < 0)
		return 0;
	/* The machine's groups are left here: inside, it may be forbidden to change any. */
	result = call(setgroups, 0, NULL);
	if (!result)
		result = call(setns, users, CLONE_NEWUSER);
	/* A user there even where none is asked for: we would be one that it does not know. */
	settings.has_user = 1;
	return result ? failed("enter the container's user namespace", result) : 0;
}
