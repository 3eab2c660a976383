// The first process of a microVM made by `debloat build --vm` (docs/vm.md): it prepares the machine,
// runs the image's program as the image says, and switches the machine off when that has ended.
#include <errno.h>
#include <poll.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <linux/reboot.h>

#include "command-line.h"
#include "console.h"
#include "mounts.h"
#include "network.h"
#include "power.h"
#include "root.h"
#include "settings.h"
#include "system.h"
#include "workload.h"

enum { signal_set_size = 8, default_grace = 10, farewell = 1000 }; // seconds, milliseconds

static int open_signals(void) {
  static const int wanted[] = {SIGCHLD, SIGTERM, SIGINT, SIGPWR};
  uint64_t set = 0;
  for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) set |= 1UL << (wanted[i] - 1);
  // blocked, they reach the first process although it handles none
  call4(rt_sigprocmask, SIG_BLOCK, &set, NULL, signal_set_size);
  return (int)call4(signalfd4, -1, &set, signal_set_size, SFD_CLOEXEC | SFD_NONBLOCK);
}

// Whether a signal other than SIGCHLD came.
static int asked_by_signal(int signals) {
  struct signalfd_siginfo info;
  int asked = 0;
  while (read_file(signals, &info, sizeof info) == sizeof info) asked |= info.ssi_signo != SIGCHLD;
  return asked;
}

// Take in all children that ended. Returns 1 if `workload` was among them, with its wait status; -1
// if there are no children left.
static int reap(int workload, int *status) {
  int found = 0;
  for (;;) {
    int ended;
    int pid = (int)call4(wait4, -1, &ended, WNOHANG, NULL);
    if (pid <= 0) return found != 0 ? found : pid == -ECHILD ? -1 : 0;
    if (pid != workload) continue;
    *status = ended;
    found = 1;
  }
}

static void wait_for(struct pollfd *events, long milliseconds) {
  struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
  call5(ppoll, events, 2, milliseconds < 0 ? NULL : &time, NULL, signal_set_size);
}

// Until the workload has ended by itself, or was asked to and then made to. Returns its wait status.
static int supervise(int workload, int stop_signal, struct pollfd *events) {
  long grace = number(parameter_or("debloat.grace", ""));
  enum { running, stopping, killed } state = running;
  long deadline = 0;
  int status = 0;
  for (;;) {
    if (reap(workload, &status) == 1) return status;
    long left = state == stopping ? deadline - monotonic_milliseconds() : -1;
    if (state == stopping && left <= 0) {
      say("the workload does not stop: killing it");
      call2(kill, workload, SIGKILL);
      state = killed;
      left = -1;
    }
    wait_for(events, left);
    int asked = asked_by_signal(events[0].fd);
    if (events[1].fd >= 0) asked |= power_button_pressed(events[1].fd);
    if (!asked || state != running) continue;
    say("powering down: stopping the workload");
    call2(kill, workload, stop_signal);
    deadline = monotonic_milliseconds() + (grace < 0 ? default_grace : grace) * 1000;
    state = stopping;
  }
}

static void end_others(struct pollfd *events) {
  static const int signals[] = {SIGTERM, SIGKILL};
  int unused;
  for (int i = 0; i < 2; i++) {
    long until = monotonic_milliseconds() + farewell;
    call2(kill, -1, signals[i]);
    for (;;) {
      if (reap(-1, &unused) == -1) return;
      long left = until - monotonic_milliseconds();
      if (left <= 0) break;
      wait_for(events, left);
      asked_by_signal(events[0].fd);
    }
  }
}

static void report(int status) {
  char line[128] = "the workload ";
  int signal = status & 127;
  append(line, sizeof line, signal == 0 ? "ended with status " : "was killed by signal ");
  append_number(line, sizeof line, signal == 0 ? (status >> 8) & 255 : signal);
  if (signal != 0) {
    append(line, sizeof line, ": status ");
    append_number(line, sizeof line, 128 + signal);
  }
  say(line);
}

static void name_machine(const struct settings *settings, const struct network *network) {
  const char *name = network->hostname[0] == 0 ? settings->hostname : network->hostname;
  char hosts[512] = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";
  char hostname[80] = "", servers[80] = "";
  call2(sethostname, name, length(name));
  append(hosts, sizeof hosts, network->address[0] == 0 ? "127.0.1.1" : network->address);
  append(hosts, sizeof hosts, "\t");
  append(hosts, sizeof hosts, name);
  append(hosts, sizeof hosts, "\n");
  append(hostname, sizeof hostname, name);
  append(hostname, sizeof hostname, "\n");
  for (int i = 0; i < 2; i++) {
    if (network->servers[i][0] == 0) continue;
    append(servers, sizeof servers, "nameserver ");
    append(servers, sizeof servers, network->servers[i]);
    append(servers, sizeof servers, "\n");
  }
  show_text("hosts", "/etc/hosts", hosts);
  show_text("hostname", "/etc/hostname", hostname);
  if (servers[0] != 0) show_text("resolv.conf", "/etc/resolv.conf", servers);
}

static void set_up(const struct settings *settings) {
  struct network network = {0};
  prepare_directories(settings);
  // as container engines have it: images whose user is not root listen on port 80
  put_text("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
  put_text("/proc/sys/net/ipv4/ping_group_range", "0 2147483647");
  configure_network(&network);
  name_machine(settings, &network);
}

int main(char **argv) {
  (void)argv;
  if (call0(getpid) != 1) {
    say("this is the first process of a microVM, and of use as that alone (docs/vm.md)");
    return 1;
  }
  if (exists("/debloat/order")) enter_disk();
  make_root_writable();
  mount_system();
  open_console();
  read_command_line();
  const struct settings *settings = read_settings();
  set_up(settings);
  // Ctrl-Alt-Del, which is how Firecracker asks for a shutdown, becomes SIGINT to us
  call4(reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_CAD_OFF, NULL);
  struct pollfd events[2] = {{.fd = open_signals(), .events = POLLIN},
                             {.fd = open_power_events(), .events = POLLIN}};
  int workload = start_workload(settings);
  if (workload < 0) give_up("cannot start the workload", workload);
  int status = supervise(workload, settings->stop_signal, events);
  end_others(events);
  report(status);
  power_off();
}
