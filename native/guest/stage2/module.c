/* Kernel modules from the host, for a guest that lacks a driver. */
#include "stage2.h"

#define PROT_READ_WRITE 3
#define MAP_PRIVATE_ANONYMOUS 0x22
#define MREMAP_MAYMOVE 1
#define NAME_MOST 64

static u8 *module;
static u64 module_size, room;

/* Grows by remapping: modules have any size. */
int module_keep(const u8 *payload, u32 size)
{
	if (module_size + size > room) {
		u64 more = room ? 2 * room : 1 << 20;
		s64 at = room ? call(mremap, module, room, more, MREMAP_MAYMOVE)
			      : call(mmap, 0, more, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0);

		if (at < 0 && at > -4096)
			return (int)at;
		module = (u8 *)at;
		room = more;
	}
	copy(module + module_size, payload, size);
	module_size += size;
	return 0;
}

int module_load(const u8 *name, u32 size)
{
	char what[32 + NAME_MOST] = "load the module ";
	u64 length = length_of(what);
	int result = call(init_module, module, module_size, "");

	call(munmap, module, room);
	module = NULL;
	module_size = room = 0;
	/* It is there already, or was loaded meanwhile by someone else: as good. */
	if (!result || result == -EEXIST)
		return 0;
	if (size > NAME_MOST)
		size = NAME_MOST;
	copy(what + length, name, size);
	what[length + size] = 0;
	return failed(what, result);
}
