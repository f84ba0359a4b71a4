// SPDX-License-Identifier: GPL-2.0-only
/*
 * pv_ops.cpu: descriptor tables, control registers and MSRs are the monitor's.
 * What the kernel writes there it only remembers, or asks the monitor for.
 */
#include <linux/export.h>
#include <linux/kernel.h>
#include <linux/printk.h>

#include <asm/cpufeature.h>
#include <asm/debugreg.h>
#include <asm/desc.h>
#include <asm/fpu/types.h>
#include <asm/fpu/xstate.h>
#include <asm/fpu/xcr.h>
#include <asm/fsgsbase.h>
#include <asm/msr.h>
#include <asm/paravirt.h>
#include <asm/proto.h>
#include <asm/setup.h>
#include <asm/sections.h>
#include <asm/tlbflush.h>
#include <asm/trapnr.h>

#include "guest.h"

/*
 * What this kernel takes CR4 for: what the monitor pins, without the keys, which
 * are not this kernel's; and what any Linux switches on, whether or not the host has.
 */
#define CKI_CR4 ((CKI_CR4_PINNED & ~CKI_CR4_PKS) |	\
		 X86_CR4_DE | X86_CR4_PSE | X86_CR4_MCE)

unsigned long __read_cr4(void)
{
	return cki_guest() ? CKI_CR4 : native_read_cr4();
}
EXPORT_SYMBOL_GPL(__read_cr4);

/* The handler of each vector that the CPU enters by itself. */
static void (*const handlers[])(void) = {
	[X86_TRAP_DE] = cki_asm_exc_divide_error,
	[X86_TRAP_BP] = cki_asm_exc_int3,
	[X86_TRAP_OF] = cki_asm_exc_overflow,
	[X86_TRAP_BR] = cki_asm_exc_bounds,
	[X86_TRAP_UD] = cki_asm_exc_invalid_op,
	[X86_TRAP_NM] = cki_asm_exc_device_not_available,
	[X86_TRAP_TS] = cki_asm_exc_invalid_tss,
	[X86_TRAP_NP] = cki_asm_exc_segment_not_present,
	[X86_TRAP_SS] = cki_asm_exc_stack_segment,
	[X86_TRAP_GP] = cki_asm_exc_general_protection,
	[X86_TRAP_PF] = cki_asm_exc_page_fault,
	[X86_TRAP_MF] = cki_asm_exc_coprocessor_error,
	[X86_TRAP_AC] = cki_asm_exc_alignment_check,
	[X86_TRAP_XF] = cki_asm_exc_simd_coprocessor_error,
#ifdef CONFIG_X86_CET
	[X86_TRAP_CP] = cki_asm_exc_control_protection,
#endif
};

static void set_handler(unsigned int index, void (*handler)(void))
{
	cki_must_call(CKI_KSM_HANDLER_SET, index, (unsigned long)handler);
}

/* Gates are filled in by idt.c in several steps; each of them is taken from the table. */
static void cki_write_idt_entry(gate_desc *dt, int entry,
				const gate_desc *gate)
{
	if (entry < ARRAY_SIZE(handlers) && handlers[entry])
		set_handler(entry, handlers[entry]);
}

static void __init set_return(unsigned int index, const char *check,
			      const char *instruction, const char *undo)
{
	long status = cki_call(CKI_KSM_RETURN_SET, index, (unsigned long)check,
			       (unsigned long)instruction,
			       (unsigned long)undo);

	if (status)
		cki_refused(CKI_KSM_RETURN_SET, index, (unsigned long)check,
			    status);
}

/* Handlers that work from the first instruction, and what the monitor itself delivers. */
void __init cki_init_entry(void)
{
	set_handler(X86_TRAP_BP, cki_asm_early_3);
	set_handler(X86_TRAP_UD, cki_asm_early_6);
	set_handler(X86_TRAP_GP, cki_asm_early_13);
	set_handler(X86_TRAP_PF, cki_asm_early_14);

	set_handler(CKI_HANDLER_EVENT_USER, cki_asm_event_user);
	set_handler(CKI_HANDLER_EVENT_KERNEL, cki_asm_event_kernel);
	set_handler(CKI_HANDLER_DEBUG_USER, cki_asm_debug_user);
	set_handler(CKI_HANDLER_DEBUG_KERNEL, cki_asm_debug_kernel);
	set_handler(CKI_HANDLER_IRET_REFUSED, cki_asm_iret_refused);

	cki_must_call(CKI_KSM_ENTRY_CODE_SET, (unsigned long)__entry_text_start,
		      (unsigned long)__entry_text_end);
	set_return(0, cki_sysret_check, cki_sysret, cki_sysret_undo);
	set_return(1, cki_iret_check, cki_iret, cki_iret_undo);
}

void cki_set_vcpu_info(void)
{
	cki_must_call(CKI_KSM_VCPU_INFO_SET,
		      cki_hpa(this_cpu_ptr(&cki_vcpu_info)), 0);
}

static void cki_load_sp0(unsigned long sp0)
{
	this_cpu_write(cpu_tss_rw.x86_tss.sp0, sp0);
	/* Before cpu_init() has a stack there is no user mode either. */
	if (sp0)
		cki_must_call(CKI_KSM_STACK_SET, sp0, 0);
}

/* The descriptors as the monitor has them: mostly nothing changes. */
static DEFINE_PER_CPU(u64, tls[CKI_TLS_SLOTS]);

static void cki_load_tls(struct thread_struct *t, unsigned int cpu)
{
	unsigned int i;

	BUILD_BUG_ON(GDT_ENTRY_TLS_ENTRIES != CKI_TLS_SLOTS);

	for (i = 0; i < CKI_TLS_SLOTS; i++) {
		u64 descriptor = *(u64 *)&t->tls_array[i];

		if (descriptor == __this_cpu_read(tls[i]))
			continue;
		/* One that the monitor refuses is no descriptor at all. */
		if (cki_call(CKI_KSM_TLS_SET, i, descriptor, 0, 0))
			cki_must_call(CKI_KSM_TLS_SET, i, 0);
		__this_cpu_write(tls[i], descriptor);
	}
}

static unsigned long cki_get_debugreg(int reg)
{
	/* As the CPU had it at the last #DB, reserved bits set; none yet: as after a reset. */
	return reg == 6 ? this_cpu_read(cki_vcpu_info.debug.dr6) ?: DR6_RESERVED : 0;
}

static void cki_set_debugreg(int reg, unsigned long value)
{
	/* No hardware breakpoints. DR6 is in the frame of each #DB. */
}

static unsigned long cki_read_cr0(void)
{
	return CKI_CR0_PINNED;
}

static void cki_write_cr(unsigned long value)
{
}

static u64 inactive_gs_base(void)
{
	unsigned long flags;
	u64 base;

	local_irq_save(flags);
	native_swapgs();
	base = rdgsbase();
	native_swapgs();
	local_irq_restore(flags);
	return base;
}

static void set_inactive_gs_base(u64 base)
{
	unsigned long flags;

	local_irq_save(flags);
	native_swapgs();
	wrgsbase(base);
	native_swapgs();
	local_irq_restore(flags);
}

static bool read_msr(unsigned int msr, u64 *value)
{
	switch (msr) {
	case MSR_FS_BASE:
		*value = rdfsbase();
		return true;
	case MSR_GS_BASE:
		*value = rdgsbase();
		return true;
	case MSR_KERNEL_GS_BASE:
		*value = inactive_gs_base();
		return true;
	case MSR_EFER:
		*value = CKI_EFER_PINNED;
		return true;
	default:
		*value = 0;
		return false;
	}
}

static bool write_msr(unsigned int msr, u64 value)
{
	switch (msr) {
	case MSR_FS_BASE:
		wrfsbase(value);
		return true;
	case MSR_GS_BASE:
		wrgsbase(value);
		/* The per-CPU area may have moved. */
		cki_set_vcpu_info();
		cki_batch_init();
		return true;
	case MSR_KERNEL_GS_BASE:
		set_inactive_gs_base(value);
		return true;
	case MSR_LSTAR:
		set_handler(CKI_HANDLER_SYSCALL, cki_entry_SYSCALL_64);
		return true;
	case MSR_CSTAR:
		set_handler(CKI_HANDLER_SYSCALL32, cki_entry_SYSCALL32);
		return true;
	default:
		return false;
	}
}

static u64 cki_read_msr(unsigned int msr)
{
	u64 value;

	read_msr(msr, &value);
	return value;
}

static u64 cki_read_msr_safe(unsigned int msr, int *err)
{
	u64 value;

	*err = read_msr(msr, &value) ? 0 : -EIO;
	return value;
}

static void cki_write_msr(unsigned int msr, unsigned int low, unsigned int high)
{
	write_msr(msr, (u64)high << 32 | low);
}

static int cki_write_msr_safe(unsigned int msr, unsigned int low,
			      unsigned int high)
{
	return write_msr(msr, (u64)high << 32 | low) ? 0 : -EIO;
}

static u64 cki_read_pmc(int counter)
{
	return 0;
}

static unsigned long cki_store_tr(void)
{
	return CKI_SEL_TSS;
}

static void cki_set_ldt(const void *address, unsigned int entries)
{
	WARN_ON_ONCE(entries);
}

void __init cki_init_cpu_ops(void)
{
	pv_ops.irq.save_fl = __PV_IS_CALLEE_SAVE(cki_save_fl);
	pv_ops.irq.irq_disable = __PV_IS_CALLEE_SAVE(cki_irq_disable);
	pv_ops.irq.irq_enable = __PV_IS_CALLEE_SAVE(cki_irq_enable);
	pv_ops.irq.safe_halt = cki_safe_halt;
	pv_ops.irq.halt = cki_halt;

	pv_ops.cpu.io_delay = paravirt_nop;
	pv_ops.cpu.get_debugreg = cki_get_debugreg;
	pv_ops.cpu.set_debugreg = cki_set_debugreg;
	pv_ops.cpu.read_cr0 = cki_read_cr0;
	pv_ops.cpu.write_cr0 = cki_write_cr;
	pv_ops.cpu.write_cr4 = cki_write_cr;
	pv_ops.cpu.wbinvd = paravirt_nop;
	pv_ops.cpu.read_msr = cki_read_msr;
	pv_ops.cpu.write_msr = cki_write_msr;
	pv_ops.cpu.read_msr_safe = cki_read_msr_safe;
	pv_ops.cpu.write_msr_safe = cki_write_msr_safe;
	pv_ops.cpu.read_pmc = cki_read_pmc;
	pv_ops.cpu.load_tr_desc = paravirt_nop;
	pv_ops.cpu.load_gdt = paravirt_nop;
	pv_ops.cpu.load_idt = paravirt_nop;
	pv_ops.cpu.set_ldt = cki_set_ldt;
	pv_ops.cpu.store_tr = cki_store_tr;
	pv_ops.cpu.load_tls = cki_load_tls;
	pv_ops.cpu.load_gs_index = cki_load_gs_index;
	pv_ops.cpu.write_idt_entry = cki_write_idt_entry;
	pv_ops.cpu.load_sp0 = cki_load_sp0;
#ifdef CONFIG_X86_IOPL_IOPERM
	pv_ops.cpu.invalidate_io_bitmap = paravirt_nop;
	pv_ops.cpu.update_io_bitmap = paravirt_nop;
#endif
	pv_ops.cpu.start_context_switch = cki_start_context_switch;
	pv_ops.cpu.end_context_switch = cki_end_context_switch;
}

/* What a guest does not have, although CPUID, which does not fault, says so. */
static const unsigned int missing[] __initconst = {
	X86_FEATURE_APIC, X86_FEATURE_X2APIC, X86_FEATURE_TSC_DEADLINE_TIMER,
	X86_FEATURE_ACPI, X86_FEATURE_ACC, X86_FEATURE_MCE, X86_FEATURE_MCA,
	X86_FEATURE_MTRR, X86_FEATURE_PAT, X86_FEATURE_PGE,
	X86_FEATURE_MWAIT, X86_FEATURE_MWAITX, X86_FEATURE_WAITPKG,
	X86_FEATURE_TSC_ADJUST,
	/* These would take other instructions for what pv_ops has. */
	X86_FEATURE_LKGS, X86_FEATURE_FRED,
	X86_FEATURE_SEP, X86_FEATURE_SYSENTER32, X86_FEATURE_INVPCID,
	/*
	 * Without global pages an INVLPG reaches kernel translations of the
	 * current PCID only; a root load per switch is simpler, and right.
	 */
	X86_FEATURE_PCID,
	X86_FEATURE_XSAVES, X86_FEATURE_SHSTK, X86_FEATURE_IBT,
	/* The monitor refuses leaves of 1 GiB. */
	X86_FEATURE_GBPAGES,
	X86_FEATURE_LA57, X86_FEATURE_XFD, X86_FEATURE_AMX_TILE,
	X86_FEATURE_SVM, X86_FEATURE_VMX, X86_FEATURE_SGX,
	X86_FEATURE_PERFCTR_CORE, X86_FEATURE_ARCH_PERFMON, X86_FEATURE_DS,
	X86_FEATURE_DTES64, X86_FEATURE_CAT_L3, X86_FEATURE_RDT_A,
	X86_FEATURE_SPEC_CTRL, X86_FEATURE_ARCH_CAPABILITIES,
	X86_FEATURE_INTEL_STIBP, X86_FEATURE_SPEC_CTRL_SSBD,
	X86_FEATURE_IBRS, X86_FEATURE_IBPB, X86_FEATURE_STIBP,
	X86_FEATURE_AMD_IBRS, X86_FEATURE_AMD_IBPB, X86_FEATURE_AMD_STIBP,
	X86_FEATURE_AMD_SSBD, X86_FEATURE_VIRT_SSBD, X86_FEATURE_LS_CFG_SSBD,
	X86_FEATURE_IBPB_BRTYPE, X86_FEATURE_SBPB, X86_FEATURE_AUTOIBRS,
	X86_FEATURE_BHI_CTRL, X86_FEATURE_RRSBA_CTRL,
	X86_FEATURE_FLUSH_L1D, X86_FEATURE_SPLIT_LOCK_DETECT,
	X86_FEATURE_BUS_LOCK_DETECT, X86_FEATURE_CORE_CAPABILITIES,
};

void __init cki_init_capabilities(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(missing); i++)
		setup_clear_cpu_cap(missing[i]);

	/*
	 * User mode can write PKRU if the host enabled it, so it must then be
	 * switched between tasks. OSPKE and OSXSAVE tell what CR4 has.
	 */
	if (!boot_cpu_has(X86_FEATURE_OSPKE) || !boot_cpu_has(X86_FEATURE_OSXSAVE) ||
	    !(xgetbv(XCR_XFEATURE_ENABLED_MASK) & XFEATURE_MASK_PKRU)) {
		setup_clear_cpu_cap(X86_FEATURE_PKU);
		setup_clear_cpu_cap(X86_FEATURE_OSPKE);
	}

	setup_force_cpu_cap(X86_FEATURE_TSC_RELIABLE);
	setup_force_cpu_cap(X86_FEATURE_TSC_KNOWN_FREQ);
	setup_force_cpu_cap(X86_FEATURE_CONSTANT_TSC);
	setup_force_cpu_cap(X86_FEATURE_NONSTOP_TSC);
}

/*
 * What CR4 gives to user mode is the host's to say. A kernel that was told not to
 * use it ("nopku", "noxsave", "nofsgsbase", "clearcpuid=") would not switch it
 * between tasks either, and tasks would share it.
 */
static int __init cki_check_user_state(void)
{
	unsigned int features = cpuid_ebx(7);

	if (!cki_guest())
		return 0;

	if ((cpuid_ecx(1) & BIT(27) && !boot_cpu_has(X86_FEATURE_OSXSAVE)) ||
	    (cpuid_ecx(7) & BIT(4) && !boot_cpu_has(X86_FEATURE_OSPKE)) ||
	    (features & BIT(0) && !boot_cpu_has(X86_FEATURE_FSGSBASE)))
		panic("cki: this CPU state is in use and cannot be left out: XSAVE, PKU or FSGSBASE");

	/* Each component of XSAVE hangs on a feature of its own, such as AVX. */
	if (boot_cpu_has(X86_FEATURE_OSXSAVE) &&
	    xgetbv(XCR_XFEATURE_ENABLED_MASK) & ~fpu_user_cfg.max_features)
		panic("cki: registers are in use that cannot be left out: XCR0 %#llx, here %#llx",
		      xgetbv(XCR_XFEATURE_ENABLED_MASK), fpu_user_cfg.max_features);
	return 0;
}
arch_initcall(cki_check_user_state);
