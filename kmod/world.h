/* SPDX-License-Identifier: GPL-2.0-only */
/* World switch. */
#ifndef CKI_WORLD_H
#define CKI_WORLD_H

#include "vcpu.h"

void cki_world_init(void);
/*
 * Enters the monitor with sw->operation and returns when it leaves: the host's state is back,
 * interrupts are on, and what interrupted the container has been handled. 0, or, with nothing
 * entered, -EAGAIN if something has to be done before, -ENXIO if this CPU is in VMX operation.
 */
int cki_world_run(struct cki_vcpu *vcpu);
/* The scheduler wants this CPU for somebody else. */
bool cki_has_to_yield(void);
/* Something is to be done on this thread's way to user mode. */
bool cki_has_user_work(void);

#endif /* CKI_WORLD_H */
