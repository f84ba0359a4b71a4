/* SPDX-License-Identifier: MIT OR Apache-2.0 */
# Guests that count instructions: on a machine whose time stamp counter is the number of instructions
# executed (-icount shift=0). They use the macros of guests.s.
#
# [rbx + 8] rounds; the count of each goes to a word behind RESULTS.

.set RESULTS, DATA + 0x1000
.set LIST, DATA + 0x4000

# r12 := TSC. Three instructions behind RDTSC.
.macro count_from_here
	rdtsc
	shl	rdx, 32
	or	rax, rdx
	mov	r12, rax
.endm

# r14 := rax, then stores TSC - r12. Two instructions up to RDTSC.
.macro count_to_here
	mov	r14, rax
	rdtsc
	shl	rdx, 32
	or	rax, rdx
	sub	rax, r12
	mov	[r13], rax
	add	r13, 8
.endm

.macro load_call at
	mov	rdi, [rbx + \at + 8]
	mov	rsi, [rbx + \at + 16]
	mov	r8, [rbx + \at + 24]
.endm

# A call (number, rdi, rsi, r8) at [rbx + \at], if the number is not 0; it has to succeed.
.macro call_at at
	cmp	qword ptr [rbx + \at], 0
	je	8f
	load_call \at
	mov	eax, [rbx + \at]
	call	r15
	test	rax, rax
	fail_unless jz, \at
8:
.endm

# Calls of \target: as call_at, [rbx + 16] once before all, [rbx + 48] counted in each round, and
# [rbx + 80] after each.
.macro count_calls target:vararg
	prelude
	mov	rbp, [rbx + 8]
	mov	r13, RESULTS
	movabs	r15, {GATE_CALL}
	call_at	16
1:	\target
	load_call 48
	count_from_here
	mov	eax, [rbx + 48]
	call	r15
	count_to_here
	movabs	r15, {GATE_CALL}
	test	r14, r14
	fail_unless jz, 48
	call_at	80
	dec	rbp
	jnz	1b
	shutdown 0
.endm

guest count_call
	count_calls
end_guest count_call

# The same with PKRU as Linux has it: the emulator flushes its TLB when that changes.
guest count_flushes
	xor	ecx, ecx
	xor	edx, edx
	mov	eax, 0x55555554
	wrpkru
	count_calls
end_guest count_flushes

# The same with a RET in the place of the monitor, which gives 0.
guest count_return
	count_calls lea r15, [rip + 5f]
5:	mov	eax, 0
	ret
end_guest count_return

# 100 instructions.
guest count_straight
	prelude
	mov	rbp, [rbx + 8]
	mov	r13, RESULTS
1:	count_from_here
	.rept	100
	nop
	.endr
	count_to_here
	dec	rbp
	jnz	1b
	shutdown 0
end_guest count_straight

# GATE_IRET to CPL 0, from its first instruction to the one that it returns to.
guest count_iret
	prelude
	set_info
	mov	rbp, [rbx + 8]
	mov	r13, RESULTS
	movabs	r15, {GATE_IRET}
1:	mov	rdx, INFO
	lea	rax, [rip + 2f]
	mov	[rdx + {IRET}], rax
	mov	qword ptr [rdx + {IRET} + 8], {SEL_KERNEL_CS}
	mov	qword ptr [rdx + {IRET} + 16], 0x202
	mov	[rdx + {IRET} + 24], rsp
	mov	qword ptr [rdx + {IRET} + 32], {SEL_KERNEL_DS}
	count_from_here
	jmp	r15
2:	count_to_here
	dec	rbp
	jnz	1b
	shutdown 0
end_guest count_iret

# The calls at LIST, five words each: number, rdi, rsi, r8, and whether it is counted; up to a number of
# -1. Each has to succeed.
guest count_list
	prelude
	mov	rbp, LIST
	mov	r13, RESULTS
	movabs	r15, {GATE_CALL}
1:	cmp	qword ptr [rbp], -1
	je	3f
	mov	rdi, [rbp + 8]
	mov	rsi, [rbp + 16]
	mov	r8, [rbp + 24]
	count_from_here
	mov	eax, [rbp]
	call	r15
	count_to_here
	test	r14, r14
	fail_unless jz, [rbp]
	cmp	qword ptr [rbp + 32], 0
	jne	2f
	sub	r13, 8
2:	add	rbp, 40
	jmp	1b
3:	shutdown 0
end_guest count_list
