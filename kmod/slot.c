// SPDX-License-Identifier: GPL-2.0-only
/*
 * Slot 256 of a container's address spaces: page tables of the module's own, made once, never
 * changed while the container runs, and pages for the monitor. Entries carry their A and D bits
 * from the start, so that nothing writes these tables, and no G bit, so that nothing of them
 * survives a world switch. Beside it the bridge, which has the host's kernel half, too.
 */
#include <linux/gfp.h>
#include <linux/list.h>
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/page-flags.h>
#include <linux/preempt.h>
#include <linux/string.h>
#include <asm/pgtable.h>
#include <asm/processor.h>

#include "slot.h"

#define ENTRY_LINK	(_PAGE_PRESENT | _PAGE_RW | _PAGE_ACCESSED)
#define ENTRY_LEAF	(_PAGE_PRESENT | _PAGE_ACCESSED | _PAGE_DIRTY)

/* Of all slots. */
static atomic_t slot_pages = ATOMIC_INIT(0);

/* Guards the list and the upper halves of the bridges on it. Nothing is locked under it. */
static DEFINE_MUTEX(slots_lock);
static LIST_HEAD(slots);

u32 cki_slot_pages(void)
{
	return atomic_read(&slot_pages);
}

static void *new_page(struct cki_slot *slot)
{
	struct page *page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);

	if (!page)
		return NULL;
	atomic_inc(&slot_pages);
	list_add(&page->lru, &slot->pages);
	return page_address(page);
}

static void free_slot_page(struct page *page)
{
	list_del(&page->lru);
	/*
	 * Copies of the guest's data may have passed through. What the host has found to be broken is
	 * not touched, and stays out of the allocator.
	 */
	if (!PageHWPoison(page))
		clear_page(page_address(page));
	__free_page(page);
	atomic_dec(&slot_pages);
}

/* The table that entry index of table refers to, NULL if there is none. */
static u64 *below(const u64 *table, unsigned int index)
{
	return table[index] ? __va(table[index] & PTE_PFN_MASK) : NULL;
}

/* The same, new if there is none. */
static u64 *descend(struct cki_slot *slot, u64 *table, unsigned int index)
{
	if (!table[index]) {
		void *next = new_page(slot);

		if (!next)
			return NULL;
		table[index] = __pa(next) | ENTRY_LINK;
	}
	return below(table, index);
}

static u64 leaf(u64 hpa, unsigned int rights)
{
	u64 entry = hpa | ENTRY_LEAF | (u64)(rights >> 8) << _PAGE_BIT_PKEY_BIT0;

	if (rights & CKI_MAP_WRITE)
		entry |= _PAGE_RW;
	if (!(rights & CKI_MAP_EXEC))
		entry |= _PAGE_NX;
	return entry;
}

static u64 *level2(struct cki_slot *slot, u64 va)
{
	return descend(slot, slot->l3, va >> PUD_SHIFT & 511);
}

/*
 * Gives a bridge the host's kernel half, as it is at this moment. Slot 256 is a hole in it that Linux
 * leaves to hypervisors. The entry of LDTs is this process's own, whose tables may be gone before
 * the container.
 */
static void copy_kernel_half(struct cki_slot *slot)
{
	const u64 *host;
	unsigned int i;

	lockdep_assert_held(&slots_lock);
	/* A thread of the kernel's has borrowed its tables, and may get others when it is switched to. */
	preempt_disable();
	host = __va(read_cr3_pa());
	for (i = 256; i < 512; i++)
		if (i != CKI_SLOT_MONITOR && i != pgd_index(LDT_BASE_ADDR))
			WRITE_ONCE(slot->bridge[i], READ_ONCE(host[i]));
	preempt_enable();
}

int cki_slot_init(struct cki_slot *slot)
{
	INIT_LIST_HEAD(&slot->all);
	INIT_LIST_HEAD(&slot->pages);
	slot->l3 = new_page(slot);
	slot->bridge = new_page(slot);
	if (!slot->l3 || !slot->bridge) {
		cki_slot_free(slot);
		return -ENOMEM;
	}
	slot->bridge[CKI_SLOT_MONITOR] = cki_slot_entry(slot);
	mutex_lock(&slots_lock);
	list_add(&slot->all, &slots);
	copy_kernel_half(slot);
	mutex_unlock(&slots_lock);
	return 0;
}

/*
 * An entry that was not present is in no TLB, so it may appear below a CPU that uses the bridge. The
 * others stay what they were.
 */
void cki_slots_follow_host(void)
{
	struct cki_slot *slot;

	mutex_lock(&slots_lock);
	list_for_each_entry(slot, &slots, all)
		copy_kernel_half(slot);
	mutex_unlock(&slots_lock);
}

void cki_slot_free(struct cki_slot *slot)
{
	struct page *page, *next;

	mutex_lock(&slots_lock);
	list_del_init(&slot->all);
	mutex_unlock(&slots_lock);
	list_for_each_entry_safe(page, next, &slot->pages, lru) {
		free_slot_page(page);
		cond_resched();
	}
}

u64 cki_slot_entry(const struct cki_slot *slot)
{
	return __pa(slot->l3) | ENTRY_LINK;
}

int cki_slot_alloc(struct cki_slot *slot, u64 va, u64 size, unsigned int rights, void **pages)
{
	u64 at;

	for (at = va; at < va + size; at += PAGE_SIZE) {
		u64 *table = level2(slot, at);
		void *page;

		table = table ? descend(slot, table, at >> PMD_SHIFT & 511) : NULL;
		page = table ? new_page(slot) : NULL;
		if (!page)
			return -ENOMEM;
		table[at >> PAGE_SHIFT & 511] = leaf(__pa(page), rights);
		if (pages)
			*pages++ = page;
		cond_resched();
	}
	return 0;
}

/* Gives back the page or table that an entry refers to. */
static void drop(u64 *table, unsigned int index)
{
	free_slot_page(virt_to_page(below(table, index)));
	table[index] = 0;
}

static void drop_if_empty(u64 *table, unsigned int index)
{
	if (!memchr_inv(below(table, index), 0, PAGE_SIZE))
		drop(table, index);
}

void cki_slot_undo(struct cki_slot *slot, u64 va, u64 size)
{
	u64 at;

	for (at = va; at < va + size; at += PAGE_SIZE) {
		unsigned int l3 = at >> PUD_SHIFT & 511, l2 = at >> PMD_SHIFT & 511;
		u64 *tables = below(slot->l3, l3);
		u64 *table = tables ? below(tables, l2) : NULL;

		if (table && table[at >> PAGE_SHIFT & 511])
			drop(table, at >> PAGE_SHIFT & 511);
		/* It may be that one was all that could be had. */
		if (table)
			drop_if_empty(tables, l2);
		if (tables)
			drop_if_empty(slot->l3, l3);
	}
}

int cki_slot_map_chunk(struct cki_slot *slot, u64 va, u64 hpa, unsigned int rights)
{
	u64 *table = level2(slot, va);

	if (!table)
		return -ENOMEM;
	table[va >> PMD_SHIFT & 511] = leaf(hpa, rights) | _PAGE_PSE;
	return 0;
}
