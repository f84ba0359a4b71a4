/* SPDX-License-Identifier: GPL-2.0-only */
/* What made a container leave and is the host's to handle. */
#ifndef CKI_HOST_H
#define CKI_HOST_H

#include "vcpu.h"

/* Has the host handle it. Interrupts are off. */
void cki_host_event(struct cki_vcpu *vcpu);

/* switch.S */
asmlinkage void cki_call_interrupt_handler(unsigned long handler);

#endif /* CKI_HOST_H */
