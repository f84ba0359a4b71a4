/* SPDX-License-Identifier: MIT OR Apache-2.0 */
# Guests of every_instruction.rs. Each round ends at `round`, which tells the launcher how many there were
# and waits for its answer; the launcher arms the event there. What a round does it checks, with values in all
# registers that a call preserves. [rbx + 8]: where the unmapped page's entry is, [rbx + 16] and on: two values
# for it. [rbx + {ROUNDS}]: rounds so far, [rbx + {TAKEN}]: events taken.

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
	mov	rsi, [rbx + {ROUNDS}]
	and	esi, 0x7ff
	inc	esi
.endm

# The launcher answers with what it was told.
.macro round
	inc	qword ptr [rbx + {ROUNDS}]
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
	mov	rax, [rbx + {ROUNDS}]
	cmp	rax, [rbx + {TAKEN}]
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
	inc	qword ptr [rbx + {TAKEN}]
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

# To user mode by IRETQ and back by SYSCALL, then by SYSRET and back, with an event on each way that has come behind
# the guest's last look: it sends itself one and looks away the first time (r14). Whatever strikes in front of
# iretq or sysretq, between look and there, or in user mode, the event is taken once. [rbx + {AT_LOOKS}]: those taken at the
# look, [rbx + {IN_USER_MODE}]: those that have found user mode; behind that, from look to return on both ways.
.set USER_OFFSET, 0x108000		# a frame of Data
.set USER_TEXT, 0x400000		# where user mode has it
.set USER_END, USER_TEXT + 5
.set USER_GS, 0x7000
.set user_20, 0
.set user_21, 8
.set user_30, 16
.set user_31, 24

# From user mode, with the GS base that belongs there, into the kernel with its own.
.macro from_user code
	rdgsbase rax
	cmp	rax, USER_GS
	fail_unless je, \code
	swapgs
	rdgsbase rax
	cmp	rax, rbx
	fail_unless je, \code + 1
.endm

# What is pending is taken and counted, if there is something. Clobbers rax, r10.
.macro take
	mov	r10, INFO
	xor	eax, eax
	lock xchg [r10 + 8], rax
	shr	rax, {EVENT_IPI}
	add	[rbx + {TAKEN}], rax
	xor	r14d, r14d
.endm

.macro send
	mov	rdi, 1
	mov	rsi, {EVENT_IPI}
	call_monitor {HC_EVENT_SEND}
	test	rax, rax
	fail_unless jz, 0xec1
	xor	r14d, r14d
.endm

# KSM_RETURN_SET
.macro set_return index, check, at, undo
	mov	edi, \index
	lea	rsi, [rip + \check]
	lea	r8, [rip + \at]
	lea	r9, [rip + \undo]
	call_monitor {KSM_RETURN_SET}
	test	rax, rax
	fail_unless jz, 0xec2
.endm

guest every_user
	prelude
	set_info
	set_handler {HANDLER_SYSCALL}, 40f
	set_handler {HANDLER_EVENT_USER}, 50f
	lea	rdi, [rip + 20f]
	lea	rsi, [rip + 90f]
	call_monitor {KSM_ENTRY_CODE_SET}
	test	rax, rax
	fail_unless jz, 0xec3
	set_return 0, 20f, 21f, 22f
	set_return 1, 30f, 31f, 32f
	lea	rsi, [rip + 80f]	# user mode's text, through the kernel's mapping
	mov	rdi, TEXT + USER_OFFSET
	mov	ecx, USER_END - USER_TEXT
	rep movsb
	mov	eax, USER_GS
	wrgsbase rax
	swapgs
	wrgsbase rbx
	.irp	label, 20, 21, 30, 31
	lea	rax, [rip + \label\()f]
	mov	[rbx + {WAYS} + user_\label], rax
	.endr

1:	round
	xor	r13d, r13d		# what user mode does
	mov	r12, [rbx + {TAKEN}]
	mov	qword ptr [rbx + {WAYS_SO_FAR}], 0	# ways to user mode so far
	send
	mov	rax, rsp
	push	{SEL_USER_DS}
	push	rax
	push	0x202
	push	{SEL_USER_CS}
	push	USER_TEXT

	# The first way. Entry code from here on: no event enters the kernel.
20:	inc	r14d
	cmp	r14d, 1
	jne	23f
	swapgs
21:	iretq
22:	swapgs
	jmp	20b
23:	take
	add	[rbx + {AT_LOOKS}], rax
	jmp	20b

	# The second one.
30:	inc	r14d
	cmp	r14d, 1
	jne	33f
	swapgs
31:	sysretq
32:	swapgs
	jmp	30b
33:	take
	add	[rbx + {AT_LOOKS}], rax
	mov	ecx, USER_TEXT
	mov	r11d, 0x202
	jmp	30b

	# SYSCALL. RSP is the kernel's: user mode has no use for it.
40:	from_user 0xed1
	cmp	rcx, USER_END
	fail_unless je, 0xed3
	take				# if nothing has struck
	inc	qword ptr [rbx + {WAYS_SO_FAR}]
	cmp	qword ptr [rbx + {WAYS_SO_FAR}], 1
	jne	41f
	cmp	r13, 1
	fail_unless je, 0xed4
	send
	mov	ecx, USER_TEXT
	mov	r11d, 0x202
	jmp	30b
41:	cmp	r13, 2
	fail_unless je, 0xed5
	add	r12, 2
	cmp	r12, [rbx + {TAKEN}]
	fail_unless je, 0xed6
	mov	rax, STACK
	cmp	rsp, rax
	fail_unless je, 0xed7
	jmp	1b

	# An event in user mode; back there by IRETQ.
50:	from_user 0xed8
	take
	add	[rbx + {IN_USER_MODE}], rax
	.irp	at, 32, 24, 16, 8, 0
	push	[r10 + {EVENT} + \at]
	.endr
	jmp	20b
90:

80:	inc	r13			# USER_TEXT
	syscall				# to USER_END
end_guest every_user

# What a guest would do at PKRS = 0: reads the monitor's memory, goes back to its own rights, and ends.
guest alias
	movabs	rcx, {BOOT_INFO}
	mov	rax, [rcx]
	mov	rbx, DATA
	mov	[rbx + {GAIN}], rax
	mov	ecx, {MSR_IA32_PKRS}
	mov	eax, {PKRS_GUEST}
	xor	edx, edx
	wrmsr
	mov	rsp, STACK
	shutdown 0xa11a
end_guest alias
