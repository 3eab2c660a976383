#include "root.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include "command-line.h"
#include "console.h"
#include "system.h"

enum { disk_patience = 20000 }; // milliseconds

static void load_module(const char *name) {
  char path[512] = "/debloat/", parameters[4096] = "";
  append(path, sizeof path, name);
  append(path, sizeof path, ".ko");
  append_module_parameters(name, parameters, sizeof parameters);
  int fd = open_file(path, O_RDONLY, 0);
  int error = fd < 0 ? fd : (int)call3(finit_module, fd, parameters, 0);
  if (error < 0 && error != -EEXIST) say_failure("cannot load the kernel module", name, error);
  if (fd >= 0) close_file(fd);
  unlink_file(path); // the memory of the initramfs is wanted back
}

static void load_modules(void) {
  char *order;
  size_t size;
  if (map_file("/debloat/order", 65536, &order, &size) < 0) return;
  char *name = order;
  for (size_t i = 0; i < size; i++) {
    if (order[i] != '\n') continue;
    order[i] = 0;
    load_module(name);
    name = order + i + 1;
  }
  unlink_file("/debloat/order");
}

static void await_disk(const char *device) {
  long until = monotonic_milliseconds() + disk_patience;
  while (!exists(device)) {
    if (monotonic_milliseconds() > until) {
      say_failure("the root disk did not appear:", device, -ENOENT);
      give_up("is the disk a virtio one, and root= right?", 0);
    }
    sleep_milliseconds(5);
  }
}

// The root directory of an overlayfs has the metadata of its upper one.
static void copy_metadata(const char *from, const char *to) {
  struct statx found;
  if (call5(statx, AT_FDCWD, from, 0, STATX_BASIC_STATS, &found) < 0) return;
  call5(fchownat, AT_FDCWD, to, found.stx_uid, found.stx_gid, 0);
  call3(fchmodat, AT_FDCWD, to, found.stx_mode & 07777);
  long times[4] = {found.stx_atime.tv_sec, found.stx_atime.tv_nsec, found.stx_mtime.tv_sec,
                   found.stx_mtime.tv_nsec};
  call4(utimensat, AT_FDCWD, to, times, 0);
}

// An overlayfs of `lower` on BASE/merged, with its upper directory in a tmpfs on BASE.
static int overlay(const char *lower, const char *base) {
  char upper[64] = "", work[64] = "", merged[64] = "", options[256] = "lowerdir=";
  append(upper, sizeof upper, base);
  append(upper, sizeof upper, "/upper");
  append(work, sizeof work, base);
  append(work, sizeof work, "/work");
  append(merged, sizeof merged, base);
  append(merged, sizeof merged, "/merged");
  append(options, sizeof options, lower);
  append(options, sizeof options, ",upperdir=");
  append(options, sizeof options, upper);
  append(options, sizeof options, ",workdir=");
  append(options, sizeof options, work);
  int error = mount_at("tmpfs", base, "tmpfs", 0, "mode=0700");
  if (error < 0) return error;
  make_directory(upper, 0755);
  make_directory(work, 0755);
  make_directory(merged, 0755);
  copy_metadata(lower, upper);
  error = mount_at("overlay", merged, "overlay", 0, options);
  if (error < 0) call2(umount2, base, MNT_DETACH);
  return error;
}

static void mount_disk(const char *target) {
  const char *device = parameter_or("root", "/dev/vda");
  const char *type = parameter_or("rootfstype", "ext4");
  int writable = last_of("rw", "ro") > 0;
  await_disk(device);
  int error = mount_at(device, target, type, writable ? 0 : MS_RDONLY, NULL);
  if (error == 0) return;
  say_failure("cannot mount the root disk", device, error);
  give_up("does root= name the disk, and rootfstype= its file system?", 0);
}

static void change_root(const char *to) {
  call1(chdir, to);
  int error = mount_at(".", "/", NULL, MS_MOVE, NULL);
  if (error == 0) error = (int)call1(chroot, ".");
  if (error < 0) give_up("cannot change to the root disk", error);
  call1(chdir, "/");
}

void enter_disk(void) {
  make_directory("/proc", 0755);
  make_directory("/dev", 0755);
  make_directory("/disk", 0755);
  make_directory("/top", 0755);
  mount_at("proc", "/proc", "proc", 0, NULL);
  mount_at("dev", "/dev", "devtmpfs", 0, NULL);
  open_console();
  read_command_line();
  load_modules();
  mount_disk("/disk");
  const char *root = "/disk";
  if (last_of("rw", "ro") <= 0) {
    int error = overlay("/disk", "/top");
    if (error == 0) root = "/top/merged";
    else say_failure("the root stays read-only: no overlayfs", NULL, error);
  }
  call2(umount2, "/proc", MNT_DETACH);
  call2(umount2, "/dev", MNT_DETACH);
  unlink_file("/init");
  change_root(root);
  static char *const arguments[] = {"/.debloat/init", NULL};
  static char *const environment[] = {NULL};
  give_up("cannot start /.debloat/init", (int)call3(execve, arguments[0], arguments, environment));
}

void make_root_writable(void) {
  struct statfs found;
  if (call2(statfs, "/", &found) < 0 || (found.f_flags & ST_RDONLY) == 0) return;
  int error = overlay("/", "/.debloat/top");
  if (error == 0) {
    call1(chdir, "/.debloat/top/merged");
    error = (int)call2(pivot_root, ".", ".");
    if (error == 0) {
      call2(umount2, ".", MNT_DETACH); // the old root, which lies over the new one
      call1(chdir, "/");
      return;
    }
  }
  say_failure("the root stays read-only: no overlayfs", NULL, error);
}
