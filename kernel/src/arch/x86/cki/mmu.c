// SPDX-License-Identifier: GPL-2.0-only
/*
 * pv_ops.mmu: page-table entries are written by the monitor.
 *
 * "pointer" is where the kernel sees an entry, "entry" its hpa, by which the monitor
 * knows it, and "value" what it holds or shall hold.
 */
#include <linux/mm.h>
#include <linux/percpu.h>

#include <asm/paravirt.h>
#include <asm/pgalloc.h>
#include <asm/pgtable.h>
#include <asm/tlb.h>
#include <asm/tlbflush.h>

#include "guest.h"

/* Memory is write-back and nothing is global, whatever was asked for. */
#define REFUSED_BITS	(_PAGE_PWT | _PAGE_PCD | _PAGE_GLOBAL)

static DEFINE_PER_CPU(unsigned long, root);

static void set_entry(void *pointer, u64 value, unsigned int kind)
{
	long status;
	u64 entry;

	/* Tables that boot code fills before it links them are the kernel's. */
	if (!cki_table_entry_as(pointer, kind, &entry)) {
		WRITE_ONCE(*(u64 *)pointer, value);
		return;
	}

	if (value & _PAGE_PRESENT)
		value &= ~REFUSED_BITS;

	if (this_cpu_read(cki_lazy) && cki_batch_add(entry, value))
		return;

	status = cki_call(CKI_KSM_ENTRY_SET, entry, value, 0, 0);
	if (unlikely(status))
		cki_entry_refused(entry, value, status);
}

static void cki_set_pte(pte_t *ptep, pte_t pte)
{
	set_entry(ptep, native_pte_val(pte), CKI_TABLE_L1);
}

static void cki_set_pmd(pmd_t *pmdp, pmd_t pmd)
{
	set_entry(pmdp, native_pmd_val(pmd), CKI_TABLE_L2);
}

static void cki_set_pud(pud_t *pudp, pud_t pud)
{
	set_entry(pudp, native_pud_val(pud), CKI_TABLE_L3);
}

static void cki_set_p4d(p4d_t *p4dp, p4d_t p4d)
{
	set_entry(p4dp, native_p4d_val(p4d), CKI_TABLE_L4);
}

/* The new root's slot of the monitor is there already, the same in both. */
void cki_clone_pgd_range(pgd_t *dst, const pgd_t *src, int count)
{
	for (; count > 0; count--, dst++, src++) {
		if (native_pgd_val(*dst) != native_pgd_val(*src))
			set_entry(dst, native_pgd_val(*src), CKI_TABLE_L4);
	}
}

unsigned long cki_entry_exchange(void *pointer, unsigned long value)
{
	long status;
	u64 entry, old;

	if (!cki_table_entry(pointer, &entry))
		return xchg((unsigned long *)pointer, value);

	cki_batch_flush();
	status = cki_call_value(CKI_KSM_ENTRY_EXCHANGE, entry, value, 0, 0, &old);
	if (unlikely(status))
		return cki_entry_refused(entry, value, status);
	return old;
}

bool cki_entry_try_cmpxchg(void *pointer, unsigned long *old, unsigned long value)
{
	long status;
	u64 entry, found;

	if (!cki_table_entry(pointer, &entry))
		return try_cmpxchg((unsigned long *)pointer, old, value);

	cki_batch_flush();
	status = cki_call_value(CKI_KSM_ENTRY_COMPARE_EXCHANGE, entry, *old, value,
				0, &found);
	if (likely(!status))
		return true;
	if (status != -(long)CKI_E_CHANGED) {
		/* Tried again it would be refused again. */
		cki_entry_refused(entry, value, status);
		return true;
	}
	*old = READ_ONCE(*(unsigned long *)pointer);
	return false;
}

bool cki_entry_test_and_clear_bit(long bit, void *pointer)
{
	long status;
	u64 entry, old;

	if (!cki_table_entry(pointer, &entry))
		return test_and_clear_bit(bit, (unsigned long *)pointer);

	cki_batch_flush();
	status = cki_call_value(CKI_KSM_ENTRY_CLEAR, entry, BIT_ULL(bit), 0, 0, &old);
	if (unlikely(status))
		cki_refused(CKI_KSM_ENTRY_CLEAR, entry, BIT_ULL(bit), status);
	return old & BIT_ULL(bit);
}

static void declare(struct mm_struct *mm, unsigned long pfn, unsigned int level)
{
	/* Tables of the image are declared where they are set up. */
	cki_table_declare(PFN_PHYS(pfn),
			      mm == &init_mm ? level : level | CKI_TABLE_USER);
}

static void cki_alloc_pte(struct mm_struct *mm, unsigned long pfn)
{
	declare(mm, pfn, CKI_TABLE_L1);
}

static void cki_alloc_pmd(struct mm_struct *mm, unsigned long pfn)
{
	declare(mm, pfn, CKI_TABLE_L2);
}

static void cki_alloc_pud(struct mm_struct *mm, unsigned long pfn)
{
	declare(mm, pfn, CKI_TABLE_L3);
}

static int cki_pgd_alloc(struct mm_struct *mm)
{
	cki_table_declare(__pa(mm->pgd), CKI_TABLE_L4);
	return 0;
}

static unsigned long cki_read_cr3(void)
{
	return this_cpu_read(root);
}

/* CR3's format, PCID and "no flush" included, is the call's. */
static void cki_write_cr3(unsigned long cr3)
{
	cki_batch_flush();
	cki_must_call(CKI_KSM_ROOT_LOAD, cr3, 0);
	this_cpu_write(root, cr3 & ~CKI_ROOT_NO_FLUSH);
}

static void cki_flush_tlb_user(void)
{
	cki_batch_flush();
	cki_must_call(CKI_KSM_FLUSH, CKI_FLUSH_PCID,
		      this_cpu_read(root) & CR3_PCID_MASK);
}

static void cki_flush_tlb_kernel(void)
{
	cki_batch_flush();
	cki_must_call(CKI_KSM_FLUSH, CKI_FLUSH_ALL, 0);
}

static void cki_flush_tlb_one_user(unsigned long addr)
{
	cki_batch_flush();
	invlpg(addr);
}

void __init cki_init_mmu_ops(void)
{
	__supported_pte_mask &= ~_PAGE_GLOBAL;
	__default_kernel_pte_mask &= ~_PAGE_GLOBAL;

	pv_ops.mmu.flush_tlb_user = cki_flush_tlb_user;
	pv_ops.mmu.flush_tlb_kernel = cki_flush_tlb_kernel;
	pv_ops.mmu.flush_tlb_one_user = cki_flush_tlb_one_user;
	pv_ops.mmu.tlb_remove_table = tlb_remove_table;
	pv_ops.mmu.read_cr3 = cki_read_cr3;
	pv_ops.mmu.write_cr3 = cki_write_cr3;
	pv_ops.mmu.pgd_alloc = cki_pgd_alloc;
	pv_ops.mmu.alloc_pte = cki_alloc_pte;
	pv_ops.mmu.alloc_pmd = cki_alloc_pmd;
	pv_ops.mmu.alloc_pud = cki_alloc_pud;
	pv_ops.mmu.set_pte = cki_set_pte;
	pv_ops.mmu.set_pmd = cki_set_pmd;
	pv_ops.mmu.set_pud = cki_set_pud;
	pv_ops.mmu.set_p4d = cki_set_p4d;
	pv_ops.mmu.set_fixmap = cki_set_fixmap;
	pv_ops.mmu.lazy_mode.enter = cki_lazy_enter;
	pv_ops.mmu.lazy_mode.leave = cki_lazy_leave;
	pv_ops.mmu.lazy_mode.flush = cki_batch_flush;
}

static void __init link_table(void *pointer, const void *table, unsigned int kind,
			      unsigned int parent)
{
	cki_table_declare(__pa_symbol(table), kind);
	set_entry(pointer, __pa_symbol(table) | _KERNPG_TABLE_NOENC, parent);
}

static void __init copy_entries(void *table, const void *from, unsigned int first,
				unsigned int end, unsigned int kind)
{
	const u64 *source = from;
	u64 *target = table;
	unsigned int i;

	for (i = first; i < end; i++) {
		if (source[i] & _PAGE_PRESENT)
			set_entry(&target[i], source[i], kind);
	}
}

/*
 * Moves from the loader's root to the image's own tables, which the rest of the
 * kernel knows by name. The direct map and the small tables of the image mapping
 * stay the loader's.
 */
void __init cki_init_boot_tables(void)
{
	const u64 *boot_root = __va(cki_start_info->boot_root_hpa);
	const u64 *boot_l3 = __va(boot_root[pgd_index(__START_KERNEL_map)] &
				  PTE_PFN_MASK);
	const u64 *boot_l2 = __va(boot_l3[pud_index(__START_KERNEL_map)] &
				  PTE_PFN_MASK);
	unsigned int i;

	cki_table_declare(__pa_symbol(init_top_pgt), CKI_TABLE_L4);
	copy_entries(init_top_pgt, boot_root, CKI_SLOT_MONITOR + 1,
		     pgd_index(__START_KERNEL_map), CKI_TABLE_L4);
	link_table(&init_top_pgt[pgd_index(__START_KERNEL_map)],
		   level3_kernel_pgt, CKI_TABLE_L3, CKI_TABLE_L4);
	link_table(&level3_kernel_pgt[pud_index(__START_KERNEL_map)],
		   level2_kernel_pgt, CKI_TABLE_L2, CKI_TABLE_L3);
	copy_entries(level2_kernel_pgt, boot_l2, 0,
		     KERNEL_IMAGE_SIZE / PMD_SIZE, CKI_TABLE_L2);
	link_table(&level3_kernel_pgt[pud_index(__START_KERNEL_map) + 1],
		   level2_fixmap_pgt, CKI_TABLE_L2, CKI_TABLE_L3);
	for (i = 0; i < FIXMAP_PMD_NUM; i++)
		link_table(&level2_fixmap_pgt[512 - 4 - FIXMAP_PMD_NUM + i],
			   &level1_fixmap_pgt[512 * i], CKI_TABLE_L1,
			   CKI_TABLE_L2);

	cki_write_cr3(__pa_symbol(init_top_pgt));
}
