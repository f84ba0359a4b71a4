// SPDX-License-Identifier: GPL-2.0-only
/* What the host's CPUs and kernel have, and lack. */
#define pr_fmt(fmt) "cki: " fmt

#include <linux/cpufeature.h>
#include <linux/jiffies.h>
#include <linux/math64.h>
#include <linux/mem_encrypt.h>
#include <linux/sched.h>
#include <asm/fpu/xcr.h>
#include <asm/fpu/xstate.h>
#include <asm/msr.h>
#include <asm/processor.h>
#include <asm/special_insns.h>
#include <asm/tsc.h>

#include <cki/abi.h>
#include <linux/cki.h>

#include "cpu.h"

/*
 * State of user mode that XCR0 has switched on and the guest's kernel knows: x87, SSE, AVX, MPX,
 * AVX-512, PKRU. Of what it does not know, one program of a container would have what another left there.
 */
#define KNOWN_COMPONENTS	(XFEATURE_MASK_FPSSE | XFEATURE_MASK_YMM | XFEATURE_MASK_BNDREGS | \
				 XFEATURE_MASK_BNDCSR | XFEATURE_MASK_AVX512 | XFEATURE_MASK_PKRU)

/* Linux has no name for it (SDM Vol. 2A, CPUID, leaf 7, ECX). */
#define CPUID_7_ECX_PKS	BIT(31)

static u32 guest_tsc_khz;

static const struct {
	unsigned int feature;
	const char *name;
} needed[] = {
	{ X86_FEATURE_NX, "NX" },
	{ X86_FEATURE_SMEP, "SMEP" },
	{ X86_FEATURE_SMAP, "SMAP" },
	{ X86_FEATURE_UMIP, "UMIP" },
	{ X86_FEATURE_FSGSBASE, "FSGSBASE" },
	{ X86_FEATURE_XSAVE, "XSAVE" },
	{ X86_FEATURE_TSC, "TSC" },
};

static bool has_extension(void)
{
	unsigned int eax, ebx, ecx, edx;

	/* A CPU without the leaf answers with another one's contents: hence the text. */
	cpuid(CKI_CPUID_LEAF, &eax, &ebx, &ecx, &edx);
	if (eax < CKI_CPUID_FEATURES_LEAF || ebx != CKI_CPUID_VENDOR_EBX ||
	    ecx != CKI_CPUID_VENDOR_ECX || edx != CKI_CPUID_VENDOR_EDX)
		return false;
	cpuid(CKI_CPUID_FEATURES_LEAF, &eax, &ebx, &ecx, &edx);
	/* Version 1 did not hold events back: no monitor is safe on it. */
	return (eax & CKI_CPUID_FEATURES_EAX_CKI) && ecx >= CKI_ISA_VERSION;
}

u32 cki_cpu_missing(void)
{
	unsigned int eax, ebx, ecx, edx;
	unsigned int i;
	u64 star, components;
	u32 missing = 0;

	cpuid_count(7, 0, &eax, &ebx, &ecx, &edx);
	if (!(ecx & CPUID_7_ECX_PKS))
		missing |= CKI_MISSING_PKS;
	if (!has_extension())
		missing |= CKI_MISSING_EXTENSION;
	for (i = 0; i < ARRAY_SIZE(needed); i++) {
		if (!boot_cpu_has(needed[i].feature)) {
			pr_warn("the CPU lacks %s\n", needed[i].name);
			missing |= CKI_MISSING_CPU;
		}
	}
	/*
	 * Containers get the host's TSC as it is, without an offset. One that the kernel could not
	 * calibrate is unstable to it, too; that one is measured.
	 */
	if (tsc_khz && check_tsc_unstable()) {
		pr_warn("the kernel found the TSC unstable\n");
		missing |= CKI_MISSING_CPU;
	}
	rdmsrl(MSR_STAR, star);
	if (star != CKI_STAR_HIGH << 32) {
		pr_warn("the kernel has other selectors in IA32_STAR than containers\n");
		missing |= CKI_MISSING_KERNEL;
	}
	components = boot_cpu_has(X86_FEATURE_OSXSAVE) ? xgetbv(XCR_XFEATURE_ENABLED_MASK) : 0;
	if (components & ~KNOWN_COMPONENTS) {
		pr_warn("the CPU has state that guests would not switch (XCR0 is %llx): boot with clearcpuid=amx_tile, or the like\n",
			components);
		missing |= CKI_MISSING_CPU;
	}
	if (pgtable_l5_enabled() || cpu_feature_enabled(X86_FEATURE_FRED) ||
	    cpu_feature_enabled(X86_FEATURE_XENPV) || sme_me_mask)
		missing |= CKI_MISSING_KERNEL;
	/* Then PKRS is not 0 in it, as the switch takes for granted. */
	if (native_read_cr4() & CKI_CR4_PKS) {
		pr_warn("the kernel uses protection keys for supervisor pages (CR4.PKS) itself\n");
		missing |= CKI_MISSING_KERNEL;
	}
	/* A guest chooses the size of a page, and when: the machine check would be the host's. */
	if (boot_cpu_has_bug(X86_BUG_ITLB_MULTIHIT)) {
		pr_warn("the CPU has iTLB multihit: a guest kernel could make a machine check\n");
		missing |= CKI_MISSING_CPU;
	}
	/* Linux from 6.15 on gives processes the PCIDs of containers then. */
#ifdef X86_FEATURE_INVLPGB
	if (cpu_feature_enabled(X86_FEATURE_INVLPGB)) {
		pr_warn("the kernel flushes TLBs by broadcast, with PCIDs that are containers'\n");
		missing |= CKI_MISSING_KERNEL;
	}
#endif
	/* What a guest's table maps to nowhere, or not for it, such a CPU reads all the same. */
	if (boot_cpu_has_bug(X86_BUG_L1TF) || boot_cpu_has_bug(X86_BUG_CPU_MELTDOWN))
		missing |= CKI_MISSING_NO_LEAKS;
	return missing;
}

/*
 * KVM has the bit set on all CPUs: as long as kvm_intel is loaded, or, with enable_virt_at_load=0,
 * while there is a virtual machine.
 */
u32 cki_cpu_taken(void)
{
	return native_read_cr4() & X86_CR4_VMXE ? CKI_MISSING_VMX : 0;
}

/*
 * What the kernel found out, or, where it had nothing to compare the TSC with (a microvm without
 * PIT and HPET), what a tenth of a second shows.
 */
void cki_cpu_init(void)
{
	unsigned long edge;
	u64 start;

	guest_tsc_khz = tsc_khz;
	if (guest_tsc_khz)
		return;
	edge = jiffies + 1;
	while (time_before(jiffies, edge))
		cpu_relax();
	start = rdtsc();
	edge = jiffies + msecs_to_jiffies(100);
	while (time_before(jiffies, edge))
		cond_resched();
	guest_tsc_khz = div_u64(rdtsc() - start, 100);
	pr_info("measured TSC: %u kHz\n", guest_tsc_khz);
}

u32 cki_cpu_tsc_khz(void)
{
	return guest_tsc_khz;
}
