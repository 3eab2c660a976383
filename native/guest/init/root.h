// How the machine's root file system comes about.
#ifndef DEBLOAT_INIT_ROOT_H
#define DEBLOAT_INIT_ROOT_H

// In an initramfs made by builder/vm/initramfs.ts: load its modules, mount the disk that the kernel's
// command line names (root=, rootfstype=, ro or rw) and go on with the init that is on it. With `ro`
// the root is an overlayfs with a tmpfs above the disk.
_Noreturn void enter_disk(void);

// Where the kernel has mounted a root that cannot be written to: put an overlayfs with a tmpfs over it.
void make_root_writable(void);

#endif
