/* SPDX-License-Identifier: GPL-2.0-only */
/* Descriptors of vCPUs. */
#ifndef CKI_VCPU_DESCRIPTOR_H
#define CKI_VCPU_DESCRIPTOR_H

#include "container.h"

/* CKI_CREATE_VCPU; the container's lock is held. */
int cki_vcpu_create(struct cki_container *container, u32 number);

#endif /* CKI_VCPU_DESCRIPTOR_H */
