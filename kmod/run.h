/* SPDX-License-Identifier: GPL-2.0-only */
/* Running a guest. */
#ifndef CKI_RUN_H
#define CKI_RUN_H

#include "vcpu.h"

/* Until the launcher has something to do: 0, or an error. */
int cki_vcpu_run(struct cki_vcpu *vcpu);

#endif /* CKI_RUN_H */
