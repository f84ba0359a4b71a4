// SPDX-License-Identifier: GPL-2.0-only
/*
 * The end of a container: power off, restart, panic.
 */
#include <linux/kernel.h>
#include <linux/notifier.h>
#include <linux/panic_notifier.h>
#include <linux/pm.h>
#include <linux/reboot.h>

#include <asm/reboot.h>

#include "guest.h"

static void cki_power_off(void)
{
	cki_shut_down(CKI_SHUTDOWN_POWEROFF);
}

static void cki_restart(char *command)
{
	cki_shut_down(CKI_SHUTDOWN_REBOOT);
}

static void cki_emergency_restart(void)
{
	cki_shut_down(CKI_SHUTDOWN_REBOOT);
}

static void cki_machine_shutdown(void)
{
}

static int panic_event(struct notifier_block *block, unsigned long event,
		       void *message)
{
	cki_report_panic(message);
	return NOTIFY_DONE;
}

static struct notifier_block panic_block = {
	.notifier_call	= panic_event,
	.priority	= INT_MIN,
};

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
