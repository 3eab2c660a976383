/*
 * What a stopped thread of the hypervisor is sent through: it makes system calls that we put into a
 * page of shared memory, one after the other, without ptrace, and goes back to where it was by
 * rt_sigreturn(2).  It also goes back when nothing comes for a while: we may have been killed.
 *
 * When told to it makes a thread that does the same in its place, and goes back at once.  That one
 * takes no signals, has the end of the page for a stack, and ends where the other would go back.
 *
 * Entered with rbx = the page, rsp = the signal frame with everything as it was, r12 = 0.
 */
#define STATE		0x00	/* 0: nothing, 1: calls wait, 2: go back, 3: leave a deputy */
#define COMPLETED	0x04	/* how often what was asked for was done */
#define SLEEPING	0x08	/* in futex(2): must be woken */
#define LEFT		0x0c	/* on the way back */
#define TIMEOUT		0x10	/* struct timespec */
#define COUNT		0x20	/* of the calls: they are made in turn, up to the first that fails */
#define WAITING		0x24	/* the other side is in futex(2) */
#define DEPUTY		0x28	/* thread id; the kernel clears it when the thread has ended */
#define SIGNALS		0x30	/* a set of all of them */
#define CALLS		0x40	/* number, rdi, rsi, rdx, r10, r8, r9, result; and the next */
#define STACK		0x1000

#define CALL		1
#define LEAVE		2
#define DEPUTIZE	3

#define NR_rt_sigprocmask	14
#define NR_rt_sigreturn	15
#define NR_clone	56
#define NR_exit		60
#define NR_futex	202
#define FUTEX_WAKE	1
#define SIG_SETMASK	2
/* CLONE_VM, _FS, _FILES, _SIGHAND, _THREAD, _SYSVSEM, _PARENT_SETTID, _CHILD_CLEARTID (clone(2)) */
#define CLONE_FLAGS	0x350f00
#define EINTR		4
#define EAGAIN		11
#define MOST_ERRORS	4095
#define SPINS		1000	/* some tens of microseconds: the caller may need this very processor */

	.text
	.globl	gate
	.type	gate, @function
gate:	mov	$SPINS, %r15d
1:	mov	STATE(%rbx), %eax
	cmp	$CALL, %eax
	je	2f
	cmp	$LEAVE, %eax
	je	3f
	cmp	$DEPUTIZE, %eax
	je	5f
	pause
	dec	%r15d
	jnz	1b
	/* The waker reads `sleeping` after it has set the state: one of us sees the other. */
	movl	$1, SLEEPING(%rbx)
	mfence
	mov	$NR_futex, %eax
	mov	%rbx, %rdi		/* STATE */
	xor	%esi, %esi		/* FUTEX_WAIT */
	xor	%edx, %edx		/* as long as it is 0 */
	lea	TIMEOUT(%rbx), %r10
	syscall
	movl	$0, SLEEPING(%rbx)
	test	%rax, %rax
	jz	gate
	cmp	$-EAGAIN, %rax
	je	gate
	cmp	$-EINTR, %rax
	je	gate
	/* Timed out. A call that comes just now is made after all, or never seen. */
	mov	$LEAVE, %ecx
	xor	%eax, %eax
	lock cmpxchg %ecx, STATE(%rbx)
	jne	gate
	jmp	3f

2:	lea	CALLS(%rbx), %r13
	mov	COUNT(%rbx), %r14d
7:	mov	(%r13), %rax
	mov	8(%r13), %rdi
	mov	16(%r13), %rsi
	mov	24(%r13), %rdx
	mov	32(%r13), %r10
	mov	40(%r13), %r8
	mov	48(%r13), %r9
	syscall
	mov	%rax, 56(%r13)
	add	$64, %r13
	cmp	$-MOST_ERRORS, %rax
	jae	8f
	dec	%r14d
	jnz	7b
8:	movl	$0, STATE(%rbx)
	lea	COMPLETED(%rbx), %rdi
	call	tell
	jmp	gate

3:	lea	LEFT(%rbx), %rdi
	call	tell
	test	%r12, %r12
	jnz	4f
	mov	$NR_rt_sigreturn, %eax
	syscall
4:	mov	$NR_exit, %eax
	xor	%edi, %edi
	syscall

	/* A handler would run on the small stack. The way back has the thread's own mask again. */
5:	movl	$0, STATE(%rbx)
	movq	$-1, SIGNALS(%rbx)
	mov	$NR_rt_sigprocmask, %eax
	mov	$SIG_SETMASK, %edi
	lea	SIGNALS(%rbx), %rsi
	xor	%edx, %edx
	mov	$8, %r10d
	syscall
	mov	$NR_clone, %eax
	mov	$CLONE_FLAGS, %edi
	lea	STACK(%rbx), %rsi
	lea	DEPUTY(%rbx), %rdx
	mov	%rdx, %r10
	xor	%r8d, %r8d
	syscall
	mov	%rax, %r12
	test	%rax, %rax
	jz	6f
	mov	%rax, CALLS+56(%rbx)
	lea	COMPLETED(%rbx), %rdi
	call	tell
	test	%r12, %r12
	mov	$0, %r12d
	js	gate			/* there may be no more threads: it stays itself */
	mov	$NR_rt_sigreturn, %eax
	syscall
6:	inc	%r12
	jmp	gate

/* Count up the word at rdi, and wake who waits for that. */
tell:	lock incl (%rdi)
	cmpl	$0, WAITING(%rbx)
	je	1f
	mov	$NR_futex, %eax
	mov	$FUTEX_WAKE, %esi
	mov	$1, %edx
	syscall
1:	ret

	.section .note.GNU-stack, "", @progbits
