/* Lines for the host, which makes sentences of them: "kernel function: value". */
#include "stage1.h"

static void put(char c)
{
	u32 head = stage1_control.message_head;

	/* A host that does not read loses lines, and nobody waits for it. */
	if (head - stage1_control.message_tail >= MESSAGE_BYTES)
		return;
	stage1_control.messages[head % MESSAGE_BYTES] = c;
	stage1_control.message_head = head + 1;
}

static void put_number(s64 value)
{
	char digits[20];
	int count = 0;
	u64 rest = value < 0 ? -(u64)value : (u64)value;

	if (value < 0)
		put('-');
	do
		digits[count++] = '0' + rest % 10;
	while ((rest /= 10));
	while (count)
		put(digits[--count]);
}

void message(const char *what, s64 value)
{
	while (*what)
		put(*what++);
	put(':');
	put(' ');
	put_number(value);
	put('\n');
}

int failed(const char *what, s64 error)
{
	message(what, error);
	return (int)error;
}
