/* SPDX-License-Identifier: GPL-2.0-only */
/* Operations of the monitor's, and what is said when it ends a container. */
#ifndef CKI_OPERATE_H
#define CKI_OPERATE_H

#include "vcpu.h"

/*
 * Runs an operation of the monitor's. -EPERM if it refused: sw->status. -EIO if it failed.
 * -ESHUTDOWN if the container has been killed. -ENXIO as cki_world_run.
 */
int cki_vcpu_operate(struct cki_vcpu *vcpu, u64 operation, u64 a, u64 b, u64 c, u64 d);
/* The last words about a container, for the kernel log: what ended it, */
void cki_vcpu_report(struct cki_vcpu *vcpu, const char *what);
/* the same, where there is a fault to describe. */
void cki_vcpu_report_fault(struct cki_vcpu *vcpu, const char *what);
/* A chunk of its memory has broken: it goes to nobody any more. */
void cki_vcpu_retire_broken(struct cki_vcpu *vcpu);

#endif /* CKI_OPERATE_H */
