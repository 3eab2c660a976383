/* The program's terminal: a pty of a devpts of our own (p). */
#include "stage2.h"

#define TIOCSPTLCK 0x40045431
#define TIOCGPTPEER 0x5441
#define TIOCSWINSZ 0x5414

int terminal_open(void)
{
	int terminal = call(openat, AT_FDCWD, "p/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC), unlocked = 0;

	if (terminal < 0)
		return failed("open a terminal", terminal);
	call(ioctl, terminal, TIOCSPTLCK, &unlocked);
	terminal_resize(terminal, settings.size);
	return terminal;
}

/* Needs no path: the program's side of the terminal, whatever is mounted where. */
int terminal_program_side(int terminal)
{
	return call(ioctl, terminal, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
}

/* rows, columns, x pixels, y pixels: struct winsize */
void terminal_resize(int terminal, const u16 *size)
{
	call(ioctl, terminal, TIOCSWINSZ, size);
}
