/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * First instructions of a CKI guest, and the ELF notes that its loader reads.
 *
 * State (struct cki_start_info): CPL 0, PKRS the guest's, page tables of the
 * loader's with the image at its link address and the direct map at
 * __PAGE_OFFSET; GDT, IDT and TSS are the monitor's; no stack.
 */
#include <linux/elfnote.h>
#include <linux/init.h>
#include <linux/linkage.h>
#include <asm/asm.h>
#include <asm/asm-offsets.h>
#include <asm/page_types.h>
#include <asm/percpu.h>
#include <asm/unwind_hints.h>
#include <cki/abi.h>

	__INIT
	.code64

SYM_CODE_START(startup_cki)
	UNWIND_HINT_END_OF_STACK
	ANNOTATE_NOENDBR
	cld
	leaq	__top_init_kernel_stack(%rip), %rsp

	/* CR4.FSGSBASE is set: a guest has no other way to its GS base. */
	leaq	INIT_PER_CPU_VAR(fixed_percpu_data)(%rip), %rax
	wrgsbase %rax

	call	cki_start_kernel
	ud2
SYM_CODE_END(startup_cki)
	__FINIT

/* Physical addresses as in p_paddr. */
#define NOTE_RANGE(type, start, end)				\
	ELFNOTE(CKI, type,					\
		.quad start - __START_KERNEL_map;		\
		.quad end - __START_KERNEL_map)

	ELFNOTE(CKI, CKI_NOTE_ABI_VERSION, .quad CKI_ABI_VERSION)
	ELFNOTE(CKI, CKI_NOTE_ENTRY, .quad startup_cki)
	ELFNOTE(CKI, CKI_NOTE_DIRECT_MAP, .quad __PAGE_OFFSET_BASE_L4)
	NOTE_RANGE(CKI_NOTE_PT_RANGE, __cki_pt_start, __cki_pt_end)
	NOTE_RANGE(CKI_NOTE_EXEC_RANGE, _text, __cki_text_end)
	NOTE_RANGE(CKI_NOTE_EXEC_RANGE, __cki_init_text_start, __cki_init_text_end)
