#include "power.h"

#include <errno.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <linux/reboot.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "command-line.h"
#include "console.h"
#include "system.h"

// Linux, drivers/acpi/event.c: family "acpi_event", group "acpi_mc_group", attribute 1.
struct acpi_event {
  char device_class[20];
  char bus_id[15];
  uint32_t type;
  uint32_t data;
};

static union {
  struct nlmsghdr header;
  char bytes[8192];
} message;

static struct nlattr *attribute(char *start, const char *end, int type) {
  while (start + NLA_HDRLEN <= end) {
    struct nlattr *found = (struct nlattr *)start;
    if (found->nla_len < NLA_HDRLEN || start + found->nla_len > end) return NULL;
    if ((found->nla_type & NLA_TYPE_MASK) == type) return found;
    start += NLA_ALIGN(found->nla_len);
  }
  return NULL;
}

static char *body(struct nlattr *found) { return (char *)found + NLA_HDRLEN; }

static char *end_of(struct nlattr *found) { return (char *)found + found->nla_len; }

// The end of a message of `count` bytes whose header fits, or NULL.
static char *message_end(long count) {
  if (count < (long)NLMSG_LENGTH(GENL_HDRLEN) || message.header.nlmsg_len > count ||
      message.header.nlmsg_len < NLMSG_LENGTH(GENL_HDRLEN))
    return NULL;
  return message.bytes + message.header.nlmsg_len;
}

static char *first_attribute(void) { return message.bytes + NLMSG_LENGTH(GENL_HDRLEN); }

static int ask_for_family(int fd) {
  struct {
    struct nlmsghdr header;
    struct genlmsghdr command;
    struct nlattr name;
    char text[12];
  } request = {
      .header = {.nlmsg_len = sizeof request, .nlmsg_type = GENL_ID_CTRL, .nlmsg_flags = NLM_F_REQUEST},
      .command = {.cmd = CTRL_CMD_GETFAMILY, .version = 1},
      .name = {.nla_len = NLA_HDRLEN + 11, .nla_type = CTRL_ATTR_FAMILY_NAME},
      .text = "acpi_event",
  };
  return (int)system_call(SYS_sendto, fd, (long)&request, sizeof request, 0, 0, 0);
}

static int group_in_answer(char *end) {
  if (message.header.nlmsg_type != GENL_ID_CTRL) return -ENOENT;
  struct nlattr *groups = attribute(first_attribute(), end, CTRL_ATTR_MCAST_GROUPS);
  if (groups == NULL) return -ENOENT;
  // there is one group only, nested under index 1
  struct nlattr *group = attribute(body(groups), end_of(groups), 1);
  if (group == NULL) return -ENOENT;
  struct nlattr *id = attribute(body(group), end_of(group), CTRL_ATTR_MCAST_GRP_ID);
  if (id == NULL || id->nla_len < NLA_HDRLEN + 4) return -ENOENT;
  return *(int *)body(id);
}

int open_power_events(void) {
  int fd = (int)call3(socket, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_GENERIC);
  if (fd < 0) return fd;
  struct sockaddr_nl address = {.nl_family = AF_NETLINK};
  int error = (int)call3(bind, fd, &address, sizeof address);
  if (error == 0) error = ask_for_family(fd);
  if (error >= 0) {
    // answered before sendto returns
    char *end = message_end(call3(read, fd, message.bytes, sizeof message.bytes));
    int group = end == NULL ? -ENOENT : group_in_answer(end);
    error = group < 0 ? group : (int)call5(setsockopt, fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group);
  }
  if (error >= 0) return fd;
  close_file(fd);
  return error;
}

int power_button_pressed(int fd) {
  int pressed = 0;
  for (;;) {
    long count = read_file(fd, message.bytes, sizeof message.bytes);
    if (count <= 0) return pressed;
    char *end = message_end(count);
    struct nlattr *event = end == NULL ? NULL : attribute(first_attribute(), end, 1);
    if (event == NULL || event->nla_len < NLA_HDRLEN + sizeof(struct acpi_event)) continue;
    pressed |= after(((struct acpi_event *)body(event))->device_class, "button/power") != NULL;
  }
}

void power_off(void) {
  call0(sync);
  if (mount_at(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL) < 0) call0(sync);
  drain_console();
  int restart = equal(parameter_or("debloat.off", "poweroff"), "reboot");
  call4(reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2,
        restart ? LINUX_REBOOT_CMD_RESTART : LINUX_REBOOT_CMD_POWER_OFF, NULL);
  exit_process(1); // a panic of the kernel, which panic=-1 turns into a restart
}
