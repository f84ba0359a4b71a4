/* SPDX-License-Identifier: GPL-2.0-only */
/* Events for a vCPU, from the host's side. */
#ifndef CKI_EVENTS_H
#define CKI_EVENTS_H

#include "vcpu.h"

int cki_vcpu_raise(struct cki_vcpu *vcpu, u32 event);
void cki_vcpu_kick(struct cki_vcpu *vcpu);
bool cki_vcpu_has_events(struct cki_vcpu *vcpu);

#endif /* CKI_EVENTS_H */
