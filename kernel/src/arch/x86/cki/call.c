// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ground of a CKI guest: the gate of its calls, the words that it shares with the
 * monitor, and what becomes of a call that had to succeed and did not. All other
 * files here use this one; it uses none of them.
 */
#include <linux/cache.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/panic.h>
#include <linux/string.h>

#include "guest.h"

const unsigned long cki_call_gate = CKI_GATE_CALL;

DEFINE_PER_CPU(struct cki_vcpu_info, cki_vcpu_info)
	__aligned(CKI_SIZEOF_VCPU_INFO);
DEFINE_PER_CPU(unsigned long, cki_scratch);

static char last_words[PAGE_SIZE] __page_aligned_bss;

void cki_report_panic(const char *message)
{
	strscpy(last_words, message, sizeof(last_words));
	cki_call(CKI_HC_PANIC, __pa_symbol(last_words), strlen(last_words), 0, 0);
	cki_shut_down(CKI_SHUTDOWN_PANIC);
}

/* printk() may be what led here: say it without, as far as the console takes it. */
void cki_refused(u64 number, u64 a0, u64 a1, long status)
{
	static char refusal[PAGE_SIZE] __page_aligned_bss;
	static bool again;
	u64 done = 0, taken;
	int length;

	length = scnprintf(refusal, sizeof(refusal),
			   "cki: the monitor refused call %llu (%#llx, %#llx): error %ld at %pS\n",
			   number, a0, a1, -status, __builtin_return_address(0));
	while (done < length &&
	       !cki_call_value(CKI_HC_CONSOLE_WRITE, __pa_symbol(refusal) + done,
			       length - done, 0, 0, &taken) && taken)
		done += taken;

	if (!again) {
		again = true;
		panic("%s", refusal);
	}
	cki_report_panic(refusal);
}
