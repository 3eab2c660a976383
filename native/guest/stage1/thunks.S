/*
 * Indirect calls of the C code (-mindirect-branch=thunk-extern): by `ret`, which works for kernel
 * functions whose endbr64 was sealed away (IBT), and which no branch predictor is trusted with.
 */
	.macro	thunk register
	.globl	__x86_indirect_thunk_\register
	.hidden	__x86_indirect_thunk_\register
	.type	__x86_indirect_thunk_\register, @function
__x86_indirect_thunk_\register:
	call	2f
1:	pause
	lfence
	jmp	1b
2:	mov	%\register, (%rsp)
	ret
	.size	__x86_indirect_thunk_\register, . - __x86_indirect_thunk_\register
	.endm

	.text
	.irp	name, rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15
	thunk	\name
	.endr

	.section .note.GNU-stack, "", @progbits
