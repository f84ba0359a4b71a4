// SPDX-License-Identifier: GPL-2.0-only
/*
 * Asks for mappings of what is not the guest's, by each interface that there is,
 * with "cki_selftest" on the command line. User space reaches few of them.
 */
#include <linux/init.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/pfn_t.h>
#include <linux/sched/mm.h>
#include <linux/set_memory.h>
#include <linux/vmalloc.h>

#include <asm/early_ioremap.h>
#include <asm/fixmap.h>

#include "guest.h"

/* Below the first megabyte no container has memory. */
#define FOREIGN		0x1000UL
#define ADDRESS		0x10000000UL
#define PAGES		4UL

static bool requested __initdata;
static unsigned int checks __initdata, failures __initdata;

static int __init request(char *text)
{
	requested = true;
	return 0;
}
early_param("cki_selftest", request);

static void __init check(const char *what, bool passed)
{
	checks++;
	if (!passed) {
		failures++;
		pr_err("cki: self-test: %s: failed\n", what);
	}
}

static void __init check_kernel_mappings(phys_addr_t start)
{
	check("ioremap", !ioremap(start, PAGE_SIZE));
	check("ioremap_uc", !ioremap_uc(start, PAGE_SIZE));
	check("ioremap_wc", !ioremap_wc(start, PAGE_SIZE));
	check("ioremap_wt", !ioremap_wt(start, PAGE_SIZE));
	check("ioremap_cache", !ioremap_cache(start, PAGE_SIZE));
	check("ioremap_prot",
	      !ioremap_prot(start, PAGE_SIZE, pgprot_val(PAGE_KERNEL)));
	check("ioremap of 2 MiB", !ioremap(ALIGN(start, PMD_SIZE), PMD_SIZE));
	check("early_ioremap", !early_ioremap(start, PAGE_SIZE));
	check("early_memremap", !early_memremap(start, PAGE_SIZE));
	check("early_memremap_ro", !early_memremap_ro(start, PAGE_SIZE));
}

static int __init set_foreign(pte_t *pte, unsigned long address, void *data)
{
	set_pte_at(data, address, pte,
		   pfn_pte(PHYS_PFN(FOREIGN), data == &init_mm ? PAGE_KERNEL :
							PAGE_SHARED));
	return 0;
}

/* Called for entries that are not empty. */
static int __init count_entry(pte_t *pte, unsigned long address, void *data)
{
	unsigned int *entries = data;

	++*entries;
	return 0;
}

/* What nobody asked cki_may_map() about. */
static void __init check_entries(struct mm_struct *mm)
{
	struct vm_struct *area = get_vm_area(PAGE_SIZE, VM_IOREMAP);
	unsigned int entries = 0;
	void *address;

	check("entries of a process",
	      !apply_to_page_range(mm, ADDRESS, PAGES * PAGE_SIZE, set_foreign, mm));
	apply_to_existing_page_range(mm, ADDRESS, PAGES * PAGE_SIZE, count_entry,
				     &entries);
	check("entries of a process are empty", !entries);

	check("get_vm_area", area);
	if (!area)
		return;
	address = area->addr;
	check("entry of the kernel",
	      !apply_to_page_range(&init_mm, (unsigned long)address, PAGE_SIZE,
				   set_foreign, &init_mm));
	check("entry of the kernel reads as zero", !READ_ONCE(*(u64 *)address));
	vunmap(address);

	__set_fixmap(FIX_DBGP_BASE, FOREIGN, PAGE_KERNEL_NOCACHE);
	check("fixmap", !READ_ONCE(*(u64 *)fix_to_virt(FIX_DBGP_BASE)));
	__set_fixmap(FIX_DBGP_BASE, 0, __pgprot(0));
}

static void __init check_user_mappings(struct mm_struct *mm)
{
	static const struct vm_operations_struct no_operations;
	struct vm_area_struct *vma = vm_area_alloc(mm);
	unsigned long pfn = PHYS_PFN(FOREIGN);

	check("vm_area_alloc", vma);
	if (!vma)
		return;
	vma->vm_start = ADDRESS;
	vma->vm_end = ADDRESS + PAGES * PAGE_SIZE;
	vma->vm_ops = &no_operations;
	vm_flags_init(vma, VM_READ | VM_WRITE | VM_SHARED | VM_MAYREAD |
			   VM_MAYWRITE | VM_MAYSHARE | VM_IO);
	vma->vm_page_prot = vm_get_page_prot(vma->vm_flags);

	mmap_write_lock(mm);
	if (insert_vm_struct(mm, vma)) {
		vm_area_free(vma);
		check("insert_vm_struct", false);
		goto unlock;
	}

	check("remap_pfn_range",
	      remap_pfn_range(vma, ADDRESS, pfn, PAGES * PAGE_SIZE,
			      vma->vm_page_prot) < 0);
	check("io_remap_pfn_range",
	      io_remap_pfn_range(vma, ADDRESS, pfn, PAGE_SIZE,
				 vma->vm_page_prot) < 0);
	check("vm_iomap_memory",
	      vm_iomap_memory(vma, FOREIGN, PAGES * PAGE_SIZE) < 0);
	vm_flags_set(vma, VM_PFNMAP);
	check("vmf_insert_pfn",
	      vmf_insert_pfn(vma, ADDRESS, pfn) == VM_FAULT_SIGBUS);
	vm_flags_mod(vma, VM_MIXEDMAP, VM_PFNMAP);
	check("vmf_insert_mixed",
	      vmf_insert_mixed(vma, ADDRESS, __pfn_to_pfn_t(pfn, PFN_DEV)) ==
	      VM_FAULT_SIGBUS);
	check_entries(mm);
unlock:
	mmap_write_unlock(mm);
}

static void __init check_memory(void)
{
	unsigned long page = __get_free_page(GFP_KERNEL);

	check("own memory may be mapped", cki_may_map(__pa(page), PAGE_SIZE));
	check("memremap of own memory",
	      memremap(__pa(page), PAGE_SIZE, MEMREMAP_WB) == (void *)page);
	check("set_memory_x", set_memory_x(page, 1) < 0);
	check("set_memory_rox", set_memory_rox(page, 1) < 0);
	check("set_memory_uc", !set_memory_uc(page, 1));
	check("set_memory_wb", !set_memory_wb(page, 1));
	set_memory_rw(page, 1);
	free_page(page);

	check("memremap", !memremap(FOREIGN, PAGE_SIZE, MEMREMAP_WB));
	check("memremap, write-through",
	      !memremap(FOREIGN, PAGE_SIZE, MEMREMAP_WT));
	check("memremap, write-combining",
	      !memremap(FOREIGN, PAGE_SIZE, MEMREMAP_WC));
}

static int __init cki_selftest(void)
{
	struct mm_struct *mm;

	if (!requested || !cki_guest())
		return 0;

	check_memory();
	check_kernel_mappings(FOREIGN);
	/* The first range is the image's own text or page tables. */
	check_kernel_mappings(cki_start_info->classes[0].base);

	mm = mm_alloc();
	if (mm) {
		check_user_mappings(mm);
		mmput(mm);
	}
	check("mm_alloc", mm);

	pr_notice("cki: self-test: %u checks, %u failed\n", checks, failures);
	return 0;
}
late_initcall(cki_selftest);
