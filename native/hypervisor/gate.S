/*
 * What a stopped thread of the hypervisor is sent through: it makes system calls that we put into a
 * page of shared memory, one after the other, without ptrace, and goes back to where it was by
 * rt_sigreturn(2).  It also goes back when nothing comes for a while: we may have been killed.
 *
 * Entered with rbx = the page, rsp = the signal frame with everything as it was.
 */
#define STATE		0x00	/* 0: nothing, 1: a call waits, 2: go back */
#define COMPLETED	0x04	/* calls that were made */
#define SLEEPING	0x08	/* in futex(2): must be woken */
#define LEFT		0x0c	/* on the way back */
#define TIMEOUT		0x10	/* struct timespec */
#define NUMBER		0x20
#define ARGUMENTS	0x28	/* rdi, rsi, rdx, r10, r8, r9 */
#define RESULT		0x58
#define WAITING		0x60	/* the other side is in futex(2) */

#define CALL		1
#define LEAVE		2

#define NR_rt_sigreturn	15
#define NR_futex	202
#define FUTEX_WAKE	1
#define EINTR		4
#define EAGAIN		11
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

2:	mov	NUMBER(%rbx), %rax
	mov	ARGUMENTS(%rbx), %rdi
	mov	ARGUMENTS+8(%rbx), %rsi
	mov	ARGUMENTS+16(%rbx), %rdx
	mov	ARGUMENTS+24(%rbx), %r10
	mov	ARGUMENTS+32(%rbx), %r8
	mov	ARGUMENTS+40(%rbx), %r9
	syscall
	mov	%rax, RESULT(%rbx)
	movl	$0, STATE(%rbx)
	lea	COMPLETED(%rbx), %rdi
	call	tell
	jmp	gate

3:	lea	LEFT(%rbx), %rdi
	call	tell
	mov	$NR_rt_sigreturn, %eax
	syscall

/* Count up the word at rdi, and wake who waits for that. The stack is below the signal frame. */
tell:	lock incl (%rdi)
	cmpl	$0, WAITING(%rbx)
	je	1f
	mov	$NR_futex, %eax
	mov	$FUTEX_WAKE, %esi
	mov	$1, %edx
	syscall
1:	ret

	.section .note.GNU-stack, "", @progbits
