/* What was seen already: an open-addressing table from 64-bit keys to 64-bit notes. */
#define _GNU_SOURCE
#include "seen.h"

#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

#define FIRST_SLOTS ((size_t)1 << 12)
/* 64 MiB; beyond that everything is forgotten, and a few records are written twice. */
#define MAX_SLOTS ((size_t)1 << 22)

struct slot {
  uint64_t key, note;
};

static struct slot *slots;
static size_t size, used;

static uint64_t mix(uint64_t a, uint64_t b) {
  unsigned __int128 product = (unsigned __int128)a * b;
  return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t seen_key(uint64_t salt, const char *bytes, size_t length) {
  uint64_t hash = mix(salt ^ 0x9e3779b97f4a7c15u, length ^ 0xe7037ed1a0b428dbu);
  uint64_t word;
  for (; length >= 8; bytes += 8, length -= 8) {
    memcpy(&word, bytes, 8);
    hash = mix(hash ^ word, 0xa0761d6478bd642fu);
  }
  word = 0;
  memcpy(&word, bytes, length);
  hash = mix(hash ^ word, 0x8ebc6af09c88c6e3u);
  return hash == 0 ? 1 : hash;
}

static struct slot *slot_of(struct slot *table, size_t count, uint64_t key) {
  size_t at = key & (count - 1);
  while (table[at].key != 0 && table[at].key != key) at = (at + 1) & (count - 1);
  return &table[at];
}

uint64_t seen_get(uint64_t key) { return size == 0 ? 0 : slot_of(slots, size, key)->note; }

static bool grow(void) {
  size_t more = size == 0 ? FIRST_SLOTS : size * 2;
  if (more > MAX_SLOTS) {
    memset(slots, 0, size * sizeof *slots);
    used = 0;
    return true;
  }
  struct slot *table = mmap(NULL, more * sizeof *table, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (table == MAP_FAILED) return false;
  for (size_t i = 0; i < size; i++)
    if (slots[i].key != 0) *slot_of(table, more, slots[i].key) = slots[i];
  if (size > 0) munmap(slots, size * sizeof *slots);
  slots = table;
  size = more;
  return true;
}

void seen_put(uint64_t key, uint64_t note) {
  if (used * 3 >= size * 2 && !grow() && used + 1 >= size) return;
  struct slot *slot = slot_of(slots, size, key);
  if (slot->key == 0) used++;
  *slot = (struct slot){key, note};
}
