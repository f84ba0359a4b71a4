// SPDX-License-Identifier: GPL-2.0-only
/*
 * The FPU state of a vCPU: all that XCR0 of the host has, in an XSAVE area of its own. Supervisor
 * state (XSS) is none of the container's.
 */
#include <linux/cpufeature.h>
#include <linux/slab.h>
#include <asm/fpu/api.h>
#include <asm/fpu/xcr.h>
#include <asm/fpu/xstate.h>
#include <asm/msr.h>
#include <asm/pkru.h>

#include "internal.h"

static unsigned int area_size;
static bool has_tiles;
/* XSTATE_BV is 0: a load from it is the initial state. */
static struct xregs_state initial __aligned(64);

void cki_fpu_setup(void)
{
	unsigned int eax, ebx, ecx, edx;

	cpuid_count(0xd, 0, &eax, &ebx, &ecx, &edx);
	area_size = ebx;
	if (boot_cpu_has(X86_FEATURE_OSXSAVE))
		has_tiles = xgetbv(XCR_XFEATURE_ENABLED_MASK) & XFEATURE_MASK_XTILE;
}

int cki_fpu_alloc(struct cki_vcpu *vcpu)
{
	struct xregs_state *state;

	vcpu->fpu_allocation = kzalloc(area_size + 64, GFP_KERNEL_ACCOUNT);
	if (!vcpu->fpu_allocation)
		return -ENOMEM;
	vcpu->fpu = PTR_ALIGN(vcpu->fpu_allocation, 64);
	/* XSTATE_BV is 0: all components start in their initial state, MXCSR as stored here. */
	state = vcpu->fpu;
	state->i387.mxcsr = MXCSR_DEFAULT;
	return 0;
}

void cki_fpu_free(struct cki_vcpu *vcpu)
{
	kfree_sensitive(vcpu->fpu_allocation);
}

static void load(const void *area, u64 components)
{
	asm volatile("xrstor64 (%0)"
		     :: "r"(area), "a"((u32)components), "d"((u32)(components >> 32)) : "memory");
}

/*
 * With a bit of IA32_XFD set, XSAVE would leave out the tiles and their first use would fault. The
 * thread's value of it comes back behind the save.
 */
void cki_fpu_load(struct cki_vcpu *vcpu)
{
	if (cpu_feature_enabled(X86_FEATURE_OSPKE))
		vcpu->host_pkru = rdpkru();
	if (cpu_feature_enabled(X86_FEATURE_XFD)) {
		rdmsrl(MSR_IA32_XFD, vcpu->host_xfd);
		if (vcpu->host_xfd)
			wrmsrl(MSR_IA32_XFD, 0);
	}
	load(vcpu->fpu, -1);
}

void cki_fpu_save(struct cki_vcpu *vcpu)
{
	asm volatile("xsave64 (%0)" :: "r"(vcpu->fpu), "a"(-1), "d"(-1) : "memory");
	/* A thread that may not use tiles has no state to load over them. */
	if (has_tiles)
		load(&initial, XFEATURE_MASK_XTILE);
	if (cpu_feature_enabled(X86_FEATURE_XFD) && vcpu->host_xfd)
		wrmsrl(MSR_IA32_XFD, vcpu->host_xfd);
	/* Mostly the same as the container's: both kernels begin with the same value. */
	write_pkru(vcpu->host_pkru);
}
