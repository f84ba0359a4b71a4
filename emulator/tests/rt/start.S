/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From the PVH entry point to test_main in 64-bit mode, with page tables that
 * have keys, an IDT that records everything, and IST stacks in monitor memory.
 */
#include "test.h"

	/* XEN_ELFNOTE_PHYS32_ENTRY: what `-kernel` looks for. */
	.section .note, "a", @note
	.balign	4
	.long	4, 8, 18
	.asciz	"Xen"
	.quad	rt_entry32

	.text
	.code32
	.globl	rt_entry32
rt_entry32:
	cli
	cld
	movl	$rt_stack_top, %esp
	/* PAE, MCE, PGE, OSFXSR, OSXMMEXCPT, FSGSBASE, OSXSAVE, SMEP, SMAP, PKS */
	movl	$0x013506e0, %eax
	movl	%eax, %cr4
	movl	$rt_pml4, %eax
	movl	%eax, %cr3
	movl	$0xc0000080, %ecx
	rdmsr
	orl	$0x901, %eax		/* SCE, LME, NXE */
	wrmsr
	movl	$0x80010033, %eax	/* PG, WP, NE, ET, MP, PE */
	movl	%eax, %cr0
	lgdt	rt_gdtr
	ljmp	$SEL_KCODE, $rt_entry64

	.code64
rt_entry64:
	movl	$SEL_KDATA, %eax
	movl	%eax, %ss
	movl	%eax, %ds
	movl	%eax, %es
	xorl	%eax, %eax
	movl	%eax, %fs
	movl	%eax, %gs
	movq	$rt_stack_top, %rsp

	movq	$rt_banner, %rsi
	call	rt_puts
	movq	$rt_name, %rsi
	call	rt_puts
	movq	$rt_newline, %rsi
	call	rt_puts

	/* page rights */
	movabsq	$PTE_KEY(1), %rdx
	movq	$key1_start, %rsi
	movq	$key1_end, %rdi
	call	rt_page_bits
	movabsq	$PTE_KEY(2), %rdx
	movq	$key2_start, %rsi
	movq	$key2_end, %rdi
	call	rt_page_bits
	movl	$4, %edx
	movq	$user_start, %rsi
	movq	$user_end, %rdi
	call	rt_page_bits
	movl	$4, %edx
	movq	$user_stack, %rsi
	movq	$user_stack_top, %rdi
	call	rt_page_bits
	movq	%cr3, %rax
	movq	%rax, %cr3

	/* descriptors with addresses in them */
	movq	$rt_tss, %rax
	movl	$SEL_TSS, %edx
	call	rt_system_base
	movq	$rt_tss, %rax
	movl	$SEL_TSS2, %edx
	call	rt_system_base
	movq	$rt_gdt, %rax
	movl	$SEL_LDT, %edx
	call	rt_system_base
	movl	$SEL_TSS, %eax
	ltr	%ax

	/*
	 * IDT: exceptions through unprivileged trap gates; #DB, NMI, #DF, #MC and
	 * everything from 0x20 privileged, on IST 1, but 0x80 for software.
	 */
	xorl	%ebx, %ebx
1:	movl	%ebx, %eax
	xorl	%edx, %edx
	cmpl	$0x20, %ebx
	jae	2f
	btl	%ebx, rt_priv_exceptions
	jnc	3f
2:	movl	$(GATE_PRIV | 1), %edx
3:	call	rt_gate
	incl	%ebx
	cmpl	$256, %ebx
	jb	1b
	gate	VEC_USER, 0
	movb	$0xef, rt_idt + VEC_USER * 16 + 5
	movb	$0xef, rt_idt + VEC_USER_PRIV * 16 + 5
	movb	$0xef, rt_idt + VEC_BP * 16 + 5
	lidt	rt_idtr

	/* the legacy interrupt controllers stay silent */
	movb	$0xff, %al
	outb	%al, $0x21
	outb	%al, $0xa1

	/* STAR, LSTAR, SFMASK: clear DF, TF, AC, NT, keep IF */
	set_msr	0xc0000081, 0, ((SEL_UCODE32 | 3) << 16 | SEL_KCODE)
	set_msr	0xc0000082, rt_syscall
	set_msr	0xc0000084, 0x44500
	/* XCR0: x87, SSE */
	xorl	%ecx, %ecx
	xorl	%edx, %edx
	movl	$3, %eax
	xsetbv
	/* x2APIC on, spurious vector 0xff */
	movl	$0x1b, %ecx
	rdmsr
	orl	$0xc00, %eax
	wrmsr
	set_msr	0x80f, 0x1ff

	/* the processor has the extension, under the numbers that tests use */
	movl	$CPUID_CKI, %eax
	cpuid
	cmpl	$CPUID_CKI_FEATURES, %eax
	jne	rt_no_cki
	cmpl	$CKI_CPUID_VENDOR_EBX, %ebx
	jne	rt_no_cki
	cmpl	$CKI_CPUID_VENDOR_ECX, %ecx
	jne	rt_no_cki
	cmpl	$CKI_CPUID_VENDOR_EDX, %edx
	jne	rt_no_cki
	movl	$CPUID_CKI_FEATURES, %eax
	cpuid
	testl	$CKI_CPUID_FEATURES_EAX_CKI, %eax
	jz	rt_no_cki
	cmpl	$MSR_CKI_CTL, %ebx
	jne	rt_no_cki
	cmpl	$CKI_VERSION, %ecx
	jne	rt_no_cki

	call	test_main
	cmpl	$0, rt_cki
	je	1f
	set_pkrs 0
1:
	movq	$rt_pass, %rsi
	call	rt_puts
	movb	$0x10, %al
	outb	%al, $0xf4
1:	pause
	jmp	1b

rt_no_cki:
	call	without_cki
	movq	$rt_absent, %rsi
	call	rt_puts
	movb	$0x11, %al
	outb	%al, $0xf4
1:	pause
	jmp	1b

	/* A benchmark still has something to measure here. */
	.weak	without_cki
without_cki:
	ret

	/* OR rdx into the PTEs of [rsi, rdi). */
rt_page_bits:
	cmpq	%rdi, %rsi
	jae	1f
	movq	%rsi, %rax
	shrq	$12, %rax
	orq	%rdx, rt_pt(, %rax, 8)
	addq	$4096, %rsi
	jmp	rt_page_bits
1:	ret

	/* Base of the 16-byte system descriptor edx := rax. */
rt_system_base:
	leaq	rt_gdt(%rdx), %rdx
	movw	%ax, 2(%rdx)
	shrq	$16, %rax
	movb	%al, 4(%rdx)
	movb	%ah, 7(%rdx)
	shrq	$16, %rax
	movl	%eax, 8(%rdx)
	ret

	/*
	 * Gate eax := byte 4 = edx, DPL 0; an interrupt gate when it is privileged
	 * or for an external interrupt, else a trap gate.
	 */
	.globl	rt_gate
rt_gate:
	pushq	%rcx
	pushq	%rbx
	movl	%eax, %ecx
	shll	$4, %ecx
	movl	%eax, %ebx
	shll	$4, %ebx
	leaq	rt_stubs(%rbx), %rbx
	movw	%bx, rt_idt(%rcx)
	movw	$SEL_KCODE, rt_idt + 2(%rcx)
	movb	%dl, rt_idt + 4(%rcx)
	movb	$0x8f, rt_idt + 5(%rcx)
	testb	$GATE_PRIV, %dl
	jnz	1f
	cmpl	$0x20, %eax
	jb	2f
1:	movb	$0x8e, rt_idt + 5(%rcx)
2:	shrq	$16, %rbx
	movw	%bx, rt_idt + 6(%rcx)
	shrq	$16, %rbx
	movl	%ebx, rt_idt + 8(%rcx)
	movl	$0, rt_idt + 12(%rcx)
	popq	%rbx
	popq	%rcx
	ret

	.globl	rt_cki_on
rt_cki_on:
	set_msr	MSR_CKI_CTL, CKI_CTL_EN
	movl	$1, rt_cki
	ret

	.globl	rt_cki_off
rt_cki_off:
	set_msr	MSR_CKI_CTL, 0
	movl	$0, rt_cki
	ret

	/* Nothing to prepare, unless the test says so. */
	.weak	before_each
before_each:
	ret

	/*
	 * Send vector eax to this processor: pending until IF is set, and while
	 * events are held.  NMI when bits 10:8 say so (SEND_NMI).
	 */
	.globl	rt_self
rt_self:
	pushq	%rcx
	pushq	%rdx
	movl	$0x830, %ecx
	xorl	%edx, %edx
	wrmsr
	popq	%rdx
	popq	%rcx
	ret

	.globl	rt_eoi
rt_eoi:
	set_msr	0x80b, 0
	ret

	/* SYSCALL lands here: recorded as event 0x100. */
rt_syscall:
	movq	%rsp, sys_rsp
	movq	$rsp0_top, %rsp
	pushq	$0
	pushq	sys_rsp
	pushq	%r11
	pushq	$0
	pushq	%rcx
	pushq	$0
	pushq	$0x100
	jmp	rt_event

	/* One stub of 16 bytes a vector. */
	.balign	16
rt_stubs:
	.set	i, 0
	.rept	256
	.balign	16
	.if	!(i == 8 || (i >= 10 && i <= 14) || i == 17)
	pushq	$0
	.endif
	pushq	$i
	jmp	rt_event
	.set	i, i + 1
	.endr

	/* Record the event, then go to ev_hook or behind the `catch`. */
rt_event:
	movq	%rax, ev_rax
	movq	%cr2, %rax
	movq	%rax, ev_cr2
	movq	$0x7777777777777777, %rax
	cmpl	$0, rt_cki
	je	1f
	rdpkrs
1:	movq	%rax, ev_pkrs
	popq	ev_vector
	popq	ev_error
	movq	%rsp, ev_frame
	movq	0(%rsp), %rax
	movq	%rax, ev_rip
	movq	8(%rsp), %rax
	movq	%rax, ev_cs
	movq	16(%rsp), %rax
	movq	%rax, ev_rflags
	movq	24(%rsp), %rax
	movq	%rax, ev_rsp
	pushfq
	popq	ev_now_rflags
	incq	ev_count
	cmpq	$0, ev_hook
	je	2f
	movq	ev_hook, %rax
	movq	%rax, ev_go
	movq	$0, ev_hook
	movq	ev_rax, %rax
	jmpq	*ev_go
2:	cmpq	$0, try_rip
	jne	3f
	movl	$0, %edi
	jmp	rt_fail
3:	movq	try_rip, %rax
	movq	%rax, ev_go
	movq	$0, try_rip
	movq	ev_rax, %rax
	movq	try_rsp, %rsp
	jmpq	*ev_go

	/* Report line edi (0: an event nobody waited for) and end. */
	.globl	rt_fail
rt_fail:
	movq	$rt_stack_top, %rsp
	cmpl	$0, rt_cki
	je	1f
	set_pkrs 0
1:	movq	$rt_text_fail, %rsi
	call	rt_puts
	movl	%edi, %eax
	call	rt_puthex
	.irp	name, vector, error, rip, cs, rflags, pkrs, cr2
	movq	$rt_text_\name, %rsi
	call	rt_puts
	movq	ev_\name, %rax
	call	rt_puthex
	.endr
	movq	$rt_newline, %rsi
	call	rt_puts
	movb	$0x11, %al
	outb	%al, $0xf4
1:	pause
	jmp	1b

	.globl	rt_puts
rt_puts:
	movl	$0x3f8, %edx
1:	lodsb
	testb	%al, %al
	jz	2f
	outb	%al, %dx
	jmp	1b
2:	ret

	.globl	rt_puthex
rt_puthex:
	movq	%rax, %rbx
	movl	$16, %ecx
	movl	$0x3f8, %edx
1:	rolq	$4, %rbx
	movl	%ebx, %eax
	andl	$15, %eax
	movb	rt_digits(%rax), %al
	outb	%al, %dx
	decl	%ecx
	jnz	1b
	ret

	.data
rt_priv_exceptions:
	.long	(1 << VEC_DB) | (1 << VEC_NMI) | (1 << VEC_DF) | (1 << VEC_MC)
rt_banner:	.asciz	"cki-isa-test: "
rt_name:	.asciz	TEST_NAME
rt_newline:	.asciz	"\n"
rt_pass:	.asciz	"PASS\n"
rt_absent:	.asciz	"FAIL the processor has no CKI\n"
rt_text_fail:	.asciz	"FAIL line 0x"
rt_text_vector:	.asciz	"\nvector "
rt_text_error:	.asciz	"\nerror  "
rt_text_rip:	.asciz	"\nrip    "
rt_text_cs:	.asciz	"\ncs     "
rt_text_rflags:	.asciz	"\nrflags "
rt_text_pkrs:	.asciz	"\npkrs   "
rt_text_cr2:	.asciz	"\ncr2    "
rt_digits:	.ascii	"0123456789abcdef"

	.balign	8
rt_gdtr:	.word	rt_gdt_end - rt_gdt - 1
		.quad	rt_gdt
rt_idtr:	.word	256 * 16 - 1
		.quad	rt_idt
	.balign	8
	.irp	name, ev_vector, ev_error, ev_rip, ev_cs, ev_rflags, ev_rsp, ev_cr2, ev_pkrs, ev_frame, ev_rax, ev_go, ev_count, ev_hook, ev_now_rflags, try_rip, try_rsp, try_insn, sys_rsp
	.globl	\name
\name:	.quad	0
	.endr
	.globl	rt_cki
rt_cki:	.long	0

	.balign	4096
	.globl	rt_pml4, rt_pt, rt_pd
rt_pml4:
	.quad	rt_pdpt + 7
	.fill	511, 8, 0
rt_pdpt:
	.quad	rt_pd + 7
	.fill	511, 8, 0
rt_pd:
	.quad	rt_pt + 7
	.quad	rt_pt + 4096 + 7
	.fill	510, 8, 0
	/* 4 MiB of supervisor pages; present, writable, accessed, dirty */
rt_pt:
	.set	i, 0
	.rept	1024
	.quad	(i << 12) + 0x63
	.set	i, i + 1
	.endr

	.section .key1, "aw", @progbits
	/* IST 1 and IST 2: monitor memory */
	.globl	ist1_top, ist2_top, key1_word
	.fill	4096, 1, 0
ist1_top:
	.fill	4096, 1, 0
ist2_top:
key1_word:
	.quad	0x1111
	.fill	4088, 1, 0

	.section .key2, "aw", @progbits
	.globl	rt_gdt, rt_idt, rt_tss, key2_word
rt_idt:
	.fill	512, 8, 0
rt_gdt:
	.quad	0
	.quad	0x00af9b000000ffff	/* kernel code, 64 bits */
	.quad	0x00cf93000000ffff	/* kernel data */
	.quad	0x00cffb000000ffff	/* user code, 32 bits */
	.quad	0x00cff3000000ffff	/* user data */
	.quad	0x00affb000000ffff	/* user code, 64 bits */
	.quad	0x00cf9b000000ffff	/* kernel code, 32 bits */
	/* call gate, DPL 0 */
	.word	0, SEL_KCODE, 0x8c00, 0x0010
	.quad	0
	.quad	0x0000890000000067	/* TSS */
	.quad	0
	/* call gate, DPL 3 */
	.word	0, SEL_KCODE, 0xec00, 0x0010
	.quad	0
	.quad	0x000082000000001f	/* LDT */
	.quad	0
	.quad	0x0000890000000067	/* TSS that is not loaded */
	.quad	0
rt_gdt_end:
	.balign	16
rt_tss:
	.long	0
	.quad	rsp0_top		/* RSP0 */
	.quad	0, 0, 0
	.quad	ist1_top, ist2_top
	.quad	0, 0, 0, 0, 0, 0
	.word	0, 0x68
key2_word:
	.quad	0x2222

	.bss
	.balign	4096
	.globl	guest_stack_top, user_stack, user_stack_top, rsp0_top, rt_stack_top
	.fill	4096, 1, 0
rt_stack_top:
	.fill	4096, 1, 0
guest_stack_top:
	.fill	4096, 1, 0
rsp0_top:
user_stack:
	.fill	4096, 1, 0
user_stack_top:
	/* test_page: one page for tests to map and unmap */
	.globl	test_page, test_page2
test_page:
	.fill	4096, 1, 0
test_page2:
	.fill	4096, 1, 0
