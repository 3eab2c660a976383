/* Modules by name, through the guest's own modprobe. */
#include "stage1.h"

/*
 * A module that is missing is no error here: it may be built in, and the kernel says the same of
 * both.  Whether a driver took the disk shows when the host sees its status register written.
 */
int load_drivers(void)
{
	const char *name = stage1_control.drivers;
	const char *end = name + sizeof stage1_control.drivers;
	u32 left = stage1_control.driver_count;

	at(STEP_REQUEST_MODULE);
	if (!__request_module)
		return 0;
	for (; left && name < end; left--) {
		int status = __request_module(1, "%s", name);

		if (status)
			message(name, status);
		while (name < end && *name)
			name++;
		name++;
	}
	return 0;
}
