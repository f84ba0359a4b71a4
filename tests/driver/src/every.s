/* SPDX-License-Identifier: MIT OR Apache-2.0 */
# Guests of every_instruction.rs. Each round ends at `round`, which tells the launcher how many there were
# and waits for its answer; the launcher arms the event there. What a round does it checks, with values in all
# registers that a call preserves. [rbx + 8]: where the unmapped page's entry is, [rbx + 16] and on: two values
# for it. [rbx + 48]: rounds so far, [rbx + 56]: events taken.

.set CANARY, 0x0123456789abcdef

.macro canaries
	mov	rbp, CANARY
	lea	r12, [rbp + 1]
	lea	r13, [rbp + 2]
	lea	r14, [rbp + 3]
.endm

.macro check_canaries code
	mov	r10, CANARY
	sub	rbp, r10
	sub	r12, r10
	sub	r13, r10
	sub	r14, r10
	cmp	rbp, 0
	fail_unless je, \code
	cmp	r12, 1
	fail_unless je, \code + 1
	cmp	r13, 2
	fail_unless je, \code + 2
	cmp	r14, 3
	fail_unless je, \code + 3
	mov	r10, STACK
	cmp	rsp, r10
	fail_unless je, \code + 4
	mov	r10, DATA
	cmp	rbx, r10
	fail_unless je, \code + 5
.endm

# rsi := what the launcher is told of the number of rounds: a length that fits into a page.
.macro told
	mov	rsi, [rbx + 48]
	and	esi, 0x7ff
	inc	esi
.endm

# The launcher answers with what it was told.
.macro round
	inc	qword ptr [rbx + 48]
	canaries
	mov	rdi, [rbx]
	add	rdi, 0x100000
	told
	call_monitor {HC_CONSOLE_WRITE}
	test	rax, rax
	fail_unless jz, 0xe01
	told
	cmp	rdx, rsi
	fail_unless je, 0xe02
	check_canaries 0xe10
.endm

# A hypercall that the module answers.
guest every_hypercall
	prelude
1:	round
	canaries
	call_monitor {HC_YIELD}
	test	rax, rax
	fail_unless jz, 0xe21
	check_canaries 0xe30
	jmp	1b
end_guest every_hypercall

# KSM_ENTRY_EXCHANGE, to and fro: a call that is lost or made twice shows in what the next one finds.
guest every_call
	prelude
1:	round
	canaries
	mov	rdi, [rbx + 8]
	mov	rsi, [rbx + 16]
	call_monitor {KSM_ENTRY_EXCHANGE}
	test	rax, rax
	fail_unless jz, 0xe41
	mov	rcx, [rbx + 24]
	xor	rdx, rcx
	and	rdx, -97		# A and D are the processor's
	fail_unless jz, 0xe42
	mov	rax, [rbx + 16]
	mov	[rbx + 24], rax
	mov	[rbx + 16], rcx
	check_canaries 0xe50
	jmp	1b
end_guest every_call

# An event that the guest sends to itself, its handler, and GATE_IRET out of it.
guest every_event
	prelude
	mov	eax, 0x2b		# SEL_USER_DS: the way back from the host has selectors to load
	mov	ds, ax
	set_info
	set_handler {HANDLER_EVENT_KERNEL}, 5f
	mov	r10, INFO
	mov	byte ptr [r10], 1
1:	round
	canaries
	mov	rdi, 1
	mov	rsi, {EVENT_IPI}
	call_monitor {HC_EVENT_SEND}
	test	rax, rax
	fail_unless jz, 0xe61
	check_canaries 0xe70
	mov	rax, [rbx + 48]
	cmp	rax, [rbx + 56]
	fail_unless je, 0xe62
	mov	r10, INFO
	cmp	byte ptr [r10], 1
	fail_unless je, 0xe63
	jmp	1b
5:	mov	r11, INFO
	mov	[r11 + {IRET} + 40], rax
	mov	[r11 + {IRET} + 48], rcx
	mov	[r11 + {IRET} + 56], rdx
	xor	eax, eax
	lock xchg [r11 + 8], rax
	cmp	rax, 1 << {EVENT_IPI}
	fail_unless je, 0xe64
	cmp	byte ptr [r11], 0
	fail_unless je, 0xe65
	inc	qword ptr [rbx + 56]
	.irp	at, 0, 16, 24, 32
	mov	rax, [r11 + {EVENT} + \at]
	mov	[r11 + {IRET} + \at], rax
	.endr
	mov	qword ptr [r11 + {IRET} + 8], {SEL_KERNEL_CS}
	mov	byte ptr [r11], 1
	movabs	rcx, {GATE_IRET}
	jmp	rcx
end_guest every_event

# GATE_IRET, and one whose frame is refused.
guest every_iret
	prelude
	mov	eax, 0x2b		# and here another, so that each is once 0 and once not
	mov	es, ax
	set_info
	set_handler {HANDLER_IRET_REFUSED}, 6f
1:	round
	canaries
	mov	r10, INFO
	mov	rax, 0x1111
	mov	[r10 + {IRET} + 40], rax
	mov	rax, 0x2222
	mov	[r10 + {IRET} + 48], rax
	mov	rax, 0x3333
	mov	[r10 + {IRET} + 56], rax
	iret_to 2f, 0x246
2:	pushfq
	cmp	rax, 0x1111
	fail_unless je, 0xe81
	cmp	rcx, 0x2222
	fail_unless je, 0xe82
	pop	rax
	and	eax, 0xfff
	cmp	eax, 0x246
	fail_unless je, 0xe84
	check_canaries 0xe90
	canaries
	iret_to 3f, 0x2			# interrupts off
3:	shutdown 0xe85
6:	cmp	rax, -{E_RETURN}
	fail_unless je, 0xe86
	check_canaries 0xea0
	jmp	1b
end_guest every_iret

# What a guest would do at PKRS = 0: reads the monitor's memory, goes back to its own rights, and ends.
guest alias
	movabs	rcx, {BOOT_INFO}
	mov	rax, [rcx]
	mov	rbx, DATA
	mov	[rbx + 64], rax
	mov	ecx, {MSR_IA32_PKRS}
	mov	eax, {PKRS_GUEST}
	xor	edx, edx
	wrmsr
	mov	rsp, STACK
	shutdown 0xa11a
end_guest alias
