// SPDX-License-Identifier: GPL-2.0-only
/*
 * CKI: secure containers, each with its own kernel, deprivileged by protection keys for supervisor
 * pages and the CKI extension. docs/understand/kmod.md says how the parts work together.
 */
#define pr_fmt(fmt) "cki: " fmt

#include <linux/build_bug.h>
#include <linux/fs.h>
#include <linux/kernel.h>
#include <linux/log2.h>
#include <linux/memory.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/string.h>
#include <linux/suspend.h>

#include <linux/cki.h>

#include "container.h"
#include "container_descriptor.h"
#include "cpu.h"
#include "fpu.h"
#include "image.h"
#include "pool.h"
#include "sized.h"
#include "slot.h"
#include "world.h"

/* Those beside this module, whatever headers the kernel has that it is built for: Kbuild. */
static_assert(CKI_ABI_VERSION == 3 && CKI_UAPI_VERSION == 4);

static char *pool = "0";
module_param(pool, charp, 0444);
MODULE_PARM_DESC(pool, "memory for containers, e.g. 512M; whole chunks of 2M, reserved at once");

static char *monitor = "/lib/firmware/cki/ksm";
module_param(monitor, charp, 0444);
MODULE_PARM_DESC(monitor, "file with the monitor's image");

static u32 missing;

static const char *const reasons[] = {
	[ilog2(CKI_MISSING_PKS)] =
		"the CPU has no protection keys for supervisor pages (PKS, CPUID 7.0:ECX[31])",
	[ilog2(CKI_MISSING_EXTENSION)] =
		"the CPU has no CKI extension (CPUID 434b4901H:EAX[0])",
	[ilog2(CKI_MISSING_CPU)] =
		"the CPU lacks something, or has what it must not (see above)",
	[ilog2(CKI_MISSING_MONITOR)] =
		"there is no monitor",
	[ilog2(CKI_MISSING_POOL)] =
		"there is no memory pool (pool= is 0, or nothing was left)",
	[ilog2(CKI_MISSING_KERNEL)] =
		"the kernel has 5-level paging, FRED, memory encryption, Xen, broadcast TLB flushes, or uses PKS",
	[ilog2(CKI_MISSING_VMX)] =
		"KVM has the CPUs in VMX operation: boot with kvm.enable_virt_at_load=0, or rmmod kvm_intel",
	[ilog2(CKI_MISSING_NO_LEAKS)] =
		"the CPU has L1TF or Meltdown: a guest kernel could read the host's memory",
};

static u32 missing_now(void)
{
	return missing | cki_cpu_taken();
}

static void get_info(struct cki_info *info)
{
	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	info->missing = missing_now();
	info->mode = info->missing ? CKI_MODE_NONE : CKI_MODE_CKI;
	info->abi_version = CKI_ABI_VERSION;
	info->vcpus_max = CKI_VCPUS_SUPPORTED;
	info->pool_size = cki_pool_size();
	info->pool_free = cki_pool_free();
	info->tsc_khz = cki_cpu_tsc_khz();
	info->containers = cki_container_count();
	info->monitor_pages = cki_slot_pages();
}

/* Of what the caller has, only the size counts. */
static int give_info(void __user *argument)
{
	struct cki_info info;
	u32 given;
	int error = cki_read_size(&given, CKI_INFO_SIZE_LEAST, argument);

	if (error)
		return error;
	get_info(&info);
	return cki_write_sized(argument, &info, sizeof(info), given);
}

static long system_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
	switch (command) {
	case CKI_GET_VERSION:
		return argument ? -EINVAL : CKI_UAPI_VERSION;
	case CKI_GET_INFO:
		return give_info((void __user *)argument);
	case CKI_CREATE_CONTAINER:
		if (missing_now())
			return -ENODEV;
		return cki_container_create((void __user *)argument);
	default:
		return -ENOTTY;
	}
}

static const struct file_operations system_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = system_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

static struct miscdevice device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "cki",
	.fops = &system_fops,
	.mode = 0600,
};

/*
 * Behind a suspension the TSC starts anew, and containers have it as it is. One that is created
 * between this and the freezing of user mode is not covered.
 */
static int power_event(struct notifier_block *block, unsigned long event, void *data)
{
	if (event != PM_SUSPEND_PREPARE && event != PM_HIBERNATION_PREPARE)
		return NOTIFY_DONE;
	if (!cki_container_count())
		return NOTIFY_DONE;
	pr_warn("no suspension as long as there are containers\n");
	return notifier_from_errno(-EBUSY);
}

static struct notifier_block power_notifier = {
	.notifier_call = power_event,
};

/*
 * Memory that is plugged in, and may need entries of the host's L4 that there were none of: before
 * anything of the kernel's can lie in it, stacks above all, the bridges have them, too. And what has
 * pages of the pool stays: the kernel would wait for them for ever.
 */
static int memory_event(struct notifier_block *block, unsigned long event, void *data)
{
	const struct memory_notify *memory = data;
	u64 start, end;

	if (event == MEM_GOING_ONLINE)
		cki_slots_follow_host();
	if (event != MEM_GOING_OFFLINE)
		return NOTIFY_OK;
	start = PFN_PHYS(memory->start_pfn);
	end = PFN_PHYS(memory->start_pfn + memory->nr_pages);
	if (!cki_pool_has(start, end))
		return NOTIFY_OK;
	pr_warn("memory from %llx to %llx has to stay: the pool has some of it\n", start, end - 1);
	return notifier_from_errno(-EBUSY);
}

static struct notifier_block memory_notifier = {
	.notifier_call = memory_event,
};

static void say_what_is_missing(void)
{
	u32 now = missing_now();
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(reasons); i++)
		if (now & BIT(i))
			pr_warn("no containers: %s\n", reasons[i]);
	if (!now)
		pr_info("isolation: full (cki); pool of %llu MiB\n", cki_pool_size() >> 20);
}

/*
 * The device exists on any machine, so that tools can ask what is missing; containers are only
 * created where nothing is.
 */
static int __init cki_init(void)
{
	char *end;
	u64 size = memparse(pool, &end);
	int error;

	if (end == pool || *end) {
		pr_err("pool=%s is not a size such as 512M\n", pool);
		return -EINVAL;
	}
	/* Before there is a pool, and for longer: its memory has to stay online. */
	error = register_memory_notifier(&memory_notifier);
	if (error)
		return error;
	error = cki_pool_init(size);
	if (error)
		goto fail_memory;
	missing = cki_cpu_missing();
	if (cki_image_load(monitor))
		missing |= CKI_MISSING_MONITOR;
	if (!cki_pool_size())
		missing |= CKI_MISSING_POOL;
	cki_cpu_init();
	cki_fpu_setup();
	cki_world_init();
	error = register_pm_notifier(&power_notifier);
	if (error)
		goto fail;
	error = misc_register(&device);
	if (error)
		goto fail_power;
	say_what_is_missing();
	return 0;
fail_power:
	unregister_pm_notifier(&power_notifier);
fail:
	cki_image_unload();
	cki_pool_exit();
fail_memory:
	unregister_memory_notifier(&memory_notifier);
	return error;
}

static void __exit cki_exit(void)
{
	misc_deregister(&device);
	unregister_pm_notifier(&power_notifier);
	cki_image_unload();
	cki_pool_exit();
	unregister_memory_notifier(&memory_notifier);
}

module_init(cki_init);
module_exit(cki_exit);
MODULE_DESCRIPTION("Secure containers with a deprivileged guest kernel");
MODULE_LICENSE("GPL");
