/* SPDX-License-Identifier: GPL-2.0-only */
/* Starting a container. */
#ifndef CKI_START_H
#define CKI_START_H

#include <linux/fs.h>

#include "container.h"

/* CKI_START; file is the container's. */
int cki_container_start(struct cki_container *container, struct file *file, void __user *argument);

#endif /* CKI_START_H */
