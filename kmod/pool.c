// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory for containers: chunks of 2 MiB, taken from the page allocator when the module is loaded,
 * soon after boot, and kept until it goes. It is charged to no memory cgroup: what would charge
 * pages that exist already is not exported. A chunk is dirty from when it comes, be it from the
 * host or from a container, until it has been zeroed: in the background while it is free, at once
 * when it is to be delegated, and before it goes back to the host. So memory is zeroed once, and
 * the end of a container does not wait for it.
 */
#define pr_fmt(fmt) "cki: " fmt

#include <linux/cleanup.h>
#include <linux/gfp.h>
#include <linux/highmem.h>
#include <linux/io.h>
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/numa.h>
#include <linux/page-flags.h>
#include <linux/page_ref.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sort.h>
#include <linux/topology.h>
#include <linux/vmalloc.h>
#include <linux/workqueue.h>

#include <asm/cpufeature.h>

#include "pool.h"

#define CHUNK_ORDER	(21 - PAGE_SHIFT)
/* So often a chunk that somebody looks at is given back before the pool is as large as it is. */
#define REFUSED_MAX	64
/* Pages that the pool does not take, whatever is asked for: the host is to survive a slip. */
#define LEAST_FOR_THE_HOST	((32L << 20) >> PAGE_SHIFT)

struct chunk {
	u64 hpa;
	int node;
	bool used;	/* under pool_lock */
	bool dirty;	/* of a free chunk: under pool_lock; of one in use: who has it */
	bool bad;	/* stays used for ever; under pool_lock */
};

/*
 * chunks, chunk_count, and each chunk's hpa and node change only while the module is loaded and
 * unloaded, under pool_lock, as cki_pool_has may ask meanwhile. What runs in between may read them
 * without it. The lock is the innermost of the module's: none of the others is taken under it.
 */
static DEFINE_MUTEX(pool_lock);
static struct chunk *chunks;
static unsigned int chunk_count;
static unsigned int chunks_used;	/* under pool_lock; cki_pool_free reads it without, for a hint */

/*
 * Memory that nobody has written to is zero, and whoever runs this host need not have it while it is
 * only read. A host of its own gains nothing by reading, and might meet an error that writing covers.
 */
static bool is_zero_already(const void *page)
{
	unsigned long words = PAGE_SIZE / sizeof(u64);
	const void *word = page;
	bool zero;

	if (!boot_cpu_has(X86_FEATURE_HYPERVISOR))
		return false;
	/* One string instruction, as clear_page() is; memchr_inv() takes more than a thousand. */
	asm("repe scasq"
	    : "=@ccz" (zero), "+D" (word), "+c" (words)
	    : "a" (0UL), "m" (*(const u64 (*)[PAGE_SIZE / sizeof(u64)])page));
	return zero;
}

/* False if there is memory in it that the host has found to be broken. */
static bool zero(struct chunk *chunk)
{
	u64 at;

	if (!chunk->dirty)
		return true;
	for (at = chunk->hpa; at < chunk->hpa + CKI_CHUNK_SIZE; at += PAGE_SIZE) {
		if (PageHWPoison(pfn_to_page(PHYS_PFN(at))))
			return false;
		if (!is_zero_already(__va(at)))
			clear_page(__va(at));
	}
	chunk->dirty = false;
	cond_resched();
	return true;
}

static void retire(struct chunk *chunk)
{
	lockdep_assert_held(&pool_lock);
	if (chunk->bad)
		return;
	pr_warn("memory error: the pool does not use its 2 MiB at %llx any more\n", chunk->hpa);
	if (!chunk->used)
		chunks_used++;
	chunk->used = true;
	chunk->bad = true;
}

/* One free chunk at a time, so that who wants the lock waits for no more than that. */
static void zero_free_chunks(struct work_struct *work)
{
	unsigned int i;

	for (i = 0; i < chunk_count; i++) {
		mutex_lock(&pool_lock);
		if (!chunks[i].used && !zero(&chunks[i]))
			retire(&chunks[i]);
		mutex_unlock(&pool_lock);
	}
}

static DECLARE_WORK(zeroing, zero_free_chunks);

static int by_address(const void *a, const void *b)
{
	u64 x = ((const struct chunk *)a)->hpa, y = ((const struct chunk *)b)->hpa;

	return x < y ? -1 : x > y;
}

int cki_pool_init(u64 size)
{
	unsigned int wanted = min(size, (u64)totalram_pages() << PAGE_SHIFT) / CKI_CHUNK_SIZE;
	unsigned int refused = 0;
	int node = NUMA_NO_NODE;

	chunks = vcalloc(max(wanted, 1U), sizeof(*chunks));
	if (!chunks)
		return -ENOMEM;
	while (chunk_count < wanted && si_mem_available() > LEAST_FOR_THE_HOST) {
		struct page *page;

		/* As much of each node's, while it has as much. */
		node = next_node_in(node, node_states[N_MEMORY]);
		page = alloc_pages_node(node, GFP_KERNEL | __GFP_NOWARN | __GFP_NORETRY,
					CHUNK_ORDER);
		if (!page)
			break;
		/*
		 * The first page has a reference, as the others have not. Without, nobody takes one of it
		 * through the launcher's mapping, as KVM would: it would have the page when another
		 * container has it.
		 *
		 * A page without references that is not free is nothing new to who walks memory: all but
		 * the first of any allocation of several pages that is not compound are so. Compaction
		 * does not move them (they are on no LRU list), hibernation saves them, an error in one
		 * is "ignored" (KERNEL_HIGH_ORDER; cki_pool_retire does what there is to do), and
		 * who isolates memory takes them for pages on their way to the free lists: so the module
		 * says no when a block is about to go offline (cki_pool_has).
		 */
		if (!page_ref_freeze(page, 1)) {
			/*
			 * Somebody looks at it at this moment. What is freed later is nobody's meanwhile.
			 * The next may be the same one again.
			 */
			__free_pages(page, CHUNK_ORDER);
			if (++refused == REFUSED_MAX)
				break;
			cond_resched();
			continue;
		}
		mutex_lock(&pool_lock);
		chunks[chunk_count].dirty = true;
		chunks[chunk_count].node = page_to_nid(page);
		chunks[chunk_count++].hpa = page_to_phys(page);
		mutex_unlock(&pool_lock);
		cond_resched();
	}
	mutex_lock(&pool_lock);
	sort(chunks, chunk_count, sizeof(*chunks), by_address, NULL);
	mutex_unlock(&pool_lock);
	if (chunk_count < wanted)
		pr_warn("pool=%lluM: only %lluM could be had\n", size >> 20,
			cki_pool_size() >> 20);
	queue_work(system_unbound_wq, &zeroing);
	return 0;
}

void cki_pool_exit(void)
{
	cancel_work_sync(&zeroing);
	mutex_lock(&pool_lock);
	while (chunk_count) {
		struct chunk *chunk = &chunks[--chunk_count];
		struct page *page = pfn_to_page(PHYS_PFN(chunk->hpa));

		/* What is broken stays allocated, and is seen to be so by who looks at references. */
		page_ref_unfreeze(page, 1);
		if (!chunk->bad && zero(chunk))
			__free_pages(page, CHUNK_ORDER);
	}
	mutex_unlock(&pool_lock);
	vfree(chunks);
}

u64 cki_pool_size(void)
{
	return chunk_count * CKI_CHUNK_SIZE;
}

bool cki_pool_has(u64 start, u64 end)
{
	unsigned int i;

	guard(mutex)(&pool_lock);
	for (i = 0; i < chunk_count; i++)
		if (chunks[i].hpa < end && start < chunks[i].hpa + CKI_CHUNK_SIZE)
			return true;
	return false;
}

u64 cki_pool_free(void)
{
	return (chunk_count - READ_ONCE(chunks_used)) * CKI_CHUNK_SIZE;
}

/* The longest run of free neighbours on a node, or on any: its first index, and its length. */
static unsigned int longest_run(int node, unsigned int *length)
{
	unsigned int i, start = 0, best = 0, run = 0;

	lockdep_assert_held(&pool_lock);
	*length = 0;
	for (i = 0; i < chunk_count; i++) {
		if (chunks[i].used || (node != NUMA_NO_NODE && chunks[i].node != node)) {
			run = 0;
			continue;
		}
		if (!run || chunks[i].hpa != chunks[i - 1].hpa + CKI_CHUNK_SIZE) {
			start = i;
			run = 0;
		}
		if (++run > *length) {
			*length = run;
			best = start;
		}
	}
	return best;
}

static bool is_in(const struct chunk *chunk, const struct cki_segment *segment)
{
	return chunk->hpa - segment->base < segment->size;
}

static bool is_behind(const struct chunk *chunk, const struct cki_segment *segment)
{
	return chunk->hpa >= segment->base + segment->size;
}

static void mark(const struct cki_segment *segment, bool used)
{
	unsigned int i;

	lockdep_assert_held(&pool_lock);
	for (i = 0; i < chunk_count && !is_behind(&chunks[i], segment); i++) {
		if (!is_in(&chunks[i], segment) || chunks[i].bad)
			continue;
		chunks[i].used = used;
		chunks_used += used ? 1 : -1;
	}
}

/*
 * Nobody else touches chunks that are in use. -EAGAIN: one of them was bad and is retired. -EINTR: the
 * caller was killed, and need not wait for what may be hundreds of gigabytes.
 */
static int zero_segment(const struct cki_segment *segment)
{
	unsigned int i;
	int result = 0;

	for (i = 0; i < chunk_count && !is_behind(&chunks[i], segment); i++) {
		if (!is_in(&chunks[i], segment))
			continue;
		if (fatal_signal_pending(current))
			return -EINTR;
		if (zero(&chunks[i]))
			continue;
		mutex_lock(&pool_lock);
		retire(&chunks[i]);
		mutex_unlock(&pool_lock);
		result = -EAGAIN;
	}
	return result;
}

static int segments_by_address(const void *a, const void *b)
{
	u64 x = ((const struct cki_segment *)a)->base, y = ((const struct cki_segment *)b)->base;

	return x < y ? -1 : x > y;
}

/* Takes runs of a node until nothing is left of what is wanted, of the node, or of max. */
static unsigned int take_of(int node, unsigned int *left, struct cki_segment *segments,
			    unsigned int count, unsigned int max)
{
	while (*left && count < max) {
		unsigned int length, first = longest_run(node, &length);

		if (!length)
			break;
		length = min(length, *left);
		segments[count].base = chunks[first].hpa;
		segments[count].size = length * CKI_CHUNK_SIZE;
		mark(&segments[count++], true);
		*left -= length;
		/* A large pool is looked at for a while each time. */
		cond_resched();
	}
	return count;
}

static void take_back(const struct cki_segment *segments, unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count; i++)
		mark(&segments[i], false);
}

int cki_pool_take(u64 size, struct cki_segment *segments, unsigned int max)
{
	unsigned int wanted = size / CKI_CHUNK_SIZE, left, count, i;
	int error = 0;

again:
	left = wanted;
	mutex_lock(&pool_lock);
	count = take_of(numa_node_id(), &left, segments, 0, max);
	count = take_of(NUMA_NO_NODE, &left, segments, count, max);
	if (left) {
		/* The pieces of one node were too many: longer ones lie elsewhere. */
		take_back(segments, count);
		left = wanted;
		count = take_of(NUMA_NO_NODE, &left, segments, 0, max);
	}
	if (left)
		take_back(segments, count);
	mutex_unlock(&pool_lock);
	if (left)
		return -ENOSPC;
	sort(segments, count, sizeof(*segments), segments_by_address, NULL);
	for (i = 0; i < count && error != -EINTR; i++)
		error = zero_segment(&segments[i]) ?: error;
	if (!error)
		return count;
	cki_pool_give(segments, count);
	if (error == -EINTR)
		return error;
	/* Each time with at least one chunk less. */
	error = 0;
	goto again;
}

void cki_pool_give(const struct cki_segment *segments, unsigned int count)
{
	unsigned int i, j;

	mutex_lock(&pool_lock);
	for (i = 0; i < count; i++) {
		for (j = 0; j < chunk_count && !is_behind(&chunks[j], &segments[i]); j++)
			chunks[j].dirty |= is_in(&chunks[j], &segments[i]);
		mark(&segments[i], false);
	}
	mutex_unlock(&pool_lock);
	queue_work(system_unbound_wq, &zeroing);
}

void cki_pool_retire(u64 hpa)
{
	unsigned int i;

	mutex_lock(&pool_lock);
	for (i = 0; i < chunk_count; i++)
		if (hpa - chunks[i].hpa < CKI_CHUNK_SIZE)
			retire(&chunks[i]);
	mutex_unlock(&pool_lock);
}
