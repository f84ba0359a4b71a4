// SPDX-License-Identifier: GPL-2.0
/*
 * The end of a container: power off, restart, panic.
 */
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/notifier.h>
#include <linux/panic_notifier.h>
#include <linux/pm.h>
#include <linux/reboot.h>
#include <linux/string.h>

#include <asm/reboot.h>

#include "guest.h"

static char last_words[PAGE_SIZE] __page_aligned_bss;

static void __noreturn shut_down(u64 reason)
{
	for (;;)
		cki_call(CKI_HC_SHUTDOWN, reason, 0, 0, 0);
}

static void cki_power_off(void)
{
	shut_down(CKI_SHUTDOWN_POWEROFF);
}

static void cki_restart(char *command)
{
	shut_down(CKI_SHUTDOWN_REBOOT);
}

static void cki_emergency_restart(void)
{
	shut_down(CKI_SHUTDOWN_REBOOT);
}

static void cki_machine_shutdown(void)
{
}

static void __noreturn report_panic(void)
{
	cki_call(CKI_HC_PANIC, __pa_symbol(last_words), strlen(last_words), 0, 0);
	shut_down(CKI_SHUTDOWN_PANIC);
}

static int panic_event(struct notifier_block *block, unsigned long event,
		       void *message)
{
	strscpy(last_words, message, sizeof(last_words));
	report_panic();
}

static struct notifier_block panic_block = {
	.notifier_call	= panic_event,
	.priority	= INT_MIN,
};

/* printk() may be what led here: say it without. */
void cki_refused(u64 number, u64 a0, u64 a1, long status)
{
	static bool again;

	snprintf(last_words, sizeof(last_words),
		 "cki: the monitor refused call %llu (%#llx, %#llx): error %ld at %pS\n",
		 number, a0, a1, -status, __builtin_return_address(0));
	cki_early_puts(last_words);
	if (!again) {
		again = true;
		panic("%s", last_words);
	}
	report_panic();
}

void __init cki_init_machine_ops(void)
{
	/* kernel_can_power_off() asks for it. */
	pm_power_off = cki_power_off;
	machine_ops.power_off = cki_power_off;
	machine_ops.halt = cki_power_off;
	machine_ops.restart = cki_restart;
	machine_ops.emergency_restart = cki_emergency_restart;
	machine_ops.shutdown = cki_machine_shutdown;
	atomic_notifier_chain_register(&panic_notifier_list, &panic_block);
}
