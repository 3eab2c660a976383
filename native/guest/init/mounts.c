#include "mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include "console.h"
#include "system.h"

static const unsigned long guarded = MS_NOSUID | MS_NODEV | MS_NOEXEC;
static const char texts[] = "/.debloat/run";

static int mount_on(const char *target, const char *type, unsigned long flags, const char *data) {
  make_directories(target, 0755);
  return mount_at(type, target, type, flags, data);
}

static void require(const char *target, int error) {
  if (error < 0 && error != -EBUSY) say_failure("cannot mount", target, error);
}

static void link_to(const char *target, const char *path) { call3(symlinkat, target, AT_FDCWD, path); }

// Where the kernel has no devtmpfs: the devices of a container.
static void make_devices(void) {
  static const struct {
    const char *path;
    unsigned major, minor;
  } devices[] = {{"/dev/null", 1, 3},    {"/dev/zero", 1, 5}, {"/dev/full", 1, 7}, {"/dev/random", 1, 8},
                 {"/dev/urandom", 1, 9}, {"/dev/tty", 5, 0},  {"/dev/ptmx", 5, 2}};
  require("/dev", mount_on("/dev", "tmpfs", MS_NOSUID, "mode=0755"));
  for (size_t i = 0; i < sizeof devices / sizeof *devices; i++) {
    call4(mknodat, AT_FDCWD, devices[i].path, S_IFCHR | 0666, devices[i].major << 8 | devices[i].minor);
    call3(fchmodat, AT_FDCWD, devices[i].path, 0666);
  }
  call4(mknodat, AT_FDCWD, "/dev/console", S_IFCHR | 0600, 5 << 8 | 1);
}

void mount_system(void) {
  require("/proc", mount_on("/proc", "proc", guarded, NULL));
  require("/sys", mount_on("/sys", "sysfs", guarded, NULL));
  int devices = mount_on("/dev", "devtmpfs", MS_NOSUID, "mode=0755");
  if (devices < 0 && devices != -EBUSY) make_devices();
  require("/dev/pts", mount_on("/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"));
  require("/dev/shm", mount_on("/dev/shm", "tmpfs", guarded, "mode=1777"));
  // not every kernel has these
  mount_on("/dev/mqueue", "mqueue", guarded, NULL);
  mount_at("cgroup2", "/sys/fs/cgroup", "cgroup2", guarded, NULL);
  link_to("/proc/self/fd", "/dev/fd");
  link_to("/proc/self/fd/0", "/dev/stdin");
  link_to("/proc/self/fd/1", "/dev/stdout");
  link_to("/proc/self/fd/2", "/dev/stderr");
  mount_on(texts, "tmpfs", guarded, "mode=0755");
}

static int read_only_root(void) {
  struct statfs found;
  return call2(statfs, "/", &found) == 0 && (found.f_flags & ST_RDONLY) != 0;
}

void prepare_directories(const struct settings *settings) {
  for (int i = 0; i < settings->volume_count; i++) make_directories(settings->volumes[i], 0755);
  if (!read_only_root()) return;
  require("/run", mount_at("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755"));
  require("/tmp", mount_at("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777"));
}

static int write_text(const char *path, const char *text) {
  int fd = open_file(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (fd < 0) return fd;
  long count = write_file(fd, text, length(text));
  close_file(fd);
  return count < 0 ? (int)count : 0;
}

void show_text(const char *name, const char *path, const char *text) {
  char source[128] = "";
  append(source, sizeof source, texts);
  append(source, sizeof source, "/");
  append(source, sizeof source, name);
  if (write_text(source, text) < 0) return;
  if (!exists(path)) {
    make_directory("/etc", 0755);
    int fd = open_file(path, O_WRONLY | O_CREAT, 0644);
    if (fd < 0) return; // nothing to bind to on a read-only root
    close_file(fd);
  }
  require(path, mount_at(source, path, NULL, MS_BIND, NULL));
}
