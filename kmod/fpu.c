// SPDX-License-Identifier: GPL-2.0-only
/*
 * The FPU state of a vCPU: all that XCR0 of the host has, in an XSAVE area of its own. That is what
 * the guest's kernel knows, too (cpu.c), so there are no tiles and IA32_XFD does not matter.
 * Supervisor state (XSS) is none of the container's.
 */
#include <linux/cpufeature.h>
#include <linux/slab.h>
#include <asm/fpu/api.h>
#include <asm/fpu/xstate.h>
#include <asm/pkru.h>

#include "fpu.h"

static unsigned int area_size;

void cki_fpu_setup(void)
{
	unsigned int eax, ebx, ecx, edx;

	cpuid_count(0xd, 0, &eax, &ebx, &ecx, &edx);
	area_size = ebx;
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

void cki_fpu_load(struct cki_fpu *fpu)
{
	if (cpu_feature_enabled(X86_FEATURE_OSPKE))
		fpu->host_pkru = rdpkru();
	asm volatile("xrstor64 (%0)" :: "r"(fpu->state), "a"(-1), "d"(-1) : "memory");
}

void cki_fpu_save(struct cki_fpu *fpu)
{
	asm volatile("xsave64 (%0)" :: "r"(fpu->state), "a"(-1), "d"(-1) : "memory");
	/* Mostly the same as the container's: both kernels begin with the same value. */
	write_pkru(fpu->host_pkru);
}
