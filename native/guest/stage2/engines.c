/* The IDs of containers by their names, as the guest's Docker and podman keep them. */
#include "stage2.h"

#define DOCKER "/var/lib/docker/containers"
#define PODMAN "/var/lib/containers/storage/overlay-containers/"
#define TEXT_BYTES (1 << 20)

static char text[TEXT_BYTES];

struct json {
	const char *at;
	int depth;
};

int is_id(const char *id)
{
	int at;

	for (at = 0; at < ID_LENGTH; at++)
		if (!(id[at] >= '0' && id[at] <= '9') && !(id[at] >= 'a' && id[at] <= 'f'))
			return 0;
	return 1;
}

void read_text(int file, char *buffer, u64 size)
{
	u64 length = 0;
	s64 got;

	buffer[0] = 0;
	if (file < 0)
		return;
	while (length < size - 1 && (got = call(read, file, buffer + length, size - 1 - length)) > 0)
		length += got;
	buffer[length] = 0;
	call(close, file);
}

/* The next string that lies in so many objects and lists, from its quote on. */
static const char *next_string(struct json *json, int depth)
{
	while (*json->at) {
		const char *start = json->at++;

		if (*start == '{' || *start == '[')
			json->depth++;
		if (*start == '}' || *start == ']')
			json->depth--;
		if (*start != '"')
			continue;
		for (; *json->at && *json->at != '"'; json->at++)
			if (*json->at == '\\' && json->at[1])
				json->at++;
		if (*json->at)
			json->at++;
		if (json->depth == depth)
			return start;
	}
	return NULL;
}

static int docker_has(int folder, const char *id, const char *wanted)
{
	struct json json = { text, 0 };
	char path[ID_LENGTH + 32] = "";
	const char *string;

	append(path, sizeof path, id);
	append(path, sizeof path, "/config.v2.json");
	read_text(call(openat, folder, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC), text, sizeof text);
	/* Deeper it may be a label, which is the image's to set. */
	while ((string = next_string(&json, 1)))
		if (starts_with(string, wanted))
			return 1;
	return 0;
}

static int docker_id(const char *wanted, char *id)
{
	static u8 entries[32768];
	int folder = call(openat, AT_FDCWD, DOCKER, O_RDONLY | O_DIRECTORY | O_CLOEXEC), found = 0;
	s64 got;

	if (folder < 0)
		return 0;
	while (!found && (got = call(getdents64, folder, entries, sizeof entries)) > 0) {
		s64 at = 0;

		while (at < got && !found) {
			struct entry *entry = (struct entry *)(entries + at);

			at += entry->length;
			if (!is_id(entry->name) || entry->name[ID_LENGTH] ||
			    !docker_has(folder, entry->name, wanted))
				continue;
			copy(id, entry->name, ID_LENGTH + 1);
			found = 1;
		}
	}
	call(close, folder);
	return found;
}

static int podman_id(const char *path, const char *wanted, char *id)
{
	static const char key[] = "\"id\":\"";
	struct json json = { text, 0 };
	const char *string, *last = "";

	read_text(call(openat, AT_FDCWD, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC), text, sizeof text);
	while ((string = next_string(&json, 2))) {
		if (starts_with(string, key))
			last = string + sizeof key - 1;
		if (!starts_with(string, wanted) || !is_id(last))
			continue;
		copy(id, last, ID_LENGTH);
		id[ID_LENGTH] = 0;
		return 1;
	}
	return 0;
}

int engine_ids(const char *name, char ids[ENGINE_IDS][ID_LENGTH + 1])
{
	char docker[NAME_BYTES + 16] = "\"Name\":\"/", podman[NAME_BYTES + 16] = "\"names\":[\"";
	int count;

	append(docker, sizeof docker, name);
	append(docker, sizeof docker, "\"");
	append(podman, sizeof podman, name);
	append(podman, sizeof podman, "\"");
	count = docker_id(docker, ids[0]);
	if (podman_id(PODMAN "containers.json", podman, ids[count]) ||
	    podman_id(PODMAN "volatile-containers.json", podman, ids[count]))
		count++;
	return count;
}
