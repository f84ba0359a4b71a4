/* SPDX-License-Identifier: GPL-2.0-only */
/* The FPU state of a vCPU. */
#ifndef CKI_FPU_H
#define CKI_FPU_H

#include <linux/types.h>

struct cki_fpu {
	void *state;		/* XSAVE area */
	void *allocation;	/* in which it is, aligned */
	u32 host_pkru;
};

void cki_fpu_setup(void);
int cki_fpu_alloc(struct cki_fpu *fpu);
void cki_fpu_free(struct cki_fpu *fpu);
/* Inside of kernel_fpu_begin and _end, interrupts off. */
void cki_fpu_load(struct cki_fpu *fpu);
void cki_fpu_save(struct cki_fpu *fpu);

#endif /* CKI_FPU_H */
