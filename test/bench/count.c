/*
 * An application in a guest that never waits: it counts pieces of work, each with a little of its own and a
 * system call, and every tenth of a second prints how many it did, and in how many nanoseconds.
 */
static long call(long number, long a, long b, long c)
{
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c)
			 : "rcx", "r11", "memory");
	return result;
}

static unsigned long now(void)
{
	unsigned long time[2];

	call(228, 1, (long)time, 0); /* clock_gettime(CLOCK_MONOTONIC) */
	return time[0] * 1000000000 + time[1];
}

static char *put_number(char *at, unsigned long value)
{
	char digits[20];
	int count = 0;

	do
		digits[count++] = '0' + value % 10;
	while (value /= 10);
	while (count)
		*at++ = digits[--count];
	return at;
}

void _start(void)
{
	static unsigned char memory[1 << 16];
	unsigned state = 1;
	char line[64], *end;

	for (;;) {
		unsigned long begun = now(), pieces = 0, passed;

		do {
			for (int n = 0; n < 1000; n++) {
				state = state * 1664525 + 1013904223;
				memory[state >> 16] += state;
			}
			call(110, 0, 0, 0); /* getppid: it is never answered without the kernel */
			pieces++;
		} while ((passed = now() - begun) < 100000000);
		end = line;
		for (const char *word = "work "; *word; word++)
			*end++ = *word;
		end = put_number(end, pieces);
		*end++ = '/';
		end = put_number(end, passed);
		*end++ = '\n';
		call(1, 1, (long)line, end - line);
	}
}
