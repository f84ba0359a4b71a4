// SPDX-License-Identifier: GPL-2.0-only
/*
 * Changes of kernel text: Exec frames are written by KSM_TEXT_POKE only.
 */
#include <linux/irqflags.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/spinlock.h>
#include <linux/string.h>

#include <asm/cpuid.h>
#include <asm/sections.h>

#include "guest.h"

/* The source of a poke: container memory in one frame. */
static u8 source[PAGE_SIZE] __page_aligned_bss;
static DEFINE_RAW_SPINLOCK(source_lock);

static bool is_text(unsigned long address)
{
	return (address >= (unsigned long)_text &&
		address < (unsigned long)__cki_text_end) ||
	       (address >= (unsigned long)__cki_init_text_start &&
		address < (unsigned long)__cki_init_text_end);
}

bool cki_text_poke(void *addr, const void *src, size_t len)
{
	unsigned long address = (unsigned long)addr;
	unsigned long flags;

	if (!is_text(address))
		return false;

	raw_spin_lock_irqsave(&source_lock, flags);
	while (len) {
		size_t part = min3(len, (size_t)CKI_POKE_MAX,
				   (size_t)(PAGE_SIZE - offset_in_page(address)));
		long status;

		memcpy(source, src, part);
		status = cki_call(CKI_KSM_TEXT_POKE, __pa_symbol(address),
				  __pa_symbol(source), part, 0);
		if (status)
			cki_refused(CKI_KSM_TEXT_POKE, address, part, status);
		address += part;
		src += part;
		len -= part;
	}
	raw_spin_unlock_irqrestore(&source_lock, flags);

	/* Serialise: the bytes changed under another address (SDM 9.1.3). */
	native_cpuid_eax(0);
	return true;
}
