// What the init says, and how it gives up.
#ifndef DEBLOAT_INIT_CONSOLE_H
#define DEBLOAT_INIT_CONSOLE_H

// Make /dev/console our standard input, output and error, if it can be opened.
void open_console(void);

// "debloat: TEXT" as one line on the console.
void say(const char *text);

// "debloat: TEXT: NAME (error N)" for a failed system call; `name` may be NULL.
void say_failure(const char *text, const char *name, int error);

// All that was written has left the machine when this returns.
void drain_console(void);

// Say so and switch the machine off: there is no way on.
_Noreturn void give_up(const char *text, int error);

#endif
