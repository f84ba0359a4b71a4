/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of a CKI guest share, by the file that has it. No two of them use each
 * other, directly or not. The monitor's interface is <cki/abi.h>.
 */
#ifndef ARCH_X86_CKI_GUEST_H
#define ARCH_X86_CKI_GUEST_H

#include <linux/percpu.h>
#include <linux/types.h>

#include <asm/asm.h>
#include <asm/cki.h>
#include <asm/nospec-branch.h>
#include <cki/abi.h>

/* Read-only for the guest, at a fixed address from the start. */
#define cki_start_info	((const struct cki_start_info *)CKI_START_INFO)

/* call.c */
DECLARE_PER_CPU(struct cki_vcpu_info, cki_vcpu_info);
DECLARE_PER_CPU(unsigned long, cki_scratch);

extern const unsigned long cki_call_gate;

/*
 * A KSM call or hypercall. Returns 0 or a negated CKI_E_*; *value gets the
 * second result.
 */
static __always_inline long cki_call_value(u64 number, u64 a0, u64 a1, u64 a2,
					   u64 a3, u64 *value)
{
	register u64 r8 asm("r8") = a2;
	register u64 r9 asm("r9") = a3;
	long status = number;

	asm volatile(ANNOTATE_RETPOLINE_SAFE
		     "call *%[gate]"
		     : "+a" (status), "=d" (*value), "+D" (a0), "+S" (a1),
		       "+r" (r8), "+r" (r9), ASM_CALL_CONSTRAINT
		     : [gate] "m" (cki_call_gate)
		     : "rcx", "r10", "r11", "memory", "cc");
	return status;
}

static __always_inline long cki_call(u64 number, u64 a0, u64 a1, u64 a2, u64 a3)
{
	u64 value;

	return cki_call_value(number, a0, a1, a2, a3, &value);
}

/* Ends the container. reason: CKI_SHUTDOWN_*. */
static __always_inline void __noreturn cki_shut_down(u64 reason)
{
	for (;;)
		cki_call(CKI_HC_SHUTDOWN, reason, 0, 0, 0);
}

/* Neither returns; objtool knows such functions by a list of its own, so they do not say so. */
/* The monitor refused something the kernel cannot do without. */
void cki_refused(u64 number, u64 a0, u64 a1, long status);
/* Gives the launcher the last words, and ends the container. */
void cki_report_panic(const char *message);

/* As cki_call() with two arguments, for calls that must succeed. */
static __always_inline void cki_must_call(u64 number, u64 a0, u64 a1)
{
	long status = cki_call(number, a0, a1, 0, 0);

	if (unlikely(status))
		cki_refused(number, a0, a1, status);
}

/* hpa of a per-CPU or static variable, or of direct-map memory. */
static inline u64 cki_hpa(const void *address)
{
	return __pa(address);
}

/* frames.c */
void cki_table_init(void);
void cki_table_reserve(void);
/* True if the frame is of class Pt. */
bool cki_table_frame(u64 hpa);
/* True if pointer is to an entry in such a frame; its hpa is stored. */
bool cki_table_entry(const void *pointer, u64 *entry);
/* As cki_table_entry(), and the frame is declared as cki_table_declare() does it. */
bool cki_table_entry_as(const void *pointer, unsigned int kind, u64 *entry);
/* What the frame of an entry was declared as: CKI_TABLE_*, or CKI_KIND_BOOT, or 0. */
unsigned int cki_table_kind(u64 entry);
/* Declares the frame as a table of this kind (CKI_TABLE_*), unless it is a table. */
void cki_table_declare(u64 hpa, unsigned int kind);
/* Makes a table a mere frame again. */
void cki_table_release(u64 hpa);
/* A frame that was never handed out, or 0. */
u64 cki_table_fresh(void);
/* How many there are of these; and of all frames of class Pt. */
unsigned int cki_table_count(unsigned int *all);

/* A boot table of the loader's, of any level: declared, never freed. */
#define CKI_KIND_BOOT	0x80

/* refused.c */
/*
 * The monitor refused value for a table entry. Returns what the entry held before
 * it was made good; does not return for what is not a leaf.
 */
u64 cki_entry_refused(u64 entry, u64 value, long status);
void cki_set_fixmap(unsigned int index, phys_addr_t phys, pgprot_t flags);

/* batch.c */
/* Called when the per-CPU area has its place. */
void cki_batch_init(void);
/* Whether this CPU is in lazy MMU mode. Asked first, because mostly it is not. */
DECLARE_PER_CPU(bool, cki_lazy);
/* In lazy mode. False if the update is to be made at once all the same. */
bool cki_batch_add(u64 entry, u64 value);
void cki_batch_flush(void);
void cki_lazy_enter(void);
void cki_lazy_leave(void);
void cki_start_context_switch(struct task_struct *prev);
void cki_end_context_switch(struct task_struct *next);

/* mmu.c */
void cki_init_mmu_ops(void);
void cki_init_boot_tables(void);

/* start.c */
void cki_start_kernel(void);

/* cpu.c */
void cki_init_cpu_ops(void);
void cki_init_capabilities(void);
void cki_set_vcpu_info(void);
void cki_init_entry(void);

/* events.c */
void sysvec_cki_event(struct pt_regs *regs);
void fred_sysvec_cki_event(struct pt_regs *regs);
void cki_init_event_ops(void);
void cki_safe_halt(void);
void cki_halt(void);
/* Linux interrupt of an event bit; a negative error. */
int cki_event_to_irq(unsigned int event);

/* time.c */
void cki_init_time_ops(void);
void cki_timer_event(void);

/* console.c */
void cki_register_boot_console(void);

/* reboot.c */
void cki_init_machine_ops(void);

/* entry.S */
extern char cki_sysret_check[], cki_sysret[], cki_sysret_undo[];
extern char cki_iret_check[], cki_iret[], cki_iret_undo[];
void cki_entry_SYSCALL_64(void);
void cki_entry_SYSCALL32(void);
void cki_asm_event_user(void);
void cki_asm_event_kernel(void);
void cki_asm_debug_user(void);
void cki_asm_debug_kernel(void);
void cki_asm_iret_refused(void);
void cki_asm_early_3(void);
void cki_asm_early_6(void);
void cki_asm_early_13(void);
void cki_asm_early_14(void);
void cki_asm_exc_divide_error(void);
void cki_asm_exc_int3(void);
void cki_asm_exc_overflow(void);
void cki_asm_exc_bounds(void);
void cki_asm_exc_invalid_op(void);
void cki_asm_exc_device_not_available(void);
void cki_asm_exc_invalid_tss(void);
void cki_asm_exc_segment_not_present(void);
void cki_asm_exc_stack_segment(void);
void cki_asm_exc_general_protection(void);
void cki_asm_exc_page_fault(void);
void cki_asm_exc_coprocessor_error(void);
void cki_asm_exc_alignment_check(void);
void cki_asm_exc_simd_coprocessor_error(void);
void cki_asm_exc_control_protection(void);
void cki_load_gs_index(unsigned int selector);
unsigned long cki_save_fl(void);
void cki_irq_disable(void);
void cki_irq_enable(void);

/* victim.c */
bool cki_kill_for_tables(void);
/* Whether nobody has more page tables than the user of this process. */
bool cki_has_most_tables(void);

#endif
