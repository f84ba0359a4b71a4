/* SPDX-License-Identifier: GPL-2.0-only */
/* Descriptors of containers. */
#ifndef CKI_CONTAINER_DESCRIPTOR_H
#define CKI_CONTAINER_DESCRIPTOR_H

#include <linux/compiler_types.h>

/* CKI_CREATE_CONTAINER. */
int cki_container_create(void __user *argument);

#endif /* CKI_CONTAINER_DESCRIPTOR_H */
