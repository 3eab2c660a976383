/* The overlay's tree, at "o" in the workspace. */
#include "stage2.h"

/* A disk of the machine, a file, or a folder where the host has mounted it. */
static int find_overlay(void)
{
	int result;

	if (settings.serial)
		return mount_disk(settings.serial, "o");
	if (settings.file)
		return mount_file(settings.file, "o");
	if (!settings.tree)
		return failed("find the overlay: neither disk nor file nor folder", -EINVAL);
	result = mount_at(settings.tree, "o", NULL, MS_BIND | MS_REC, NULL);
	return result ? failed("take the overlay's folder", result) : 0;
}

int overlay_prepare(void)
{
	int result = private_mounts();

	if (!result && settings.container_name)
		result = container_find(settings.container_name, &settings.container);
	if (!result && settings.container)
		result = container_open(settings.container);
	if (!result)
		result = workspace();
	if (!result)
		result = find_overlay();
	if (!result && settings.container)
		result = container_enter("o");
	return result ? result : build_root();
}
