#ifndef SENSOR_RECORD_H
#define SENSOR_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In the order of `accessKinds` in analyzer/trace/types.ts. */
enum kind {
  KIND_EXEC,
  KIND_OPEN,
  KIND_WRITE,
  KIND_LIST,
  KIND_STAT,
  KIND_READLINK,
  KIND_LINK,
  KIND_CHDIR,
  KIND_CHANGE,
};

enum outcome { OUTCOME_FOUND, OUTCOME_MISSING, OUTCOME_CREATED };

#define COMM_SIZE 16

/*
 * A trace file: this header, kept current through a shared mapping so that SIGKILL loses nothing,
 * then records: u16 length of the whole record, u8 kind, u8 outcome, u8 length of the program's
 * name, the name, the path. All numbers little-endian.
 */
#define HEADER_SIZE 4096
#define TRACE_VERSION 1
#define TRACE_NO_NEW_PRIVILEGES 1u
#define TRACE_PROGRAMS 128

struct trace_header {
  char magic[8];
  uint32_t version;
  uint32_t flags;
  uint64_t events;
  /* Records that could not be written, and why the last one could not. */
  uint64_t lost;
  uint32_t lost_errno;
  uint32_t programs;
  /* Unreadable notifications of programs that found no room in the table. */
  uint64_t unreadable_others;
  uint64_t started; /* nanoseconds since the epoch */
  struct {
    char name[COMM_SIZE];
    uint64_t count;
  } unreadable[TRACE_PROGRAMS];
};

/* Make a new trace file in `directory`; its descriptor, or -1 with errno set. */
int create_trace(const char *directory);

/* Map the header of an open trace file and write its constant part; false with errno set. */
bool open_trace(int file, uint32_t flags);

void count_event(void);
void count_unreadable(const char *program);

/* Add one record to those of the event at hand. */
void add_record(enum kind kind, enum outcome outcome, const char *program, const char *path, size_t length);

/* Append what was added to the file in one write, or drop it. */
void write_records(void);
void drop_records(void);

#endif
