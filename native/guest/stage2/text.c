/* Text, without a C library. */
#include "stage2.h"

/* The compiler may call these by itself. */
void *memcpy(void *to, const void *from, u64 size)
{
	u8 *t = to;
	const u8 *f = from;

	while (size--)
		*t++ = *f++;
	return to;
}

void *memset(void *to, int value, u64 size)
{
	u8 *t = to;

	while (size--)
		*t++ = value;
	return to;
}

void copy(void *to, const void *from, u64 size)
{
	memcpy(to, from, size);
}

u64 length_of(const char *text)
{
	u64 length = 0;

	while (text[length])
		length++;
	return length;
}

int equal(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

int starts_with(const char *text, const char *start)
{
	while (*start && *text == *start)
		text++, start++;
	return !*start;
}

int append(char *buffer, u64 size, const char *text)
{
	u64 at = length_of(buffer), more = length_of(text);

	if (at + more >= size)
		return -ENAMETOOLONG;
	copy(buffer + at, text, more + 1);
	return 0;
}

int append_number(char *buffer, u64 size, u64 number)
{
	char digits[21], *at = digits + 20;

	*at = 0;
	do
		*--at = '0' + number % 10;
	while ((number /= 10));
	return append(buffer, size, at);
}
