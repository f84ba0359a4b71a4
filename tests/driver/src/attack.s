/* SPDX-License-Identifier: MIT OR Apache-2.0 */
# Runs the script at SCRIPT: steps of six words, a number and up to five operands (attack.rs says what
# each does). [rbx + {SEEN}]: the last value seen, [rbx + {STEP}]: address of the step under way. A call that is
# refused ends the guest with code = step * 256 + error, the end of the script with 0.
.macro on step
	cmp	dword ptr [rbp], \step
	jne	8f
.endm

guest attack
	prelude
	mov	rbp, SCRIPT
	jmp	2f
1:	mov	rsp, STACK		# a step may come back with any registers
	mov	rbx, DATA
	mov	rbp, [rbx + {STEP}]
	add	rbp, 48
2:	mov	[rbx + {STEP}], rbp
	on	{STEP_CALL}
	mov	rdi, [rbp + 16]
	mov	rsi, [rbp + 24]
	mov	r8, [rbp + 32]
	mov	r9, [rbp + 40]
	mov	eax, [rbp + 8]
	movabs	r15, {GATE_CALL}
	call	r15
	test	rax, rax
	jz	1b
	neg	rax
	mov	rsi, rax
	mov	rax, DATA
	mov	rax, [rax + {STEP}]
	sub	rax, SCRIPT
	xor	edx, edx
	mov	ecx, 48
	div	ecx
	shl	eax, 8
	or	rsi, rax
	xor	edi, edi
	call_monitor {HC_SHUTDOWN}
8:	on	{STEP_LOAD}
	mov	rcx, [rbp + 8]
	mov	rax, [rcx]
	mov	[rbx + {SEEN}], rax
	jmp	1b
8:	on	{STEP_STORE}
	mov	rcx, [rbp + 8]
	mov	rax, [rbp + 16]
	mov	[rcx], rax
	jmp	1b
8:	on	{STEP_INVALIDATE}
	mov	rcx, [rbp + 8]
	invlpg	[rcx]
	jmp	1b
8:	on	{STEP_GO}
	mov	rcx, [rbp + 8]
	mov	eax, [rbp + 16]
	call	rcx
	jmp	1b
8:	on	{STEP_IRET}
	mov	r14, INFO
	lea	rcx, [rip + 1b]
	mov	rax, [rbp + 8]
	test	rax, rax
	cmovz	rax, rcx
	mov	[r14 + {IRET}], rax
	.irp	at, 8, 16
	mov	rax, [rbp + 8 + \at]
	mov	[r14 + {IRET} + \at], rax
	.endr
	mov	[r14 + {IRET} + 24], rsp
	mov	rax, [rbp + 32]
	mov	[r14 + {IRET} + 32], rax
	movabs	rcx, {GATE_IRET}
	jmp	rcx
8:	on	{STEP_TRAP}
	set_handler {HANDLER_DEBUG_KERNEL}, 1b
	mov	rcx, [rbp + 8]
	pushfq
	or	qword ptr [rsp], 0x100
	popfq
	mov	rsp, rcx		# and behind it #DB
	ud2
8:	on	{STEP_FLAGS}
	pushfq
	pop	rax
	mov	[rbx + {SEEN}], rax
	jmp	1b
8:	on	{STEP_OUT}
	mov	edx, [rbp + 8]
	mov	eax, [rbp + 16]
	out	dx, al
	jmp	1b
8:	on	{STEP_CLI}
	cli
	jmp	1b
8:	on	{STEP_WRMSR}
	mov	ecx, [rbp + 8]
	mov	eax, [rbp + 16]
	mov	edx, [rbp + 20]
	wrmsr
	jmp	1b
8:	on	{STEP_CR3}
	mov	rax, [rbp + 8]
	mov	cr3, rax
	jmp	1b
8:	on	{STEP_COUNT}
	mov	rcx, [rbp + 8]
7:	dec	rcx
	jnz	7b
	jmp	1b
8:	on	{STEP_UD2}
	ud2
	jmp	1b
8:	shutdown 0
end_guest attack
