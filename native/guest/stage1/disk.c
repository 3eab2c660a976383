/* The disk: a virtio-mmio platform device on the host's register window. */
#include "stage1.h"

static struct platform_device *device;

static int device_add(void)
{
	struct resource resources[2] = {
		{
			.start = stage1_control.window,
			.end = stage1_control.window + stage1_control.window_size - 1,
			.flags = IORESOURCE_MEM,
		},
		{
			.start = stage1_control.irq,
			.end = stage1_control.irq,
			.flags = IORESOURCE_IRQ,
		},
	};
	struct platform_device *added;
	int result;

	at(STEP_DEVICE_ALLOC);
	added = platform_device_alloc("virtio-mmio", stage1_control.device_id);
	if (!added)
		return failed("platform_device_alloc", -ENOMEM);
	at(STEP_DEVICE_RESOURCES);
	result = platform_device_add_resources(added, resources, 2);
	if (result) {
		platform_device_put(added);
		return failed("platform_device_add_resources", result);
	}
	at(STEP_DEVICE_ADD);
	result = platform_device_add(added);
	if (result) {
		platform_device_put(added);
		return failed("platform_device_add", result);
	}
	device = added;
	return 0;
}

/* Load the drivers if the host named some, get an interrupt, add the device. */
int disk_add(void)
{
	int result;

	if (device)
		return -EBUSY;
	if (stage1_control.driver_count)
		load_drivers();
	result = interrupt_acquire(stage1_control.gsi);
	if (result)
		return result;
	result = device_add();
	if (result) {
		u32 where = stage1_control.step;

		interrupt_release();
		stage1_control.step = where;
	}
	return result;
}

/* Unbind the drivers (they finish their requests: the host must still serve), then the rest. */
int disk_remove(void)
{
	at(STEP_DEVICE_UNREGISTER);
	if (!device)
		return -ENODEV;
	platform_device_unregister(device);
	device = NULL;
	return interrupt_release();
}
