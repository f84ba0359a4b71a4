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

#include "fpu.h"

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

int cki_fpu_alloc(struct cki_fpu *fpu)
{
	struct xregs_state *state;

	fpu->allocation = kzalloc(area_size + 64, GFP_KERNEL_ACCOUNT);
	if (!fpu->allocation)
		return -ENOMEM;
	fpu->state = PTR_ALIGN(fpu->allocation, 64);
	/* XSTATE_BV is 0: all components start in their initial state, MXCSR as stored here. */
	state = fpu->state;
	state->i387.mxcsr = MXCSR_DEFAULT;
	return 0;
}

void cki_fpu_free(struct cki_fpu *fpu)
{
	kfree_sensitive(fpu->allocation);
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
void cki_fpu_load(struct cki_fpu *fpu)
{
	if (cpu_feature_enabled(X86_FEATURE_OSPKE))
		fpu->host_pkru = rdpkru();
	if (cpu_feature_enabled(X86_FEATURE_XFD)) {
		rdmsrl(MSR_IA32_XFD, fpu->host_xfd);
		if (fpu->host_xfd)
			wrmsrl(MSR_IA32_XFD, 0);
	}
	load(fpu->state, -1);
}

void cki_fpu_save(struct cki_fpu *fpu)
{
	asm volatile("xsave64 (%0)" :: "r"(fpu->state), "a"(-1), "d"(-1) : "memory");
	/* A thread that may not use tiles has no state to load over them. */
	if (has_tiles)
		load(&initial, XFEATURE_MASK_XTILE);
	if (cpu_feature_enabled(X86_FEATURE_XFD) && fpu->host_xfd)
		wrmsrl(MSR_IA32_XFD, fpu->host_xfd);
	/* Mostly the same as the container's: both kernels begin with the same value. */
	write_pkru(fpu->host_pkru);
}
