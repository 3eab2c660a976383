/*
 * Where the kernel enters stage 1, and how it leaves: in both ways out an interrupt can come only
 * after our last instruction, as `sti` holds interrupts back for one more.  So no task is ever
 * preempted in these last steps, and the host may take the pages away once it has seen that no
 * vCPU's rip is in them.
 *
 * Leaving by `ret` needs no endbr64 at the target (IBT), unlike an indirect jmp.
 */
#define CONTROL_SEQUENCE	0x08
#define CONTROL_RESUME_RIP	0x10
#define CONTROL_RESUME_FLAGS	0x18
#define CONTROL_QUEUED		0x20
#define CONTROL_COMPLETED	0x24
#define CONTROL_CODE		0x110
#define CONTROL_CODE_SIZE	0x118
#define CONTROL_CODE_BYTE	0x120
#define FLAGS_PLAIN		0x2
#define FLAGS_INTERRUPTS	0x200

	.text

/*
 * A vCPU that ran kernel code with interrupts enabled is set here by the host, as if by an
 * interrupt: everything is kept.  One that waits in hlt comes with interrupts enabled: only an
 * interrupt ends that.
 */
	.globl	stage1_interrupted
	.type	stage1_interrupted, @function
stage1_interrupted:
	endbr64
	cli
	push	stage1_control+CONTROL_RESUME_RIP(%rip)	/* for the last ret */
	push	stage1_control+CONTROL_RESUME_FLAGS(%rip)
	/* The interrupt flag comes back by sti; popfq would let an interrupt in too early. */
	andq	$~FLAGS_INTERRUPTS, (%rsp)
	push	%rax
	push	%rbx
	push	%rcx
	push	%rdx
	push	%rsi
	push	%rdi
	push	%rbp
	push	%r8
	push	%r9
	push	%r10
	push	%r11
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	push	$FLAGS_PLAIN	/* direction, alignment check (SMAP), trace: as C wants them */
	popfq
	mov	%rsp, %rbp
	and	$-16, %rsp
	call	stage1_enqueue
	mov	stage1_control+CONTROL_SEQUENCE(%rip), %eax
	mov	%eax, stage1_control+CONTROL_QUEUED(%rip)
	mov	%rbp, %rsp
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%r11
	pop	%r10
	pop	%r9
	pop	%r8
	pop	%rbp
	pop	%rdi
	pop	%rsi
	pop	%rdx
	pop	%rcx
	pop	%rbx
	pop	%rax
	popfq
	sti
	ret
	.size	stage1_interrupted, . - stage1_interrupted

/*
 * The work item's function: called by a kernel worker, may sleep.  Where stage1_execute says so,
 * our code is written over when it has ended: by the kernel's memset, which goes back to the worker.
 */
	.globl	stage1_work_entry
	.hidden	stage1_work_entry
	.type	stage1_work_entry, @function
stage1_work_entry:
	endbr64
	push	%rbx
	mov	stage1_control+CONTROL_SEQUENCE(%rip), %ebx
	call	stage1_execute
	test	%eax, %eax
	mov	%ebx, %eax
	pop	%rbx
	jz	1f
	mov	stage1_control+CONTROL_CODE(%rip), %rdi
	mov	stage1_control+CONTROL_CODE_BYTE(%rip), %esi
	mov	stage1_control+CONTROL_CODE_SIZE(%rip), %rdx
	push	memset@GOTPCREL(%rip)
1:	cli
	mov	%eax, stage1_control+CONTROL_COMPLETED(%rip)
	sti
	ret
	.size	stage1_work_entry, . - stage1_work_entry

	.section .note.GNU-stack, "", @progbits
