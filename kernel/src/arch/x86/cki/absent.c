// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the same kernel has on hardware and not in a guest, where Linux has a hook to
 * decide so at boot. The log says it, and user space gets an error. What has no hook
 * asks cki_guest() where it stands: kexec, kprobes, modify_ldt().
 */
#include <linux/cache.h>
#include <linux/errno.h>
#include <linux/ftrace.h>
#include <linux/init.h>
#include <linux/limits.h>
#include <linux/memory_hotplug.h>
#include <linux/notifier.h>
#include <linux/printk.h>
#include <linux/range.h>
#include <linux/suspend.h>

#include <asm/cki.h>
#include <asm/hypervisor.h>
#include <asm/ia32.h>

static uint32_t __init cki_detect(void)
{
	return cki_guest() ? U32_MAX : 0;
}

/* Behind the command line, which has its own opinion of 32-bit programs. */
static void __init cki_late_init(void)
{
	if (ia32_enabled()) {
		ia32_disable();
		pr_notice("cki: no 32-bit programs: a guest has one way into its kernel\n");
	}
	if (IS_ENABLED(CONFIG_RANDOMIZE_BASE))
		pr_notice("cki: no KASLR: the kernel is where it was linked\n");
}

/*
 * CPUID says what is below the host, be it KVM, VMware or Hyper-V. A guest would ask it by
 * ports, MSRs and hypercalls that fault, or believe that it has been answered.
 */
const __initconst struct hypervisor_x86 x86_hyper_cki = {
	.name			= "CKI",
	.detect			= cki_detect,
	.type			= X86_HYPER_CKI,
	.init.guest_late_init	= cki_late_init,
	.ignore_nopv		= true,
};

#ifdef CONFIG_DYNAMIC_FTRACE
/* Tracers get ENODEV. The calls are NOPs, or go to a function that returns at once. */
int __init ftrace_dyn_arch_init(void)
{
	if (!cki_guest())
		return 0;
	pr_notice("cki: no function tracing: a trampoline would be new text\n");
	return -EOPNOTSUPP;
}
#endif

#ifdef CONFIG_MEMORY_HOTPLUG
/* Who adds memory gets E2BIG: a guest has what it starts with. */
struct range arch_get_mappable_range(void)
{
	return (struct range) {
		.start	= cki_guest() ? U64_MAX : 0,
		.end	= U64_MAX,
	};
}
#endif

#ifdef CONFIG_HIBERNATION
static int power_event(struct notifier_block *block, unsigned long event, void *data)
{
	if (event != PM_HIBERNATION_PREPARE && event != PM_RESTORE_PREPARE)
		return NOTIFY_DONE;
	pr_notice("cki: no hibernation: another start has other memory\n");
	return notifier_from_errno(-EOPNOTSUPP);
}

static struct notifier_block power_block = {
	.notifier_call	= power_event,
};

static int __init cki_init_power(void)
{
	return cki_guest() ? register_pm_notifier(&power_block) : 0;
}
arch_initcall(cki_init_power);
#endif
