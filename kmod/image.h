/* SPDX-License-Identifier: GPL-2.0-only */
/* The monitor's image, as read from the host's file system. */
#ifndef CKI_IMAGE_H
#define CKI_IMAGE_H

#include "slot.h"

int cki_image_load(const char *path);
void cki_image_unload(void);
int cki_image_map(struct cki_slot *slot);

#endif /* CKI_IMAGE_H */
