// SPDX-License-Identifier: GPL-2.0-only
/* Structures that begin with their size: linux/cki.h says how they may grow. */
#include <linux/mm.h>
#include <linux/uaccess.h>

#include "sized.h"

#define SIZE_MAX_GIVEN	PAGE_SIZE

int cki_read_size(u32 *given, size_t least, const void __user *from)
{
	if (get_user(*given, (const u32 __user *)from))
		return -EFAULT;
	if (*given < least)
		return -EINVAL;
	return *given > SIZE_MAX_GIVEN ? -E2BIG : 0;
}

int cki_read_sized(void *to, size_t size, size_t least, const void __user *from)
{
	u32 given;
	int error = cki_read_size(&given, least, from);

	if (error)
		return error;
	error = copy_struct_from_user(to, size, from, given);
	/* Not what it has become meanwhile. */
	*(u32 *)to = given;
	return error;
}

int cki_write_sized(void __user *to, const void *from, size_t size, size_t given)
{
	if (copy_to_user(to, from, min(size, given)))
		return -EFAULT;
	return given > size && clear_user(to + size, given - size) ? -EFAULT : 0;
}
