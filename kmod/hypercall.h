/* SPDX-License-Identifier: GPL-2.0-only */
/* Hypercalls. */
#ifndef CKI_HYPERCALL_H
#define CKI_HYPERCALL_H

#include "vcpu.h"

/* Handles KSM_EXIT_HYPERCALL. 1: run->exit_reason is set, 0: run on, or an error. */
int cki_hypercall(struct cki_vcpu *vcpu);
/* What the timer of a new vCPU does. */
void cki_timer_setup(struct cki_vcpu *vcpu);

#endif /* CKI_HYPERCALL_H */
