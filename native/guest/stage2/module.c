/* A kernel module from the host, for a guest that lacks a driver. */
#include "stage2.h"

int module_load(void)
{
	int result = call(init_module, settings.module, settings.module_size, "");

	/* Loaded meanwhile by someone else: as good. */
	return result == -EEXIST || !result ? 0 : failed("load the module", result);
}
