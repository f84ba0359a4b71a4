/* SPDX-License-Identifier: MIT OR Apache-2.0 */
# What is left in the processor: guests that look and leave something, and a run with registers that are known.

	.section .rodata.guests, "a", @progbits

# Looks at what it finds in the FPU, which has to be nothing; leaves values of its own there, in the bases of FS and GS
# and in a word.
guest fpu
	prelude
	.irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	vmovdqu	[rbx + 0x800 + 32 * \n], ymm\n
	.endr
	stmxcsr	[rbx + 0xa00]
	fnstcw	[rbx + 0xa08]
	movq	r12, mm0
	emms
	mov	ecx, 64
	xor	eax, eax
1:	or	rax, [rbx + 0x800 + rcx * 8 - 8]
	dec	ecx
	jnz	1b
	test	rax, rax
	fail_unless jz, 1
	cmp	dword ptr [rbx + 0xa00], 0x1f80
	fail_unless je, 2
	cmp	word ptr [rbx + 0xa08], 0x37f
	fail_unless je, 3
	test	r12, r12
	fail_unless jz, 4
	xor	ecx, ecx
	rdpkru
	test	eax, eax
	fail_unless jz, 5

	mov	rax, 0x1234123412341234
	mov	[rbx + {SCRATCH}], rax
	vmovq	xmm0, rax
	vpbroadcastq ymm0, xmm0
	.irp n, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	vmovdqa	ymm\n, ymm0
	.endr
	movq	mm0, rax
	mov	dword ptr [rbx + 0xa00], 0x5fbf
	ldmxcsr	[rbx + 0xa00]
	mov	word ptr [rbx + 0xa08], 0xc7f
	fldcw	[rbx + 0xa08]
	shr	rax, 17
	wrfsbase rax
	wrgsbase rax
	swapgs
	wrgsbase rax
	mov	eax, 0xaaaaaaa8
	xor	edx, edx
	wrpkru
	shutdown 0
end_guest fpu

# [rbx + 8], [rbx + 16]: from where to where all words are 0; code 1 if they are not.
guest all_zero
	prelude
	mov	rcx, [rbx + 8]
	xor	eax, eax
1:	or	rax, [rcx]
	add	rcx, 8
	cmp	rcx, [rbx + 16]
	jb	1b
	test	rax, rax
	fail_unless jz, 1
	shutdown 0
end_guest all_zero

# Its processor's number is that of its only vCPU.
guest number
	prelude
	rdtscp
	test	ecx, ecx
	fail_unless jz, 1
	rdpid	rax
	test	eax, eax
	fail_unless jz, 2
	shutdown 0
end_guest number

# extern "C" fn call_with_registers(descriptor, request, registers): an ioctl without argument, for which the
# registers are loaded, and to which they are stored again; gives what the call does.
	.text
	.globl	call_with_registers
call_with_registers:
	push	rbx
	push	r12
	sub	rsp, 24
	mov	r12, rdx
	stmxcsr	[rsp]
	fnstcw	[rsp + 4]
	rdgsbase rax
	mov	[rsp + 8], rax
	xor	ecx, ecx
	rdpkru
	mov	[rsp + 16], eax

	.irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	vmovdqu	ymm\n, [r12 + {YMM} + 32 * \n]
	.endr
	movq	mm0, [r12 + {MM0}]
	ldmxcsr	[r12 + {MXCSR}]
	fldcw	[r12 + {FCW}]
	mov	rax, [r12 + {GS_BASE}]
	wrgsbase rax
	mov	eax, [r12 + {PKRU}]
	xor	ecx, ecx
	xor	edx, edx
	wrpkru
	mov	eax, {IOCTL}
	syscall
	mov	rbx, rax
	xor	ecx, ecx
	rdpkru
	mov	[r12 + {PKRU}], eax
	rdgsbase rax
	mov	[r12 + {GS_BASE}], rax
	fnstcw	[r12 + {FCW}]
	stmxcsr	[r12 + {MXCSR}]
	movq	[r12 + {MM0}], mm0
	.irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	vmovdqu	[r12 + {YMM} + 32 * \n], ymm\n
	.endr

	mov	eax, [rsp + 16]
	xor	ecx, ecx
	xor	edx, edx
	wrpkru
	mov	rax, [rsp + 8]
	wrgsbase rax
	emms
	fldcw	[rsp + 4]
	ldmxcsr	[rsp]
	vzeroupper
	mov	rax, rbx
	add	rsp, 24
	pop	r12
	pop	rbx
	ret
