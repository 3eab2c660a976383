/* Capabilities, by the system calls alone: libcap is not needed for three operations. */
#define _GNU_SOURCE
#include "capability.h"

#include <linux/capability.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* By number, from 0 (linux/capability.h). */
static const char *const names[] = {
  "chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap",
  "linux_immutable", "net_bind_service", "net_broadcast", "net_admin", "net_raw", "ipc_lock",
  "ipc_owner", "sys_module", "sys_rawio", "sys_chroot", "sys_ptrace", "sys_pacct", "sys_admin",
  "sys_boot", "sys_nice", "sys_resource", "sys_time", "sys_tty_config", "mknod", "lease", "audit_write",
  "audit_control", "setfcap", "mac_override", "mac_admin", "syslog", "wake_alarm", "block_suspend",
  "audit_read", "perfmon", "bpf", "checkpoint_restore",
};
#define COUNT ((int)(sizeof names / sizeof *names))

static int number_of(const char *name, size_t length) {
  if (length > 4 && strncasecmp(name, "cap_", 4) == 0) name += 4, length -= 4;
  for (int i = 0; i < COUNT; i++)
    if (strlen(names[i]) == length && strncasecmp(names[i], name, length) == 0) return i;
  return -1;
}

bool parse_capabilities(const char *list, uint64_t *set) {
  *set = 0;
  while (*list != 0) {
    size_t length = strcspn(list, ",");
    int number = length == 0 ? -1 : number_of(list, length);
    if (number < 0) return false;
    *set |= UINT64_C(1) << number;
    list += length;
    list += *list == ',';
  }
  return true;
}

static struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};

bool has_capability(int number) {
  struct __user_cap_data_struct data[2];
  if (syscall(SYS_capget, &header, data) != 0) return false;
  return (data[number / 32].effective >> number % 32 & 1) != 0;
}

void drop_capabilities(uint64_t set) {
  for (int i = 0; i < COUNT; i++) {
    if ((set >> i & 1) == 0) continue;
    prctl(PR_CAPBSET_DROP, i, 0, 0, 0);
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_LOWER, i, 0, 0);
  }
  struct __user_cap_data_struct data[2];
  if (syscall(SYS_capget, &header, data) != 0) return;
  for (int half = 0; half < 2; half++) {
    uint32_t keep = ~(uint32_t)(set >> 32 * half);
    data[half].effective &= keep;
    data[half].permitted &= keep;
    data[half].inheritable &= keep;
  }
  syscall(SYS_capset, &header, data);
}
