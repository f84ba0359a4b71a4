/* SPDX-License-Identifier: GPL-2.0-only */
/* Structures that begin with their size. */
#ifndef CKI_SIZED_H
#define CKI_SIZED_H

#include <linux/types.h>

/* Reads one that is least bytes long in the oldest version; its size stays what the caller said. */
int cki_read_sized(void *to, size_t size, size_t least, const void __user *from);
/* The size that the caller of one says, without the rest of it. */
int cki_read_size(u32 *given, size_t least, const void __user *from);
/* Writes back as much of it as the caller has room for, given bytes; sets the rest to 0. */
int cki_write_sized(void __user *to, const void *from, size_t size, size_t given);

#endif /* CKI_SIZED_H */
