/* What the host wants: frames until FRAME_RUN. */
#include "stage2.h"

#define WORDS_MOST 4096
#define STORE_BYTES (1 << 20)

static char *arguments[WORDS_MOST + 1], *environment[WORDS_MOST + 1];
static u32 argument_count, environment_count;
static char store[STORE_BYTES];
static u64 stored;

struct settings settings = { .arguments = arguments, .environment = environment };

/* A copy that stays, with a NUL behind it. */
static char *keep(const u8 *payload, u32 size)
{
	char *kept = store + stored;

	if (size + 1 > STORE_BYTES - stored)
		return NULL;
	copy(kept, payload, size);
	kept[size] = 0;
	stored += size + 1;
	return kept;
}

static int keep_word(char **words, u32 *count, const u8 *payload, u32 size)
{
	if (*count == WORDS_MOST || !(words[*count] = keep(payload, size)))
		return -E2BIG;
	++*count;
	return 0;
}

static int keep_user(const u8 *payload, u32 size)
{
	if (size < 8 || size % 4 || size / 4 - 2 > GROUPS_MOST)
		return -EPROTO;
	copy(&settings.uid, payload, 4);
	copy(&settings.gid, payload + 4, 4);
	settings.group_count = size / 4 - 2;
	copy(settings.groups, payload + 8, size - 8);
	settings.has_user = 1;
	return 0;
}

static int keep_setting(int type, const u8 *payload, u32 size)
{
	switch (type) {
	case FRAME_ARGUMENT:
		return keep_word(arguments, &argument_count, payload, size);
	case FRAME_ENVIRONMENT:
		return keep_word(environment, &environment_count, payload, size);
	case FRAME_DIRECTORY:
		return (settings.directory = keep(payload, size)) ? 0 : -E2BIG;
	case FRAME_SERIAL:
		return (settings.serial = keep(payload, size)) ? 0 : -E2BIG;
	case FRAME_TREE:
		return (settings.tree = keep(payload, size)) ? 0 : -E2BIG;
	case FRAME_FILE:
		return (settings.file = keep(payload, size)) ? 0 : -E2BIG;
	case FRAME_USER:
		return keep_user(payload, size);
	case FRAME_MODULE:
		return module_keep(payload, size);
	case FRAME_CONTAINER:
		if (size != 4)
			return -EPROTO;
		copy(&settings.container, payload, 4);
		return 0;
	case FRAME_CONTAINER_NAME:
		return (settings.container_name = keep(payload, size)) ? 0 : -E2BIG;
	case FRAME_TERMINAL:
		if (size != sizeof settings.size)
			return -EPROTO;
		copy(settings.size, payload, size);
		settings.terminal = 1;
		return 0;
	}
	return -EPROTO;
}

int read_settings(void)
{
	static u8 payload[FRAME_MOST];
	u32 size;
	int type, result;

	while ((type = read_frame(payload, &size)) != FRAME_RUN) {
		if (!type)
			return -EIO;
		if (type == FRAME_LOAD) {
			result = module_load(payload, size);
			if (result)
				return result;
			settings.modules++;
			continue;
		}
		result = keep_setting(type, payload, size);
		if (result)
			return failed("understand the host's settings", result);
	}
	if (!argument_count && !settings.modules)
		return failed("understand the host's settings", -EPROTO);
	return 0;
}
