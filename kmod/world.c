// SPDX-License-Identifier: GPL-2.0-only
/*
 * World switch: the host's side. The monitor loads its own GDT, IDT, TR, system-call MSRs and
 * segment state when it is entered; everything that it does not put back is saved and restored
 * here and in switch.S. In between, interrupts are off for the host; the container runs with them
 * on, in the monitor's IDT, and leaves at the first one.
 */
#include <linux/context_tracking.h>
#include <linux/cpufeature.h>
#include <linux/ftrace.h>
#include <linux/irqflags.h>
#include <linux/mm.h>
#include <linux/page-flags.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>
#include <linux/smp.h>
#include <linux/thread_info.h>
#include <linux/vtime.h>
#include <asm/debugreg.h>
#include <asm/desc.h>
#include <asm/fpu/api.h>
#include <asm/fsgsbase.h>
#include <asm/gsseg.h>
#include <asm/msr.h>
#include <asm/processor.h>
#include <asm/special_insns.h>
#include <asm/tlbflush.h>
#include <asm/tsc.h>

#include "cpu.h"
#include "host.h"
#include "switch.h"
#include "world.h"

/*
 * Linux uses 1 to 6, and those from 2048 on. Each load of the bridge drops what is tagged with it:
 * when the host takes an address away, it invalidates it under its own PCIDs only.
 */
#define BRIDGE_PCID	7

struct host_msrs {
	u64 lstar, cstar, fmask, xss;
};

static struct host_msrs host_msrs;
static DEFINE_PER_CPU(u64, last_tag);
/* In ticks of the TSC: what keeps a vCPU from running for as long is told to its kernel. */
static s64 absence;

void cki_world_init(void)
{
	absence = cki_cpu_tsc_khz() * 1000LL;
	rdmsrl(MSR_LSTAR, host_msrs.lstar);
	rdmsrl(MSR_CSTAR, host_msrs.cstar);
	rdmsrl(MSR_SYSCALL_MASK, host_msrs.fmask);
	if (boot_cpu_has(X86_FEATURE_XSAVES))
		rdmsrl(MSR_IA32_XSS, host_msrs.xss);
}

static void write_cr4(unsigned long value)
{
	asm volatile("mov %0, %%cr4" :: "r"(value) : "memory");
}

/*
 * As KVM does (guest_state_enter_irqoff of linux/kvm_host.h, which is there with KVM only): to
 * lockdep interrupts are on in the container, to RCU it is what user mode is.
 */
static __always_inline void guest_state_enter(void)
{
	trace_hardirqs_on_prepare();
	lockdep_hardirqs_on_prepare();
	if (!context_tracking_guest_enter())
		rcu_virt_note_context_switch();
	lockdep_hardirqs_on(CALLER_ADDR0);
}

static __always_inline void guest_state_exit(void)
{
	lockdep_hardirqs_off(CALLER_ADDR0);
	if (!context_tracking_guest_exit())
		rcu_virt_note_context_switch();
	trace_hardirqs_off_finish();
}

/*
 * CR4 for the container: what the monitor demands, and what it leaves to the host. A CPU that last
 * ran another vCPU, or a vCPU that has been elsewhere meanwhile, may have translations under the
 * container's PCIDs that are no longer right: a change of PGE drops those of all PCIDs. Without
 * PCIDs each load of CR3 does.
 */
static void load_cr4(struct cki_vcpu *vcpu, unsigned int cpu, unsigned long cr4)
{
	unsigned long guest = (cr4 & (CKI_CR4_FREE | CKI_CR4_PCIDE)) | CKI_CR4_PINNED;

	if (cki_cpu_has_pcids() &&
	    (__this_cpu_read(last_tag) != vcpu->tag || vcpu->cpu != cpu)) {
		write_cr4(guest ^ X86_CR4_PGE);
		write_cr4(guest);
	} else if (guest != cr4) {
		write_cr4(guest);
	}
	__this_cpu_write(last_tag, vcpu->tag);
	vcpu->cpu = cpu;
}

/* Interrupts are off. */
static void enter(struct cki_vcpu *vcpu)
{
	unsigned int cpu = smp_processor_id();
	unsigned long cr4 = native_read_cr4();
	unsigned long dr6, dr7 = local_db_save();
	u64 fs_base = rdfsbase(), tsc_aux = 0, debugctl = get_debugctlmsr();
	struct desc_struct *gdt = get_current_gdt_rw();
	struct cki_host_state host = {
		.area = vcpu->area,
		.bridge = __pa(vcpu->container->slot.bridge),
		.cr3 = __read_cr3(),
		.msrs = { host_msrs.lstar, host_msrs.cstar, host_msrs.fmask },
		.gdt_writable = { .size = GDT_SIZE - 1, .address = (unsigned long)gdt },
		.exit = &vcpu->sw->exit,
	};
	u16 ds, es, fs, gs;

	savesegment(ds, ds);
	savesegment(es, es);
	savesegment(fs, fs);
	savesegment(gs, gs);
	native_store_gdt(&host.gdt);
	store_idt(&host.idt);
	store_ldt(host.ldt);
	rdmsrl(MSR_KERNEL_GS_BASE, host.msrs[3]);
	get_debugreg(dr6, 6);
	/* Branch steps and records, traps of bus locks: the thread's and perf's, not the container's. */
	if (debugctl)
		update_debugctlmsr(0);
	if (boot_cpu_has(X86_FEATURE_RDTSCP)) {
		rdmsrl(MSR_TSC_AUX, tsc_aux);
		wrmsrl(MSR_TSC_AUX, vcpu->number);
	}
	if (host_msrs.xss)
		wrmsrl(MSR_IA32_XSS, 0);
	if (cki_cpu_has_pcids()) {
		host.bridge |= BRIDGE_PCID;
		host.cr3 |= X86_CR3_PCID_NOFLUSH;
	}
	/* LTR takes a TSS that is not busy. Nobody looks at the bit while TR is loaded. */
	((tss_desc *)&gdt[GDT_ENTRY_TSS])->type = DESC_TSS;
	load_cr4(vcpu, cpu, cr4);

	guest_state_enter();
	cki_switch(&host);
	guest_state_exit();

	if (native_read_cr4() != cr4)
		write_cr4(cr4);
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
	if (gs) {
		load_gs_index(gs);
		wrmsrl(MSR_KERNEL_GS_BASE, host.msrs[3]);
	}
	wrfsbase(fs_base);
	set_debugreg(dr6, 6);
	if (debugctl)
		update_debugctlmsr(debugctl);
	local_db_restore(dr7);
}

/*
 * Work on the way to user mode that is no signal (task_work, restartable sequences, throttling by
 * memcg, a live patch's switch of this thread) is done there: what KVM calls for it wants a struct
 * kvm_vcpu, and what that calls is not exported.
 */
bool cki_has_user_work(void)
{
	return read_thread_flags() & (_TIF_NOTIFY_RESUME | _TIF_PATCH_PENDING);
}

/* Linux from 6.13 on has a second flag, by which user mode and guests yield at once. */
#ifdef _TIF_NEED_RESCHED_LAZY
#define TIFS_TO_YIELD (_TIF_NEED_RESCHED | _TIF_NEED_RESCHED_LAZY)
#else
#define TIFS_TO_YIELD _TIF_NEED_RESCHED
#endif

bool cki_has_to_yield(void)
{
	return read_thread_flags() & TIFS_TO_YIELD;
}

/* Its launcher was stopped, or took that long to answer; or this host gave its time to others. */
static noinline void tell_of_absence(struct cki_vcpu *vcpu)
{
	struct cki_clock *clock = vcpu->container->clock;

	if (!PageHWPoison(virt_to_page(clock)))
		WRITE_ONCE(clock->absences, clock->absences + 1);
}

static bool has_other_work(struct cki_vcpu *vcpu)
{
	return cki_has_to_yield() || signal_pending(current) || cki_has_user_work() ||
	       READ_ONCE(vcpu->run->immediate_exit) ||
	       READ_ONCE(vcpu->container->state) == CKI_DEAD;
}

/*
 * One section of interrupts off, and in it one of kernel_fpu_begin to _end, holds it all: what is
 * loaded of the container's is saved again before anybody else can use the FPU or this thread can
 * move. Both ends of the inner one see interrupts off, as they have to be alike (Linux from 6.15 on).
 * Whoever was woken meanwhile gets the CPU behind it, by preempt_enable(): it is the first to see
 * interrupts on.
 */
int cki_world_run(struct cki_vcpu *vcpu)
{
	int error = 0;

	preempt_disable();
	local_irq_disable();
	kernel_fpu_begin();
	/*
	 * From here on, who has something for this vCPU interrupts this CPU (cki_vcpu_kick), and as
	 * interrupts are off until the container runs, the container takes it and leaves. The
	 * barrier is between this store and the loads below: what the other side stored before it
	 * looked at running_on and saw -1, they see.
	 */
	smp_store_mb(vcpu->running_on, smp_processor_id());
	if (vcpu->sw->operation == CKI_OP_RUN && has_other_work(vcpu))
		error = -EAGAIN;
	else if (native_read_cr4() & X86_CR4_VMXE)
		/* KVM has been here, and the bit cannot be cleared before it leaves. */
		error = -ENXIO;
	if (error) {
		WRITE_ONCE(vcpu->running_on, -1);
		kernel_fpu_end();
		local_irq_enable();
		preempt_enable();
		return error;
	}
	/* From here to the end of what the host handles, its time is the container's. */
	vtime_account_guest_enter();
	if (vcpu->sw->operation == CKI_OP_RUN &&
	    unlikely((s64)(rdtsc() - vcpu->could_run) > absence))
		tell_of_absence(vcpu);
	cki_fpu_load(&vcpu->fpu);
	enter(vcpu);
	vcpu->could_run = rdtsc();
	vcpu->run->entries++;
	cki_fpu_save(&vcpu->fpu);
	WRITE_ONCE(vcpu->running_on, -1);
	kernel_fpu_end();
	cki_host_event(vcpu);
	vtime_account_guest_exit();
	local_irq_enable();
	preempt_enable();
	return 0;
}
