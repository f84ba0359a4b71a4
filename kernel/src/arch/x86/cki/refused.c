// SPDX-License-Identifier: GPL-2.0-only
/*
 * Entries that the monitor refuses.
 *
 * A guest maps nothing but its own memory: there is no device to be reached by an
 * address. Whoever asks for something else is told so by an error, because
 * cki_may_map() is asked on the way (remap_pfn_range(), vmf_insert_pfn(),
 * ioremap(), memremap(), early_ioremap()). What comes by a way without errors,
 * and is found out by the monitor only, ends here: a process pays for it, the
 * kernel goes on.
 */
#include <linux/mm.h>
#include <linux/moduleloader.h>
#include <linux/overflow.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>

#include <asm/fixmap.h>
#include <asm/pgtable.h>

#include "guest.h"

static bool overlaps(u64 a, u64 a_size, u64 b, u64 b_size)
{
	return a < b + b_size && b < a + a_size;
}

bool cki_may_map_range(phys_addr_t start, size_t size)
{
	const struct cki_class_range *class;
	const struct cki_segment *segment;
	unsigned int i;
	u64 end;

	if (check_add_overflow(start, size, &end))
		return false;

	for (i = 0; i < cki_start_info->segment_count; i++) {
		segment = &cki_start_info->segments[i];
		if (start >= segment->base && end <= segment->base + segment->size)
			break;
	}
	if (i == cki_start_info->segment_count)
		return false;

	for (i = 0; i < cki_start_info->class_count; i++) {
		class = &cki_start_info->classes[i];
		if (overlaps(start, size, class->base, class->size))
			return false;
	}
	return true;
}

/*
 * Stands for all frames that the kernel maps for itself and cannot have. It reads
 * as zero, or as what was written by way of another such mapping.
 */
static u8 nothing[PAGE_SIZE] __page_aligned_bss;

static bool is_leaf(unsigned int kind, u64 value)
{
	unsigned int level = kind & ~CKI_TABLE_USER;

	/* No CPU state depends on the level of what the loader made. */
	if (kind == CKI_KIND_BOOT)
		return true;
	return level == CKI_TABLE_L1 ||
	       (level < CKI_TABLE_L4 && (value & _PAGE_PSE));
}

static u64 exchange(u64 entry, u64 value)
{
	u64 old;
	long status = cki_call_value(CKI_KSM_ENTRY_EXCHANGE, entry, value, 0, 0, &old);

	if (status)
		cki_refused(CKI_KSM_ENTRY_EXCHANGE, entry, value, status);
	return old;
}

u64 cki_entry_refused(u64 entry, u64 value, long status)
{
	unsigned int kind = cki_table_kind(entry);
	u64 *pointer = __va(entry);

	/* Tables are this kernel's own business, there is nobody else to blame. */
	if (!is_leaf(kind, value))
		cki_refused(CKI_KSM_ENTRY_SET, entry, value, status);

	pr_warn_ratelimited("cki: %s[%d]: the monitor refused a mapping of %#llx: error %ld\n",
			    current->comm, task_pid_nr(current),
			    value & PTE_PFN_MASK, -status);

	if (kind & CKI_TABLE_USER) {
		/*
		 * What was mapped before may be about to be freed. If the
		 * process is not the current one, it faults and comes here itself.
		 */
		if (current->mm && !(current->flags & PF_KTHREAD))
			force_fatal_sig(SIGBUS);
		return exchange(entry, 0);
	}

	WARN_ON_ONCE(1);
	if (status == -(long)CKI_E_RANGE && kind == CKI_TABLE_L1)
		return exchange(entry, (value & ~PTE_PFN_MASK) | __pa_symbol(nothing));

	/* Rights that it cannot have: the entry keeps those that it has. */
	return READ_ONCE(*pointer);
}

/* There is no error to return: what is not there is nothing, for reading only. */
void cki_set_fixmap(unsigned int index, phys_addr_t phys, pgprot_t flags)
{
	if (pgprot_val(flags) && !cki_may_map_range(phys & PAGE_MASK, PAGE_SIZE)) {
		pr_warn_once("cki: no frame %#llx for fixmap entry %u\n",
			     (u64)phys, index);
		phys = __pa_symbol(nothing);
		flags = PAGE_KERNEL_RO;
	}
	native_set_fixmap(index, phys, flags);
}

/* Their text would have to become executable; refuse them while there is an error to return. */
bool module_elf_check_arch(Elf_Ehdr *hdr)
{
	return !cki_guest();
}
