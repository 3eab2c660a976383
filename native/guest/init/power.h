// Requests to switch the machine off, and doing so.
#ifndef DEBLOAT_INIT_POWER_H
#define DEBLOAT_INIT_POWER_H

// A socket that becomes readable when ACPI has something to tell, or -errno where there is no ACPI.
int open_power_events(void);

// Take what the socket has; 1 if the power button was pressed.
int power_button_pressed(int fd);

// Write everything to the disks and switch the machine off (or restart it, with debloat.off=reboot,
// which is how Firecracker is told to end).
_Noreturn void power_off(void);

#endif
