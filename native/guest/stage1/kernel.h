/*
 * The kernel functions that stage 1 calls, all exported by Linux 5.10 to 7.2.  `OPTIONAL` ones
 * are missing in some of these or in some configurations: test before the call.
 *
 * They lie more than 2 GiB away, so every call goes through the table that the host's linker makes.
 */
#ifndef DEBLOAT_KERNEL_H
#define DEBLOAT_KERNEL_H

#include "control.h"

#define OPTIONAL __attribute__((weak))
#define NULL ((void *)0)
#define ERRNO_LIMIT 4095ul

/* include/linux/err.h: the last page of addresses are error numbers. */
static inline int is_error(const void *pointer)
{
	return (u64)pointer >= -ERRNO_LIMIT;
}

struct task_struct;
struct file;
struct socket;
struct platform_device;
struct workqueue_struct;

struct list_head {
	struct list_head *next, *prev;
};

/* include/linux/workqueue_types.h: only the first fields, and the kernel touches no more of it. */
struct work_struct {
	u64 data;
	struct list_head entry;
	void (*function)(struct work_struct *);
};

/* include/linux/ioport.h, the same since 4.6. */
struct resource {
	u64 start, end;
	const char *name;
	u64 flags, description;
	struct resource *parent, *sibling, *child;
};
#define IORESOURCE_MEM 0x200
#define IORESOURCE_IRQ 0x400

/* include/uapi/asm-generic/errno*.h */
#define ENOENT 2
#define ENXIO 6
#define ENOMEM 12
#define EBUSY 16
#define EEXIST 17
#define ENODEV 19
#define EINVAL 22
#define EMFILE 24
#define ETXTBSY 26

#pragma GCC visibility push(default)

/* kernel/workqueue.c */
extern int queue_work_on(int cpu, struct workqueue_struct *queue, struct work_struct *work);
extern OPTIONAL struct workqueue_struct *system_dfl_wq;	   /* 6.12: the new name of the next */
extern OPTIONAL struct workqueue_struct *system_unbound_wq; /* 7.2 warns about it */

/* kernel/smp.c: absent from kernels for one processor; `function` runs on all others, interrupts off */
extern OPTIONAL void smp_call_function(void (*function)(void *), void *argument, int wait);

/* drivers/base/platform.c */
extern struct platform_device *platform_device_alloc(const char *name, int id);
extern int platform_device_add_resources(struct platform_device *device,
					 const struct resource *resources, u32 count);
extern int platform_device_add(struct platform_device *device);
extern void platform_device_put(struct platform_device *device);
extern void platform_device_unregister(struct platform_device *device);

/* kernel/module/kmod.c: absent from kernels without modules */
extern OPTIONAL int __request_module(_Bool wait, const char *format, ...);

/* arch/x86/kernel/acpi/boot.c: absent from kernels without ACPI */
extern OPTIONAL int acpi_register_gsi(void *device, u32 gsi, int trigger, int polarity);
extern OPTIONAL void acpi_unregister_gsi(u32 gsi);

/* kernel/irq/ */
extern char dummy_irq_chip[];
extern int __irq_alloc_descs(int irq, u32 from, u32 count, int node, void *owner, void *affinity);
extern void irq_free_descs(u32 irq, u32 count);
extern void handle_simple_irq(void *descriptor);
extern void irq_set_chip_and_handler_name(u32 irq, void *chip, void (*handler)(void *),
					  const char *name);
extern int generic_handle_irq(u32 irq);

/* kernel/kthread.c, kernel/sched/ */
extern struct task_struct *kthread_create_on_node(int (*function)(void *), void *data, int node,
						  const char *format, ...);
extern int kthread_stop(struct task_struct *task);
extern _Bool kthread_should_stop(void);
extern int wake_up_process(struct task_struct *task);

/* kernel/time/ */
extern s64 ktime_get(void); /* nanoseconds */
extern OPTIONAL void usleep_range_state(u64 least, u64 most, u32 state); /* from 5.16 */
extern OPTIONAL void usleep_range(u64 least, u64 most);			/* until 5.15 */
extern void msleep(u32 milliseconds);
#define TASK_IDLE 0x402

/* net/socket.c */
struct net;
extern struct net init_net;
extern int sock_create_kern(struct net *net, int family, int type, int protocol,
			    struct socket **socket);
extern int kernel_bind(struct socket *socket, void *address, int length);
extern int kernel_listen(struct socket *socket, int backlog);
extern int kernel_connect(struct socket *socket, void *address, int length, int flags);
extern int kernel_accept(struct socket *socket, struct socket **accepted, int flags);
extern int kernel_sock_shutdown(struct socket *socket, int how);
extern void sock_release(struct socket *socket);
/* Takes the socket over, also where it fails. */
extern struct file *sock_alloc_file(struct socket *socket, int flags, const char *name);
#define SHUT_WR 1
#define SHUT_RDWR 2

/* fs/, mm/shmem.c */
extern struct file *shmem_file_setup(const char *name, s64 size, u64 flags);
extern struct file *filp_open(const char *path, int flags, u16 mode);
extern int filp_close(struct file *file, void *owner);
extern s64 kernel_read(struct file *file, void *buffer, u64 size, s64 *position);
extern s64 kernel_write(struct file *file, const void *buffer, u64 size, s64 *position);
extern int get_unused_fd_flags(u32 flags);
extern void fd_install(u32 descriptor, struct file *file);
extern struct file *fget(u32 descriptor);
extern OPTIONAL void flush_delayed_fput(void);
#define O_WRONLY 01
#define O_RDWR 02
#define O_CREAT 0100
#define O_EXCL 0200
#define O_TRUNC 01000

/* kernel/umh.c */
struct subprocess_info;
struct cred;
extern struct subprocess_info *
call_usermodehelper_setup(const char *path, char **arguments, char **environment, u32 allocation,
			  int (*init)(struct subprocess_info *, struct cred *),
			  void (*cleanup)(struct subprocess_info *), void *data);
extern int call_usermodehelper_exec(struct subprocess_info *info, int wait);
#define UMH_WAIT_EXEC 1
#define GFP_KERNEL 0xcc0

#pragma GCC visibility pop

#endif
