/* SPDX-License-Identifier: GPL-2.0-only */
/* Memory for containers: 2 MiB chunks that the module took from the page allocator. */
#ifndef CKI_POOL_H
#define CKI_POOL_H

#include <linux/types.h>

#include <cki/abi.h>

int cki_pool_init(u64 size);
void cki_pool_exit(void);
u64 cki_pool_size(void);
u64 cki_pool_free(void);
/* Whether any of the memory from start to end is the pool's, in use or not. */
bool cki_pool_has(u64 start, u64 end);
/*
 * Takes size bytes, zeroed, as at most max segments in ascending order, if possible of this CPU's
 * NUMA node. Returns their number; -ENOSPC, or -EINTR when the caller was killed meanwhile.
 */
int cki_pool_take(u64 size, struct cki_segment *segments, unsigned int max);
/* Gives them back; they are zeroed before anybody else gets them. */
void cki_pool_give(const struct cki_segment *segments, unsigned int count);
/* Memory with an error: the chunk is given to nobody any more, neither container nor host. */
void cki_pool_retire(u64 hpa);

#endif /* CKI_POOL_H */
