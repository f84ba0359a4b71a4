/* SPDX-License-Identifier: GPL-2.0-only */
/* What the host's CPUs and kernel have, and lack. */
#ifndef CKI_CPU_H
#define CKI_CPU_H

#include <linux/types.h>
#include <asm/cpufeature.h>

/* What this CPU and kernel lack, CKI_MISSING_*. */
u32 cki_cpu_missing(void);
/* CKI_MISSING_VMX as long as KVM has the CPUs. */
u32 cki_cpu_taken(void);
/* Finds out what the functions below return. */
void cki_cpu_init(void);
u32 cki_cpu_tsc_khz(void);

static inline bool cki_cpu_has_pcids(void)
{
	return cpu_feature_enabled(X86_FEATURE_PCID);
}

#endif /* CKI_CPU_H */
