/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guest of a CKI monitor: what the rest of x86 needs to know.
 *
 * A CKI guest runs at CPL 0 with PKRS != 0. It reads its page tables but never
 * writes them: each update is a call to the monitor (KSM), which checks it.
 */
#ifndef _ASM_X86_CKI_H
#define _ASM_X86_CKI_H

#ifndef __ASSEMBLY__

#include <linux/types.h>

/* Page-aligned ends of the kernel's text, of init text, and its start. */
extern char __cki_text_end[], __cki_init_text_start[], __cki_init_text_end[];

/*
 * The decompressor and the 32-bit vDSO see these headers without
 * CONFIG_PARAVIRT_XXL; they never run as a guest.
 */
#if defined(CONFIG_CKI_GUEST) && defined(CONFIG_PARAVIRT_XXL)

#include <asm/cpufeature.h>

/* The same as cki_guest(), for code that applies alternatives or runs before they are. */
extern bool cki_is_guest;

/* True in a guest, from its first C statement on. */
static __always_inline bool cki_guest(void)
{
	return cpu_feature_enabled(X86_FEATURE_CKI_GUEST);
}

#else

#define cki_is_guest	false

static __always_inline bool cki_guest(void)
{
	return false;
}

#endif /* CONFIG_CKI_GUEST && CONFIG_PARAVIRT_XXL */

/* What follows exists in kernels that can be a guest, and is called in guests only. */

/* Atomic updates of an entry; plain memory if it is in no page table. */
unsigned long cki_entry_exchange(void *pointer, unsigned long value);
bool cki_entry_try_cmpxchg(void *pointer, unsigned long *old, unsigned long value);
bool cki_entry_test_and_clear_bit(long bit, void *pointer);

/* A page of frame class Pt. Never from the buddy allocator, whose pages are Data. */
void *cki_pagetable_alloc(void);

/* Whether the whole range may be mapped writable: memory of the container's of class Data. */
bool cki_may_map_range(phys_addr_t start, size_t size);

/* As that, in a guest; a host maps what it likes. */
static __always_inline bool cki_may_map(phys_addr_t start, size_t size)
{
	return !cki_guest() || cki_may_map_range(start, size);
}

/* Writes kernel text through the monitor. False if addr is not kernel text. */
bool cki_text_poke(void *addr, const void *src, size_t len);

#endif /* !__ASSEMBLY__ */

#endif /* _ASM_X86_CKI_H */
