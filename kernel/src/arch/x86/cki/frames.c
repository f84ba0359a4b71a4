// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which frames are page tables, and of what kind.
 *
 * The class of a frame is fixed while it is delegated, so tables are in the
 * container's Pt ranges only. A frame becomes a table when it is linked or first
 * written, and stops being one when it is freed. The monitor clears it when it is
 * declared.
 */
#include <linux/init.h>
#include <linux/memblock.h>
#include <linux/mm.h>

#include <asm/pgtable.h>
#include <asm/sections.h>

#include "guest.h"

extern char __cki_pt_start[], __cki_pt_end[];

struct pt_range {
	u64 base;
	u64 size;
	/* Of its first frame in kinds[]. */
	u32 first;
	/* hpa from which frames were never handed out. */
	u64 next;
};

static struct pt_range pt_ranges[CKI_CLASS_RANGES_MAX];
static unsigned int pt_range_count __ro_after_init;
/* 0, or the kind each frame was declared as. */
static u8 kinds[CKI_PT_FRAMES_MAX];

static struct pt_range *range_of(u64 hpa)
{
	unsigned int i;

	for (i = 0; i < pt_range_count; i++) {
		if (hpa - pt_ranges[i].base < pt_ranges[i].size)
			return &pt_ranges[i];
	}
	return NULL;
}

static u8 *kind_of(u64 hpa)
{
	struct pt_range *range = range_of(hpa);

	return &kinds[range->first + ((hpa - range->base) >> PAGE_SHIFT)];
}

bool cki_table_frame(u64 hpa)
{
	return range_of(hpa);
}

unsigned int cki_table_kind(u64 entry)
{
	return *kind_of(entry & PAGE_MASK);
}

/* The range that pointer is in, as seen by the kernel; or NULL. */
static __always_inline struct pt_range *range_at(const void *pointer, u64 *entry)
{
	unsigned long address = (unsigned long)pointer;

	/* vmalloc addresses too: a pmd_t on a stack, for example, is plain memory. */
	if (likely(address >= PAGE_OFFSET && address < VMALLOC_START))
		*entry = address - PAGE_OFFSET;
	else if (address >= (unsigned long)__cki_pt_start &&
		 address < (unsigned long)__cki_pt_end)
		*entry = __pa_symbol(address);
	else
		return NULL;

	return range_of(*entry);
}

bool cki_table_entry(const void *pointer, u64 *entry)
{
	return range_at(pointer, entry);
}

static void declare(u64 hpa, unsigned int kind, u8 *declared)
{
	long status;

	hpa &= PAGE_MASK;
	status = cki_call(CKI_KSM_TABLE_DECLARE, hpa, kind, 0, 0);
	if (status == -(long)CKI_E_STALE) {
		cki_must_call(CKI_KSM_FLUSH, CKI_FLUSH_EVERYWHERE, 0);
		status = cki_call(CKI_KSM_TABLE_DECLARE, hpa, kind, 0, 0);
	}
	if (status)
		cki_refused(CKI_KSM_TABLE_DECLARE, hpa, kind, status);

	*declared = kind;
}

void cki_table_declare(u64 hpa, unsigned int kind)
{
	u8 *declared = kind_of(hpa);

	if (!*declared)
		declare(hpa, kind, declared);
}

bool cki_table_entry_as(const void *pointer, unsigned int kind, u64 *entry)
{
	struct pt_range *range = range_at(pointer, entry);
	u8 *declared;

	if (!range)
		return false;

	declared = &kinds[range->first + ((*entry - range->base) >> PAGE_SHIFT)];
	if (unlikely(!*declared))
		declare(*entry, kind, declared);
	return true;
}

void cki_table_release(u64 hpa)
{
	u8 *declared = kind_of(hpa);

	if (!*declared)
		return;
	cki_must_call(CKI_KSM_TABLE_RELEASE, hpa, 0);
	*declared = 0;
}

u64 cki_table_fresh(void)
{
	unsigned int i;

	for (i = 0; i < pt_range_count; i++) {
		struct pt_range *range = &pt_ranges[i];
		u64 hpa = range->next;

		if (hpa < range->base + range->size) {
			range->next += PAGE_SIZE;
			return hpa;
		}
	}
	return 0;
}

unsigned int cki_table_count(unsigned int *all)
{
	unsigned int i, fresh = 0;

	*all = 0;
	for (i = 0; i < pt_range_count; i++) {
		const struct pt_range *range = &pt_ranges[i];

		*all += range->size >> PAGE_SHIFT;
		fresh += (range->base + range->size - READ_ONCE(range->next)) >>
			 PAGE_SHIFT;
	}
	return fresh;
}

/* Before memblock knows the memory: nothing but Data may be allocated from it. */
void __init cki_table_reserve(void)
{
	unsigned int i;

	for (i = 0; i < cki_start_info->class_count; i++)
		memblock_reserve(cki_start_info->classes[i].base,
				 cki_start_info->classes[i].size);
}

void __init cki_table_init(void)
{
	u64 image_start = __pa_symbol(__cki_pt_start);
	u64 image_end = __pa_symbol(__cki_pt_end);
	u64 boot_start = cki_start_info->boot_tables_hpa;
	u64 boot_end = boot_start + cki_start_info->boot_tables_size;
	u32 frames = 0;
	unsigned int i;
	u64 hpa;

	for (i = 0; i < cki_start_info->class_count; i++) {
		const struct cki_class_range *class = &cki_start_info->classes[i];
		struct pt_range *range = &pt_ranges[pt_range_count];

		if (class->class != CKI_CLASS_PT)
			continue;

		range->base = class->base;
		range->size = min_t(u64, class->size,
				    (CKI_PT_FRAMES_MAX - frames) << PAGE_SHIFT);
		range->first = frames;
		range->next = range->base;
		/* Image and boot tables are at the start of their ranges, in any order. */
		if (image_start >= range->base &&
		    image_start < range->base + range->size)
			range->next = max(range->next, image_end);
		if (boot_start >= range->base &&
		    boot_start < range->base + range->size)
			range->next = max(range->next, boot_end);
		frames += range->size >> PAGE_SHIFT;
		pt_range_count++;
	}

	for (hpa = boot_start; hpa < boot_end; hpa += PAGE_SIZE)
		*kind_of(hpa) = CKI_KIND_BOOT;
}
