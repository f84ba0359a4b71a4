/* SPDX-License-Identifier: MIT OR Apache-2.0 */
# Guests of a few instructions. Each starts at the beginning of the text, at CPL 0 with the guest's
# PKRS, rdi = start info and no stack; `prelude` gives it a stack and rbx = its data page:
#   [rbx] hpa of the container's first byte, [rbx + 8] and on: parameters of the test.
# They end by HC_SHUTDOWN with a code that the test expects.

.set TEXT, 0xffffffff80000000
.set DATA, TEXT + 0x100000
.set INFO, TEXT + 0x110000		# struct cki_vcpu_info
.set STACK, TEXT + 0x180000
.set INFO_OFFSET, 0x110000
.set SCRIPT, TEXT + 0x102000

.macro guest name
	.p2align 4
	.globl guest_\name
guest_\name:
.endm

.macro end_guest name
	.globl guest_\name\()_end
guest_\name\()_end:
.endm

.macro prelude
	mov	rsp, STACK
	mov	rbx, DATA
.endm

# Call with the number; the arguments are in place.
.macro call_monitor number
	mov	eax, \number
	movabs	r15, {GATE_CALL}
	call	r15
.endm

.macro shutdown code
	mov	rsi, \code
	xor	edi, edi
	call_monitor {HC_SHUTDOWN}
.endm

.macro fail_unless condition, code
	\condition 9f
	shutdown \code
9:
.endm

.macro set_handler index, label
	mov	edi, \index
	lea	rsi, [rip + \label]
	call_monitor {KSM_HANDLER_SET}
	test	rax, rax
	fail_unless jz, 0xbad1
.endm

.macro set_info
	mov	rdi, [rbx]
	add	rdi, INFO_OFFSET
	call_monitor {KSM_VCPU_INFO_SET}
	test	rax, rax
	fail_unless jz, 0xbad2
.endm

# GATE_IRET to CPL 0 at \label with flags.
.macro iret_to label, flags
	mov	rdx, INFO
	lea	rax, [rip + \label]
	mov	[rdx + {IRET}], rax
	mov	qword ptr [rdx + {IRET} + 8], {SEL_KERNEL_CS}
	mov	qword ptr [rdx + {IRET} + 16], \flags
	mov	[rdx + {IRET} + 24], rsp
	mov	qword ptr [rdx + {IRET} + 32], {SEL_KERNEL_DS}
	movabs	rcx, {GATE_IRET}
	jmp	rcx
.endm

	.section .rodata.guests, "a", @progbits

guest shutdown
	prelude
	cmp	rdi, [rbx + 8]		# start info
	fail_unless je, 1
	shutdown 42
end_guest shutdown

guest version
	prelude
	mov	rbp, 0x1111
	mov	r12, 0x2222
	mov	r13, 0x3333
	mov	r14, 0x4444
	mov	rdi, -1
	std				# a call leaves DF clear
	call_monitor {KSM_VERSION}
	mov	rsi, rdx
	test	rax, rax
	fail_unless jz, 0x101
	cmp	rsi, {ABI_VERSION}
	fail_unless je, 0x102
	cmp	rbp, 0x1111
	fail_unless je, 0x103
	cmp	r12, 0x2222
	fail_unless je, 0x104
	cmp	r13, 0x3333
	fail_unless je, 0x105
	cmp	r14, 0x4444
	fail_unless je, 0x106
	or	rdi, rcx
	or	rdi, r8
	or	rdi, r9
	or	rdi, r10
	or	rdi, r11
	fail_unless jz, 0x107
	pushfq
	pop	rax
	test	eax, 0x400
	fail_unless jz, 0x108
	test	eax, 0x200
	fail_unless jnz, 0x109
	shutdown 0
end_guest version

# [rbx + 8]: how often. A call, a hypercall of the module's, one of the launcher's.
guest thousand
	prelude
	mov	rbp, [rbx + 8]
1:	call_monitor {KSM_VERSION}
	cmp	edx, {ABI_VERSION}
	fail_unless je, 1
	call_monitor {HC_YIELD}
	test	rax, rax
	fail_unless jz, 2
	mov	rdi, [rbx]
	add	rdi, 0x100000
	mov	esi, 8
	call_monitor {HC_CONSOLE_WRITE}
	test	rax, rax
	fail_unless jz, 3
	cmp	rdx, 8
	fail_unless je, 4
	dec	rbp
	jnz	1b
	shutdown 0
end_guest thousand

# Whether the first descriptor of an LDT can be named: no.
guest no_ldt
	prelude
	mov	ecx, 7
	lar	eax, ecx
	fail_unless jnz, 1
	shutdown 0
end_guest no_ldt

guest loop_forever
	prelude
	mov	byte ptr [rbx + {BEGUN}], 1
1:	jmp	1b
end_guest loop_forever

# [rbx + 8]: rounds. All registers hold values while the host's timer ticks.
guest registers
	prelude
	mov	rbp, [rbx + 8]
	mov	rax, 0x0101010101010101
	mov	rcx, 0x0202020202020202
	mov	rdx, 0x0303030303030303
	mov	rsi, 0x0404040404040404
	mov	rdi, 0x0505050505050505
	mov	r8, 0x0606060606060606
	mov	r9, 0x0707070707070707
	mov	r10, 0x0808080808080808
	mov	r11, 0x0909090909090909
	mov	r12, 0x0a0a0a0a0a0a0a0a
	mov	r13, 0x0b0b0b0b0b0b0b0b
	mov	r14, 0x0c0c0c0c0c0c0c0c
	movq	xmm7, r14
	mov	r15, 0x0d0d0d0d0d0d0d0d
	wrfsbase r13
	mov	cr2, r12
1:	dec	rbp
	jnz	1b
	lea	r15, [rax + rcx]
	add	r15, rdx
	add	r15, rsi
	add	r15, rdi
	add	r15, r8
	add	r15, r9
	add	r15, r10
	add	r15, r11
	add	r15, r12
	add	r15, r13
	add	r15, r14
	movq	rax, xmm7
	cmp	rax, r14
	fail_unless je, 0x201
	rdfsbase rax
	cmp	rax, r13
	fail_unless je, 0x202
	mov	rax, cr2
	cmp	rax, r12
	fail_unless je, 0x203
	mov	rax, 0x4e4e4e4e4e4e4e4e
	cmp	rax, r15
	fail_unless je, 0x204
	shutdown 0
end_guest registers

# One call with rdi, rsi, r8, r9 = [rbx + 16] and on, number in [rbx + 8]: code = -result.
guest one_call
	prelude
	mov	rdi, [rbx + 16]
	mov	rsi, [rbx + 24]
	mov	r8, [rbx + 32]
	mov	r9, [rbx + 40]
	mov	eax, [rbx + 8]
	movabs	r15, {GATE_CALL}
	call	r15
	neg	rax
	mov	rsi, rax
	xor	edi, edi
	call_monitor {HC_SHUTDOWN}
end_guest one_call

# Maps the frame with entry [rbx + 16] at entry_hpa [rbx + 8], writes and reads at [rbx + 24], which
# is the data page by another name.
guest map_page
	prelude
	mov	rdi, [rbx + 8]
	mov	rsi, [rbx + 16]
	call_monitor {KSM_ENTRY_SET}
	test	rax, rax
	fail_unless jz, 1
	mov	rcx, [rbx + 24]
	mov	rax, 0x1234
	mov	[rcx + {SCRATCH}], rax
	cmp	rax, [rbx + {SCRATCH}]
	fail_unless je, 2
	shutdown 0
end_guest map_page

# Writes to the address in [rbx + 8].
guest write_to
	prelude
	mov	rcx, [rbx + 8]
	mov	qword ptr [rcx], 0
	shutdown 0xbad
end_guest write_to

guest read_from
	prelude
	mov	rcx, [rbx + 8]
	mov	rax, [rcx]
	shutdown 0xbad
end_guest read_from

# Jumps to [rbx + 8] with eax = [rbx + 16].
guest jump_to
	prelude
	mov	eax, [rbx + 16]
	mov	rcx, [rbx + 8]
	jmp	rcx
end_guest jump_to

# Writes [rbx + 8] times to a register (0: without end), HC_MMIO_WRITE with rdi, rsi, r8, r9 = [rbx + 16] and on.
# Counts in [rbx + {COUNT}].
guest doorbell
	prelude
	mov	rbp, [rbx + 8]
1:	mov	rdi, [rbx + 16]
	mov	rsi, [rbx + 24]
	mov	r8, [rbx + 32]
	mov	r9, [rbx + 40]
	call_monitor {HC_MMIO_WRITE}
	test	rax, rax
	fail_unless jz, 1
	inc	qword ptr [rbx + {COUNT}]
	dec	rbp
	jnz	1b
	shutdown 0
end_guest doorbell

# As jump_to, single-stepped: TF is set, and the handler of #DB keeps it set.
guest step_to
	prelude
	set_info
	set_handler {HANDLER_DEBUG_KERNEL}, 5f
	mov	eax, [rbx + 16]
	mov	rcx, [rbx + 8]
	pushfq
	or	qword ptr [rsp], 0x100
	popfq
	jmp	rcx
5:	# rax, rcx, rdx go through vcpu_info.iret; the handler's own stack is the guest's.
	inc	qword ptr [rbx + {COUNT}]
	mov	r14, INFO
	mov	[r14 + {IRET} + 40], rax
	mov	[r14 + {IRET} + 48], rcx
	mov	[r14 + {IRET} + 56], rdx
	.irp	at, 0, 8, 16, 24, 32
	mov	rax, [r14 + {DEBUG} + \at]
	mov	[r14 + {IRET} + \at], rax
	.endr
	movabs	rcx, {GATE_IRET}
	jmp	rcx
end_guest step_to

# A whole call, single-stepped.
guest step_call
	prelude
	set_info
	set_handler {HANDLER_DEBUG_KERNEL}, 5f
	pushfq
	or	qword ptr [rsp], 0x100
	popfq
	call_monitor {KSM_VERSION}
	mov	rsi, rdx
	cmp	rsi, {ABI_VERSION}
	fail_unless je, 1
	cmp	qword ptr [rbx + {COUNT}], 4	# mov, movabs, call, the gate's first
	fail_unless jae, 2
	shutdown 0
5:	inc	qword ptr [rbx + {COUNT}]
	mov	r14, INFO
	mov	[r14 + {IRET} + 40], rax
	mov	[r14 + {IRET} + 48], rcx
	mov	[r14 + {IRET} + 56], rdx
	.irp	at, 0, 8, 16, 24, 32
	mov	rax, [r14 + {DEBUG} + \at]
	mov	[r14 + {IRET} + \at], rax
	.endr
	movabs	rcx, {GATE_IRET}
	jmp	rcx
end_guest step_call

# GATE_IRET with the state at [rbx + 16] (rip, cs, rflags, rsp, ss): refused, code = -rax.
guest bad_iret
	prelude
	set_info
	set_handler {HANDLER_IRET_REFUSED}, 5f
	mov	r14, INFO
	.irp	at, 0, 8, 16, 24, 32
	mov	rax, [rbx + 16 + \at]
	mov	[r14 + {IRET} + \at], rax
	.endr
	movabs	rcx, {GATE_IRET}
	jmp	rcx
5:	neg	rax
	mov	rsi, rax
	xor	edi, edi
	call_monitor {HC_SHUTDOWN}
end_guest bad_iret

# An exception handler of its own: #UD pushes onto the guest's stack, GATE_IRET returns.
guest own_exception
	prelude
	set_info
	set_handler 6, 5f
	ud2
1:	shutdown 0xbad
2:	shutdown 6
5:	pop	rax			# RIP of ud2
	lea	rcx, [rip + 1b]
	sub	rcx, 2
	cmp	rax, rcx
	fail_unless je, 1
	cmp	qword ptr [rsp], {SEL_KERNEL_CS}	# no PKRS in a guest's frame
	fail_unless je, 2
	pushfq
	pop	rax
	test	eax, 0x200		# a trap gate: IF stays
	fail_unless jnz, 3
	iret_to 2b, 0x202
end_guest own_exception

# Timer, event delivery at CPL 0, idle.
guest timer
	prelude
	set_info
	set_handler {HANDLER_EVENT_KERNEL}, 5f
	mov	r14, INFO
	mov	byte ptr [r14], 1
	rdtsc
	shl	rdx, 32
	or	rax, rdx
	lea	rdi, [rax + 20000000]
	call_monitor {HC_TIMER_SET}
	test	rax, rax
	fail_unless jz, 1
1:	cmp	qword ptr [rbx + {COUNT}], 0
	je	1b
	# Again, asleep, with the flag clear.
	cmp	byte ptr [r14], 0
	fail_unless je, 2
	rdtsc
	shl	rdx, 32
	or	rax, rdx
	lea	rdi, [rax + 20000000]
	call_monitor {HC_TIMER_SET}
	call_monitor {HC_IDLE}
	xor	eax, eax
	xchg	rax, [r14 + 8]
	cmp	rax, 1
	fail_unless je, 3
	shutdown 0
5:	xor	eax, eax
	xchg	rax, [r14 + 8]
	cmp	rax, 1
	fail_unless je, 4
	inc	qword ptr [rbx + {COUNT}]
	mov	rax, [r14 + {EVENT}]
	mov	[r14 + {IRET}], rax
	mov	qword ptr [r14 + {IRET} + 8], {SEL_KERNEL_CS}
	mov	rax, [r14 + {EVENT} + 16]
	mov	[r14 + {IRET} + 16], rax
	mov	[r14 + {IRET} + 24], rsp
	mov	qword ptr [r14 + {IRET} + 32], {SEL_KERNEL_DS}
	movabs	rcx, {GATE_IRET}
	jmp	rcx
end_guest timer

# Counts events in [rbx + {COUNT}], and in [rbx + {EMPTY}], which is 1 from the start, deliveries without one. Computes for
# a while, then sleeps until the next.
guest events
	prelude
	set_info
	set_handler {HANDLER_EVENT_KERNEL}, 5f
	mov	r14, INFO
	inc	qword ptr [rbx + {EMPTY}]
	# The handler does not return: it begins anew, with an empty stack.
1:	mov	rsp, STACK
	mov	byte ptr [r14], 1
	cmp	qword ptr [r14 + 8], 0
	jne	4f
	mov	ecx, 2000
2:	pause
	dec	ecx
	jnz	2b
	mov	byte ptr [r14], 0
	cmp	qword ptr [r14 + 8], 0
	jne	5f
	call_monitor {HC_IDLE}
	jmp	1b
4:	mov	byte ptr [r14], 0
5:	xor	eax, eax
	xchg	rax, [r14 + 8]
	test	rax, rax
	jz	6f
	inc	qword ptr [rbx + {COUNT}]
	jmp	1b
6:	inc	qword ptr [rbx + {EMPTY}]
	jmp	1b
end_guest events

# The same, and computes all the time.
guest events_without_sleep
	prelude
	set_info
	set_handler {HANDLER_EVENT_KERNEL}, 5f
	mov	r14, INFO
	inc	qword ptr [rbx + {EMPTY}]
1:	mov	rsp, STACK
	mov	byte ptr [r14], 1
	cmp	qword ptr [r14 + 8], 0
	jne	4f
2:	pause
	jmp	2b
4:	mov	byte ptr [r14], 0
5:	xor	eax, eax
	xchg	rax, [r14 + 8]
	test	rax, rax
	jz	1b
	inc	qword ptr [rbx + {COUNT}]
	jmp	1b
end_guest events_without_sleep

# Instructions that deprivileged mode refuses: one each, #GP without a handler.
.macro forbidden name, instruction:vararg
guest \name
	prelude
	\instruction
	shutdown 0xbad
end_guest \name
.endm

forbidden cli, cli
forbidden sti, sti
forbidden hlt, hlt
forbidden wrmsr, wrmsr
forbidden rdmsr, rdmsr
forbidden write_cr3, mov cr3, rax
forbidden read_cr3, mov rax, cr3
forbidden write_cr4, mov cr4, rax
forbidden write_dr7, mov dr7, rax
forbidden lidt, lidt [rbx]
forbidden lgdt, lgdt [rbx]
forbidden ltr, ltr ax
forbidden in_port, in al, dx
forbidden out_port, out dx, al
forbidden iretq, iretq
forbidden int_80, int 0x80
forbidden int_32, int 0x20
forbidden wbinvd, wbinvd
forbidden sysexit, sysexit
