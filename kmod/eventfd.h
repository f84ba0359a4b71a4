/* SPDX-License-Identifier: GPL-2.0-only */
/* Eventfds: in the place of an exit to the launcher, and of a call of its. */
#ifndef CKI_EVENTFD_H
#define CKI_EVENTFD_H

#include <linux/cki.h>

#include "container.h"

/* CKI_IOEVENTFD. */
int cki_ioeventfd_add(struct cki_container *container, const struct cki_ioeventfd *wanted);
/* CKI_IRQFD. */
int cki_irqfd_add(struct cki_container *container, const struct cki_irqfd *wanted);
/* Signals who waits for this write of the guest's, by its vCPU's thread; whether somebody does. */
bool cki_ioeventfd_signal(const struct cki_container *container, u64 device, u64 offset, u64 size,
			  u64 value);

#endif /* CKI_EVENTFD_H */
