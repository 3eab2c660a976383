/* The interrupt of the disk. */
#include "stage1.h"

#define ACPI_EDGE_SENSITIVE 1
#define ACPI_ACTIVE_HIGH 0
#define LEGACY_PINS 16

static u32 registered_gsi = GSI_POLL; /* a line of ours, to be given back */
static u32 software_irq;

static int acquire_line(u32 gsi)
{
	int irq;

	at(STEP_REGISTER_GSI);
	/* Without ACPI the sixteen legacy pins are irqs of the same number; there are no others. */
	if (!acpi_register_gsi) {
		if (gsi >= LEGACY_PINS)
			return failed("legacy interrupt pin", -ENXIO);
		stage1_control.irq = gsi;
		return 0;
	}
	irq = acpi_register_gsi(NULL, gsi, ACPI_EDGE_SENSITIVE, ACPI_ACTIVE_HIGH);
	if (irq < 0)
		return failed("acpi_register_gsi", irq);
	registered_gsi = gsi;
	stage1_control.irq = irq;
	return 0;
}

static int acquire_software(void)
{
	int irq, result;

	at(STEP_ALLOC_IRQ);
	irq = __irq_alloc_descs(-1, 1, 1, -1, NULL, NULL);
	if (irq < 0)
		return failed("__irq_alloc_descs", irq);
	/* No name: the descriptor may outlive our strings by a grace period. */
	irq_set_chip_and_handler_name(irq, dummy_irq_chip, handle_simple_irq, NULL);
	result = poll_start(irq);
	if (result) {
		irq_free_descs(irq, 1);
		return result;
	}
	software_irq = irq;
	stage1_control.irq = irq;
	return 0;
}

int interrupt_acquire(u32 gsi)
{
	return gsi == GSI_POLL ? acquire_software() : acquire_line(gsi);
}

/* Give the interrupt back; the device that used it must be gone. */
int interrupt_release(void)
{
	if (software_irq) {
		int result = poll_stop();

		if (result)
			return result;
		at(STEP_FREE_IRQ);
		irq_free_descs(software_irq, 1);
		software_irq = 0;
	}
	if (registered_gsi != GSI_POLL) {
		if (acpi_unregister_gsi)
			acpi_unregister_gsi(registered_gsi);
		registered_gsi = GSI_POLL;
	}
	stage1_control.irq = 0;
	return 0;
}
