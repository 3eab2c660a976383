#include "network.h"

#include <errno.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/in.h>
#include <linux/route.h>
#include <linux/sockios.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "command-line.h"
#include "console.h"
#include "system.h"

enum { max_fields = 9, interface_patience = 3000 }; // milliseconds

static int request(int fd, unsigned long code, void *argument) { return (int)call3(ioctl, fd, code, argument); }

// Network order, or 0.
static uint32_t parse_address(const char *text) {
  uint8_t bytes[4] = {0};
  int part = 0, digits = 0;
  unsigned value = 0;
  for (;; text++) {
    if (*text >= '0' && *text <= '9' && value < 256) {
      value = value * 10 + (unsigned)(*text - '0');
      digits++;
      continue;
    }
    if (digits == 0 || value > 255 || part > 3) return 0;
    bytes[part++] = (uint8_t)value;
    value = 0, digits = 0;
    if (*text == 0) break;
    if (*text != '.') return 0;
  }
  uint32_t address;
  __builtin_memcpy(&address, bytes, 4);
  return part == 4 ? address : 0;
}

static struct sockaddr_in *as_address(struct sockaddr *to, uint32_t address) {
  struct sockaddr_in *in = (struct sockaddr_in *)to;
  in->sin_family = AF_INET;
  in->sin_addr.s_addr = address;
  return in;
}

static int raise_interface(int fd, struct ifreq *interface) {
  int error = request(fd, SIOCGIFFLAGS, interface);
  interface->ifr_flags |= IFF_UP | IFF_RUNNING;
  return error < 0 ? error : request(fd, SIOCSIFFLAGS, interface);
}

static int first_ethernet(int fd, struct ifreq *interface) {
  for (int index = 1; index < 64; index++) {
    struct ifreq found = {.ifr_ifindex = index};
    if (request(fd, SIOCGIFNAME, &found) < 0 || request(fd, SIOCGIFHWADDR, &found) < 0) continue;
    if (found.ifr_hwaddr.sa_family != ARPHRD_ETHER) continue;
    *interface = (struct ifreq){0};
    append(interface->ifr_name, IFNAMSIZ, found.ifr_name);
    return 0;
  }
  return -ENODEV;
}

// The interface `name`, or the first one.
static int find_interface(int fd, const char *name, struct ifreq *interface) {
  long until = monotonic_milliseconds() + interface_patience;
  for (;;) {
    *interface = (struct ifreq){0};
    append(interface->ifr_name, IFNAMSIZ, name);
    int error = *name == 0 ? first_ethernet(fd, interface) : request(fd, SIOCGIFFLAGS, interface);
    if (error == 0 || monotonic_milliseconds() > until) return error;
    sleep_milliseconds(10);
  }
}

static int set(int fd, struct ifreq *interface, unsigned long code, uint32_t address) {
  as_address(&interface->ifr_addr, address);
  return request(fd, code, interface);
}

static int add_default_route(int fd, uint32_t gateway) {
  struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY};
  as_address(&route.rt_dst, 0);
  as_address(&route.rt_genmask, 0);
  as_address(&route.rt_gateway, gateway);
  return request(fd, SIOCADDRT, &route);
}

static void split(char *text, char *fields[max_fields]) {
  static char nothing[1];
  for (int i = 0; i < max_fields; i++) fields[i] = nothing;
  for (int i = 0; i < max_fields; i++) {
    fields[i] = text;
    while (*text != 0 && *text != ':') text++;
    if (*text == 0) return;
    *text++ = 0;
  }
}

static void configure(int fd, char *fields[max_fields], struct network *network) {
  uint32_t client = parse_address(fields[0]);
  uint32_t gateway = parse_address(fields[2]);
  uint32_t mask = parse_address(fields[3]);
  struct ifreq interface;
  if (client == 0) {
    say("no network: ip= on the kernel's command line gives no address (there is no DHCP here)");
    return;
  }
  int error = find_interface(fd, fields[5], &interface);
  if (error < 0) {
    say_failure("no network: there is no such interface", fields[5], error);
    return;
  }
  error = set(fd, &interface, SIOCSIFADDR, client);
  if (error == 0) error = set(fd, &interface, SIOCSIFNETMASK, mask == 0 ? parse_address("255.255.255.0") : mask);
  if (error == 0) error = raise_interface(fd, &interface);
  if (error == 0 && gateway != 0) error = add_default_route(fd, gateway);
  // the kernel can have done all of this itself (CONFIG_IP_PNP)
  if (error < 0 && error != -EEXIST) say_failure("cannot configure the network as ip= says", NULL, error);
  append(network->address, sizeof network->address, fields[0]);
}

void configure_network(struct network *network) {
  int fd = (int)call3(socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    say_failure("no network", NULL, fd);
    return;
  }
  struct ifreq loopback = {.ifr_name = "lo"};
  if (raise_interface(fd, &loopback) < 0) say("the loopback interface does not come up");
  const char *given = parameter("ip");
  if (given != NULL && !equal(given, "off") && !equal(given, "none")) {
    char text[512] = "";
    char *fields[max_fields];
    append(text, sizeof text, given);
    split(text, fields);
    configure(fd, fields, network);
    append(network->hostname, sizeof network->hostname, fields[4]);
    for (int i = 0; i < 2; i++)
      if (parse_address(fields[7 + i]) != 0) append(network->servers[i], 16, fields[7 + i]);
  }
  close_file(fd);
}
