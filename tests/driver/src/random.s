/* SPDX-License-Identifier: MIT OR Apache-2.0 */
# Jumps with random registers: to each address of a range, or, as calls, to a gate. After each that comes back, by
# a return or by an exception, PKRS has to be the guest's, IF 1 and IOPL 0.
# Its page is `Random` of page.rs.

guest random
	prelude
	set_info
	.irp	vector, 0, 3, 4, 5, 6, 7, 10, 11, 12, 13, 14, 16, 17, 19, 21
	mov	edi, \vector
	lea	rsi, [rip + .Lrandom_exception]
	call_monitor {KSM_HANDLER_SET}
	.endr
	.irp	handler, {HANDLER_EVENT_USER}, {HANDLER_EVENT_KERNEL}, {HANDLER_DEBUG_USER}, {HANDLER_DEBUG_KERNEL}, {HANDLER_IRET_REFUSED}
	mov	edi, \handler
	lea	rsi, [rip + .Lrandom_exception]
	call_monitor {KSM_HANDLER_SET}
	.endr
	jmp	.Lrandom_next
.Lrandom_exception:
	cld
	mov	rbx, DATA
	inc	qword ptr [rbx + {RANDOM_EXCEPTIONS}]
	mov	rax, [rbx + {RANDOM_EXCEPTIONS}]
	cmp	rax, [rbx + {RANDOM_GIVES_UP}]
	jb	.Lrandom_check
	mov	rsp, STACK
	shutdown 0x600e
.Lrandom_returned:
	cld
	mov	rbx, DATA
	inc	qword ptr [rbx + {RANDOM_RETURNS}]
.Lrandom_check:
	mov	rsp, STACK
	push	2
	popfq
	.byte	0x0f, 0x38, 0x6b, 0xd2	# RDPKRS
	mov	ecx, {PKRS_GUEST}
	cmp	rax, rcx
	fail_unless je, 0xbad9
	pushfq
	pop	rax
	and	eax, 0x3200		# IF, IOPL
	cmp	eax, 0x200
	fail_unless je, 0xbada
.Lrandom_next:
	mov	rbx, DATA
	mov	rax, [rbx + {RANDOM_NEXT}]
	cmp	rax, [rbx + {RANDOM_END}]
	jne	1f
	shutdown 0x600d
1:	inc	qword ptr [rbx + {RANDOM_NEXT}]
	cmp	qword ptr [rbx + {RANDOM_GATE}], 0
	je	2f
	mov	rax, [rbx + {RANDOM_GATE}]
2:	mov	[rbx + {RANDOM_TARGET}], rax
	# stack full of a way back
	mov	rdi, STACK
	lea	rax, [rip + .Lrandom_returned]
	mov	ecx, 64
	rep stosq
	# registers
	mov	r8, [rbx + {RANDOM_SEED}]
	lea	rdi, [rbx + {RANDOM_REGISTERS}]
	mov	ecx, 17
3:	mov	r9, r8
	shl	r9, 13
	xor	r8, r9
	mov	r9, r8
	shr	r9, 7
	xor	r8, r9
	mov	r9, r8
	shl	r9, 17
	xor	r8, r9
	mov	rax, r8
	shr	rax, 20
	mov	r10, rax
	and	r10d, 63
	mov	r10, [rbx + {RANDOM_VALUES} + 8 * r10]
	mov	r11, rax
	shr	r11, 8
	and	r11d, 7
	jz	4f
	cmp	r11d, 1
	jne	5f
	shr	rax, 12
	and	eax, 0xfff
	xor	r10, rax
	jmp	5f
4:	mov	r10, r8
5:	mov	[rdi], r10
	add	rdi, 8
	dec	ecx
	jnz	3b
	mov	[rbx + {RANDOM_SEED}], r8
	# flags
	mov	rax, [rbx + {RANDOM_REGISTERS} + 16 * 8]
	and	eax, 0x44cd5		# CF PF AF ZF SF DF NT AC; no OF
	mov	ecx, [rbx + {RANDOM_MAY_BE}]
	and	eax, ecx
	or	eax, [rbx + {RANDOM_FLAGS}]
	or	eax, 2
	mov	[rbx + {RANDOM_REGISTERS} + 16 * 8], rax
	mov	rsp, STACK
	mov	rax, [rbx + {RANDOM_REGISTERS} + 0 * 8]
	mov	rcx, [rbx + {RANDOM_REGISTERS} + 1 * 8]
	mov	rdx, [rbx + {RANDOM_REGISTERS} + 2 * 8]
	mov	rbp, [rbx + {RANDOM_REGISTERS} + 4 * 8]
	mov	rsi, [rbx + {RANDOM_REGISTERS} + 5 * 8]
	mov	rdi, [rbx + {RANDOM_REGISTERS} + 6 * 8]
	mov	r8, [rbx + {RANDOM_REGISTERS} + 7 * 8]
	mov	r9, [rbx + {RANDOM_REGISTERS} + 8 * 8]
	mov	r10, [rbx + {RANDOM_REGISTERS} + 9 * 8]
	mov	r11, [rbx + {RANDOM_REGISTERS} + 10 * 8]
	mov	r12, [rbx + {RANDOM_REGISTERS} + 11 * 8]
	mov	r13, [rbx + {RANDOM_REGISTERS} + 12 * 8]
	mov	r14, [rbx + {RANDOM_REGISTERS} + 13 * 8]
	mov	r15, [rbx + {RANDOM_REGISTERS} + 14 * 8]
	cmp	qword ptr [rbx + {RANDOM_GATE}], 0
	je	6f
	# a call: a return address
	mov	rsp, STACK
	push	qword ptr [rbx + {RANDOM_REGISTERS} + 16 * 8]
	mov	rbx, [rbx + {RANDOM_REGISTERS} + 3 * 8]
	popfq
	call	qword ptr ds:[DATA + {RANDOM_TARGET}]
	jmp	.Lrandom_returned
6:	push	qword ptr [rbx + {RANDOM_REGISTERS} + 16 * 8]
	mov	rbx, [rbx + {RANDOM_REGISTERS} + 3 * 8]
	popfq
	jmp	qword ptr ds:[DATA + {RANDOM_TARGET}]
end_guest random
