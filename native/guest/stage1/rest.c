/* Sleep, in whichever way this kernel exports. */
#include "stage1.h"

void rest(u32 microseconds)
{
	if (usleep_range_state)
		usleep_range_state(microseconds, microseconds + microseconds / 2, TASK_IDLE);
	else if (usleep_range)
		usleep_range(microseconds, microseconds + microseconds / 2);
	else
		msleep((microseconds + 999) / 1000);
}
