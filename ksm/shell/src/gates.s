/* SPDX-License-Identifier: MIT OR Apache-2.0 */
# Gates, event entries and world switch. Everything here runs at CPL 0; the comments say at which
# PKRS. Offsets and constants come from gates.rs.
#
# The rule of I7: no instruction that touches memory of the monitor's, or that a guest must not
# execute, stands between a WRPKRS and the comparison of what it was given. Keys do not guard
# instruction fetches, so a guest can jump to any byte of this text; deprivileged mode makes
# privileged instructions fault there, and WRPKRS stands nowhere but here (the build counts).
#
# At PKRS = 0 the CPU holds interrupts, NMIs and machine checks back (docs/reference/isa.md): what runs here at
# PKRS = 0 is interrupted by nothing but a #DB right behind a WRPKRS. RFLAGS.IF is 1 in the guest and
# stays 1 in the gates; it is 0 only next to the host.

.macro wrpkrs
	.byte 0x0f, 0x38, 0x6b, 0xda
.endm

# rcx := area of this vCPU, from a GDT descriptor that only the monitor writes. Clobbers rax.
.macro find_area
	mov	ecx, {SEL_VCPU_NUMBER}
	lsl	ecx, ecx
	shl	rcx, {VCPU_SHIFT}
	movabs	rax, {VCPU_BASE}
	add	rcx, rax
.endm

# DF, AC, NT, TF := 0, IF := 1.
.macro clean_flags
	push	{ENTRY_FLAGS}
	popfq
.endm

# The 15 general registers of struct TrapFrame.
.macro push_registers
	push	rax
	push	rbx
	push	rcx
	push	rdx
	push	rsi
	push	rdi
	push	rbp
	push	r8
	push	r9
	push	r10
	push	r11
	push	r12
	push	r13
	push	r14
	push	r15
.endm

.macro pop_registers
	pop	r15
	pop	r14
	pop	r13
	pop	r12
	pop	r11
	pop	r10
	pop	r9
	pop	r8
	pop	rbp
	pop	rdi
	pop	rsi
	pop	rdx
	pop	rcx
	pop	rbx
	pop	rax
.endm

	.section .gates, "ax", @progbits

# ---- GATE_CALL ----------------------------------------------------------------------------------
# Guest's PKRS, any RFLAGS but IF = 1 and IOPL = 0, any RSP.
	.globl	gate_call
gate_call:
	mov	rdx, [rsp]		# return address, for the record of refusals; at the guest's rights
	mov	r10d, eax
	xor	eax, eax
	wrpkrs
	test	eax, eax
	jnz	gate_bad
	# PKRS = 0. TF, if set, has raised #DB behind WRPKRS; its handler has cleared it.
	mov	r11, rsp
	find_area
	lea	rsp, [rcx + {STACK_TOP}]
	clean_flags
	push	r11
	push	rcx
	mov	[rcx + {CALL_RIP}], rdx
	mov	rdx, rdi
	mov	rdi, rcx
	mov	rcx, rsi
	mov	esi, r10d
	call	{call_entry}		# (area, number, a, b, c, d) -> rax, rdx
	pop	rcx
	cmp	qword ptr [rcx + {SLOW_RETURN}], 0
	jne	call_by_trap
	pop	rsp
	mov	r11, rax
	xor	ecx, ecx
	xor	esi, esi
	xor	edi, edi
	xor	r8d, r8d
	xor	r9d, r9d
	xor	r10d, r10d
	mov	eax, {PKRS_GUEST}
	wrpkrs
	# Guest's PKRS, or what a jump to this WRPKRS gave it. What was held back arrives here.
	cmp	eax, {PKRS_GUEST}
	jne	gate_bad
	mov	rax, r11
	xor	r11d, r11d
	.globl	call_return
call_return:
	ret				# at the guest's rights

	.org	gate_call + {IRET_OFFSET}, 0xcc

# ---- GATE_IRET ----------------------------------------------------------------------------------
# As GATE_CALL; rax, rcx and rdx are free.
	.globl	gate_iret
gate_iret:
	xor	eax, eax
	wrpkrs
	test	eax, eax
	jnz	gate_bad
	mov	rdx, rsp
	find_area
	lea	rsp, [rcx + {STACK_TOP}]
	clean_flags
	sub	rsp, 5 * 8		# what IRETQ pops; iret_entry fills it in
	push	0
	push	{ORIGIN_IRET}
	push_registers
	mov	rdi, rcx
	mov	rsi, rsp
	call	{iret_entry}		# (area, trap frame, guest's RSP)
	jmp	trap_return

	.org	gate_call + {ENTRY_OFFSET}, 0xcc

# ---- MONITOR_ENTRY ------------------------------------------------------------------------------
# From the module: CALL with rdi = area, rsi = what to load into CR3 on the way out. PKRS = 0, IF = 0,
# the extension on (so events are held), bridge page tables, GDT, IDT and TR of the host's.
	.globl	monitor_entry
monitor_entry:
	mov	[rdi + {HOST_RSP}], rsp
	mov	[rdi + {BRIDGE}], rsi
	mov	rbx, rdi
	call	{check_entry}		# (area) -> 0, or 1: not to be entered, the host is told why
	mov	rdi, rbx
	test	eax, eax
	jnz	exit_common
	lgdt	[rdi + {GDTR}]
	lidt	[rdi + {IDTR}]
	and	byte ptr [rdi + {TSS_TYPE}], 0xfd
	mov	eax, {SEL_TSS}
	ltr	ax
	xor	eax, eax
	lldt	ax
	cmp	qword ptr [rdi + {OPERATION}], {OP_RUN}
	jne	operation
	mov	rsp, [rdi + {RESUME_RSP}]
	test	rsp, rsp
	jz	operation		# nothing to run: operation_entry says so

	# Into the container. The guest's selectors first: loading one clears its base. Mostly all are 0.
	mov	rax, [rdi + {SELECTORS}]
	test	rax, rax
	jnz	selectors
	.irp	name, ds, es, fs, gs
	mov	\name, ax
	.endr
selectors_loaded:
	mov	rax, [rdi + {FS_BASE}]
	wrfsbase rax
	mov	rax, [rdi + {KERNEL_GS_BASE}]
	wrgsbase rax
	swapgs
	mov	rax, [rdi + {GS_BASE}]
	wrgsbase rax
	.irp	pair, 0, 1, 2
	mov	ecx, {MSR_LSTAR} + \pair	# LSTAR, CSTAR, FMASK; STAR is the host's, too
	mov	eax, [rdi + {SYSCALL_MSRS} + 8 * \pair]
	mov	edx, [rdi + {SYSCALL_MSRS} + 8 * \pair + 4]
	wrmsr
	.endr
	mov	rax, [rdi + {CR2}]
	mov	cr2, rax
	mov	rax, [rdi + {ROOT}]
	mov	cr3, rax
	pop	r15
	pop	r14
	pop	r13
	pop	r12
	pop	rbp
	pop	rbx
	sti				# for a return by WRPKRS; events are held until then
	ret

	# VERR because the guest may have taken a TLS descriptor away since it loaded it.
selectors:
	.irp	name, ds, es, fs, gs
	movzx	eax, word ptr [rdi + {SELECTORS} + sel_\name]
	verr	ax
	jz	2f
	xor	eax, eax
2:	mov	\name, ax
	.endr
	jmp	selectors_loaded

	.set	sel_ds, 0
	.set	sel_es, 2
	.set	sel_fs, 4
	.set	sel_gs, 6

	# On the stack of calls, or on that of #DB while the other is in use.
operation:
	lea	rsp, [rdi + {STACK_TOP}]
	cmp	qword ptr [rdi + {RESUME_RSP}], 0
	je	3f
	lea	rsp, [rdi + {DEBUG_STACK_TOP}]
3:	mov	rbx, rdi
	call	{operation_entry}	# (area)
	mov	rdi, rbx
	jmp	exit_common

# ---- To the host --------------------------------------------------------------------------------
# extern "C" fn exit_to_host(area): returns at the next OP_RUN. PKRS = 0, on a stack of the area's.
	.globl	exit_to_host
exit_to_host:
	push	rbx
	push	rbp
	push	r12
	push	r13
	push	r14
	push	r15
	mov	[rdi + {RESUME_RSP}], rsp
	.irp	name, ds, es, fs, gs
	mov	word ptr [rdi + {SELECTORS} + sel_\name], \name
	.endr
	rdfsbase rax
	mov	[rdi + {FS_BASE}], rax
	rdgsbase rax
	mov	[rdi + {GS_BASE}], rax
	swapgs
	rdgsbase rax
	mov	[rdi + {KERNEL_GS_BASE}], rax
	mov	rax, cr2
	mov	[rdi + {CR2}], rax
	# The module finds the extension on and our tables in place, and ends the holding of events when
	# everything is the host's again (kmod/switch.S).
exit_common:
	cli
	mov	rax, [rdi + {BRIDGE}]
	mov	cr3, rax
	mov	rsp, [rdi + {HOST_RSP}]
	ret

# ---- Back to the guest through a trap frame ----------------------------------------------------------
# PKRS = 0, rsp = TrapFrame on a stack of the area's. IRETQ changes PKRS and RFLAGS together.
	.globl	trap_return
trap_return:
	pop_registers
	add	rsp, 16
	iretq

# A call's return by a trap frame instead, as if RET had been interrupted: the guest has an event to take.
call_by_trap:
	pop	r11			# guest's RSP
	push	{SEL_KERNEL_DS}
	push	r11
	push	{ENTRY_FLAGS}
	mov	ecx, {PKRS_GUEST}
	shl	rcx, 32
	or	rcx, {SEL_KERNEL_CS}
	push	rcx
	lea	rcx, [rip + call_return]
	push	rcx
	push	0
	push	{ORIGIN_CALL}
	xor	ecx, ecx
	xor	esi, esi
	xor	edi, edi
	xor	r8d, r8d
	xor	r9d, r9d
	xor	r10d, r10d
	xor	r11d, r11d
	push_registers
	mov	rdi, rsp
	and	rdi, {VCPU_MASK}
	mov	rsi, rsp
	call	{slow_return_entry}	# (area, trap frame)
	jmp	trap_return

# ---- A WRPKRS of a gate was reached by a jump ---------------------------------------------------
gate_bad:
	xor	eax, eax
	wrpkrs
	test	eax, eax
	jnz	gate_bad
	mov	rsi, rsp
	find_area
	lea	rsp, [rcx + {STACK_TOP}]
	clean_flags
	mov	rdi, rcx
	call	{bad_gate_entry}	# (area, RSP), does not return
	ud2

# ---- Events -------------------------------------------------------------------------------------
# Privileged gates on ISTs: PKRS = 0, IF = 0, TF = NT = 0. vector and error code are pushed.
	.text
	.p2align 4
event_common:
	push_registers
	cld
	clac
	mov	rdi, rsp
	and	rdi, {VCPU_MASK}
	mov	rsi, rsp
	call	{event_entry}		# (area, trap frame)
	jmp	trap_return

# One entry of 16 bytes a vector.
	.globl	event_stubs
	.p2align 4
event_stubs:
	.set	vector, 0
	.rept	256
	.p2align 4
	.if	!(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30)
	push	0
	.endif
	push	vector
	jmp	event_common
	.set	vector, vector + 1
	.endr
