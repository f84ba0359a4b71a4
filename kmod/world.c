// SPDX-License-Identifier: GPL-2.0-only
/*
 * World switch: the host's side. The monitor loads its own GDT, IDT, TR, system-call MSRs and
 * segment state when it is entered; everything that it does not put back is saved and restored
 * here. In between, interrupts are off for the host; the container runs with them on, in the
 * monitor's IDT, and leaves at the first one.
 *
 * Not handled: hardware that writes through the host's virtual addresses on its own account (PEBS
 * and BTS buffers). perf must not use them on CPUs that run containers.
 */
#define pr_fmt(fmt) "cki: " fmt

#include <linux/cpufeature.h>
#include <linux/irqflags.h>
#include <linux/sched/signal.h>
#include <linux/smp.h>
#include <asm/debugreg.h>
#include <asm/desc.h>
#include <asm/fpu/api.h>
#include <asm/fsgsbase.h>
#include <asm/gsseg.h>
#include <asm/msr.h>
#include <asm/pkru.h>
#include <asm/processor.h>
#include <asm/special_insns.h>
#include <asm/tlbflush.h>
#include <asm/tsc.h>

#include "internal.h"

#ifndef X86_CR4_PKS
#define X86_CR4_PKS	BIT_ULL(24)
#endif

/* cki-ksm-core, pinned.rs: the monitor refuses to work with others. */
#define CR4_SET		(X86_CR4_PAE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT | X86_CR4_UMIP | \
			 X86_CR4_FSGSBASE | X86_CR4_OSXSAVE | X86_CR4_SMEP | X86_CR4_SMAP | \
			 X86_CR4_PKS)
#define CR4_CLEAR	(X86_CR4_VME | X86_CR4_PVI | X86_CR4_TSD | X86_CR4_PGE | X86_CR4_PCE | \
			 X86_CR4_CET)

/* Linux uses 1 to 6, and those from 2048 on. */
#define BRIDGE_PCID	7

struct host_msrs {
	u64 star, lstar, cstar, fmask, xss;
};

static struct host_msrs host_msrs;
static unsigned int fpu_size;
static DEFINE_PER_CPU(u64, last_tag);

static bool has_extension(void)
{
	unsigned int eax, ebx, ecx, edx;

	/* A CPU without the leaf answers with another one's contents: hence the text. */
	cpuid(CKI_CPUID_LEAF, &eax, &ebx, &ecx, &edx);
	if (eax < CKI_CPUID_FEATURES_LEAF || ebx != 0x53696b43 || ecx != 0x72756365 ||
	    edx != 0x41534965)
		return false;
	return cpuid_eax(CKI_CPUID_FEATURES_LEAF) & CKI_CPUID_FEATURES_EAX_CKI;
}

u32 cki_world_missing(void)
{
	unsigned int eax, ebx, ecx, edx;
	u32 missing = 0;

	cpuid_count(7, 0, &eax, &ebx, &ecx, &edx);
	if (!(ecx & BIT(31)))
		missing |= CKI_MISSING_PKS;
	if (!has_extension())
		missing |= CKI_MISSING_EXTENSION;
	if (!boot_cpu_has(X86_FEATURE_NX) || !boot_cpu_has(X86_FEATURE_SMEP) ||
	    !boot_cpu_has(X86_FEATURE_SMAP) || !boot_cpu_has(X86_FEATURE_UMIP) ||
	    !boot_cpu_has(X86_FEATURE_FSGSBASE) || !boot_cpu_has(X86_FEATURE_XSAVE) ||
	    !boot_cpu_has(X86_FEATURE_TSC) || !tsc_khz)
		missing |= CKI_MISSING_CPU;
	if (pgtable_l5_enabled() || cpu_feature_enabled(X86_FEATURE_FRED) ||
	    cpu_feature_enabled(X86_FEATURE_XENPV) || sme_me_mask)
		missing |= CKI_MISSING_KERNEL;
	return missing;
}

int cki_world_init(void)
{
	unsigned int eax, ebx, ecx, edx;

	rdmsrl(MSR_STAR, host_msrs.star);
	rdmsrl(MSR_LSTAR, host_msrs.lstar);
	rdmsrl(MSR_CSTAR, host_msrs.cstar);
	rdmsrl(MSR_SYSCALL_MASK, host_msrs.fmask);
	if (boot_cpu_has(X86_FEATURE_XSAVES))
		rdmsrl(MSR_IA32_XSS, host_msrs.xss);
	cpuid_count(0xd, 0, &eax, &ebx, &ecx, &edx);
	fpu_size = ebx;
	return 0;
}

bool cki_world_has_pcids(void)
{
	return cpu_feature_enabled(X86_FEATURE_PCID);
}

unsigned int cki_world_fpu_size(void)
{
	return fpu_size;
}

static void write_cr4(unsigned long value)
{
	asm volatile("mov %0, %%cr4" :: "r"(value) : "memory");
}

static void load_fpu(const void *area)
{
	asm volatile("xrstor64 (%0)" :: "r"(area), "a"(-1), "d"(-1) : "memory");
}

static void save_fpu(void *area)
{
	asm volatile("xsave64 (%0)" :: "r"(area), "a"(-1), "d"(-1) : "memory");
}

/* Interrupts are off. */
static void enter(struct cki_vcpu *vcpu)
{
	unsigned int cpu = smp_processor_id();
	unsigned long cr3 = __read_cr3(), cr4 = native_read_cr4();
	unsigned long guest_cr4 = (cr4 | CR4_SET) & ~CR4_CLEAR;
	unsigned long dr7 = local_db_save();
	unsigned long bridge = __pa(vcpu->container->slot.bridge);
	u64 fs_base = rdfsbase(), kernel_gs_base, tsc_aux = 0;
	u16 ds, es, fs, gs;
	struct desc_ptr gdt, idt;

	savesegment(ds, ds);
	savesegment(es, es);
	savesegment(fs, fs);
	savesegment(gs, gs);
	native_store_gdt(&gdt);
	store_idt(&idt);
	rdmsrl(MSR_KERNEL_GS_BASE, kernel_gs_base);
	if (boot_cpu_has(X86_FEATURE_RDTSCP)) {
		rdmsrl(MSR_TSC_AUX, tsc_aux);
		wrmsrl(MSR_TSC_AUX, vcpu->number);
	}
	if (host_msrs.xss)
		wrmsrl(MSR_IA32_XSS, 0);

	if (cki_world_has_pcids())
		bridge |= BRIDGE_PCID;
	/*
	 * The first write turns off PGE, and with that drops the host's global translations: they
	 * would match in the container as well. It drops everything else, too; where the host runs
	 * without PGE, that is only needed when this CPU last ran another vCPU, or this one has
	 * been elsewhere meanwhile.
	 */
	if (!(cr4 & X86_CR4_PGE) &&
	    (__this_cpu_read(last_tag) != vcpu->tag || vcpu->cpu != cpu))
		write_cr4(guest_cr4 | X86_CR4_PGE);
	write_cr4(guest_cr4);
	__this_cpu_write(last_tag, vcpu->tag);
	vcpu->cpu = cpu;
	wrmsrl(CKI_MSR_IA32_PKRS, CKI_PKRS_MONITOR);

	cki_switch(vcpu->area, bridge);

	/* In this order: see cki_switch. */
	native_load_gdt(&gdt);
	force_reload_TR();
	native_load_idt(&idt);
	if (cki_world_has_pcids())
		cr3 |= X86_CR3_PCID_NOFLUSH;
	native_write_cr3(cr3);
	write_cr4(cr4);

	wrmsrl(MSR_STAR, host_msrs.star);
	wrmsrl(MSR_LSTAR, host_msrs.lstar);
	wrmsrl(MSR_CSTAR, host_msrs.cstar);
	wrmsrl(MSR_SYSCALL_MASK, host_msrs.fmask);
	if (host_msrs.xss)
		wrmsrl(MSR_IA32_XSS, host_msrs.xss);
	if (boot_cpu_has(X86_FEATURE_RDTSCP))
		wrmsrl(MSR_TSC_AUX, tsc_aux);
	if (ds)
		loadsegment(ds, ds);
	if (es)
		loadsegment(es, es);
	if (fs)
		loadsegment(fs, fs);
	if (gs)
		load_gs_index(gs);
	wrfsbase(fs_base);
	wrmsrl(MSR_KERNEL_GS_BASE, kernel_gs_base);
	local_db_restore(dr7);
}

static void call_interrupt(u8 vector)
{
	struct desc_ptr idt;

	store_idt(&idt);
	cki_call_interrupt_handler(gate_offset((gate_desc *)idt.address + vector));
}

/* Has the host handle what made the container leave, with interrupts still off. */
static void handle_event(struct cki_vcpu *vcpu, bool run)
{
	unsigned long attention = 0;

	if (READ_ONCE(vcpu->sw->attention)) {
		attention = xchg(&vcpu->sw->attention, 0);
		if (attention & CKI_ATTENTION_EVENTS)
			WRITE_ONCE(vcpu->sw->attention, CKI_ATTENTION_EVENTS);
	}
	if (run && vcpu->sw->exit == CKI_EXIT_INTERRUPT) {
		vcpu->run->exits_interrupt++;
		call_interrupt(vcpu->sw->exit_arguments[0]);
	}
	/* INT leaves NMIs blocked until the handler's IRET, as the NMI itself did. */
	if ((attention & CKI_ATTENTION_NMI) || (run && vcpu->sw->exit == CKI_EXIT_NMI))
		asm volatile("int $2" ::: "memory");
	if ((attention & CKI_ATTENTION_MACHINE_CHECK) ||
	    (run && vcpu->sw->exit == CKI_EXIT_MACHINE_CHECK))
		asm volatile("int $18" ::: "memory");
}

static bool has_other_work(struct cki_vcpu *vcpu)
{
	return need_resched() || signal_pending(current) ||
	       READ_ONCE(vcpu->run->immediate_exit) ||
	       READ_ONCE(vcpu->container->state) == CKI_DEAD;
}

int cki_world_run(struct cki_vcpu *vcpu)
{
	bool run = vcpu->sw->operation == CKI_OP_RUN;
	u32 pkru = 0;

	kernel_fpu_begin();
	local_irq_disable();
	/* From here on, who has something for this vCPU interrupts it. */
	smp_store_mb(vcpu->in_guest, true);
	if (run && has_other_work(vcpu)) {
		vcpu->in_guest = false;
		local_irq_enable();
		kernel_fpu_end();
		return -EAGAIN;
	}
	if (cpu_feature_enabled(X86_FEATURE_OSPKE))
		pkru = rdpkru();
	load_fpu(vcpu->fpu);
	enter(vcpu);
	save_fpu(vcpu->fpu);
	if (cpu_feature_enabled(X86_FEATURE_OSPKE))
		wrpkru(pkru);
	vcpu->in_guest = false;
	kernel_fpu_end();
	handle_event(vcpu, run);
	local_irq_enable();
	return 0;
}
