// SPDX-License-Identifier: GPL-2.0-only
/*
 * What no program sees of its host, for tests of the module: state of the CPU that only the kernel
 * reaches, and conditions that only hardware or other kernel code brings about. Each is a parameter
 * of this module (/sys/module/cki_witness/parameters): what is written there happens on the CPU, or
 * to the memory or thread, that it names.
 */
#include <linux/delay.h>
#include <linux/kernel.h>
#include <linux/kstrtox.h>
#include <linux/limits.h>
#include <linux/memory.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/page-flags.h>
#include <linux/pid.h>
#include <linux/preempt.h>
#include <linux/sched/task.h>
#include <linux/smp.h>
#include <linux/sysfs.h>
#include <linux/thread_info.h>
#include <asm/debugreg.h>
#include <asm/desc.h>
#include <asm/pgtable.h>
#include <asm/tlbflush.h>

/* Linux has no name for it (SDM Vol. 3A, 2.5). */
#define CR4_PKS	BIT(24)

/* For so long a thread has work that only a live patch brings along. */
#define PATCH_MS	20

static int get_dr6(char *buffer, const struct kernel_param *param)
{
	unsigned long dr6;

	get_debugreg(dr6, 6);
	return sysfs_emit(buffer, "%lx\n", dr6);
}

static int set_dr6(const char *text, const struct kernel_param *param)
{
	unsigned long dr6;
	int error = kstrtoul(text, 16, &dr6);

	if (!error)
		set_debugreg(dr6, 6);
	return error;
}

static const struct kernel_param_ops dr6_ops = { .set = set_dr6, .get = get_dr6 };
module_param_cb(dr6, &dr6_ops, NULL, 0600);
MODULE_PARM_DESC(dr6, "DR6 of the CPU that this runs on, in hexadecimal");

/* One data segment of user mode's, which programs name by selector 7. */
static struct desc_struct table[1] = { GDT_ENTRY_INIT(DESC_DATA32 | DESC_USER, 0, 0xfffff) };

static int get_ldtr(char *buffer, const struct kernel_param *param)
{
	unsigned long selector;

	store_ldt(selector);
	return sysfs_emit(buffer, "%lx\n", selector & 0xffff);
}

static int set_ldtr(const char *text, const struct kernel_param *param)
{
	bool wanted;
	int error = kstrtobool(text, &wanted);

	if (error)
		return error;
	preempt_disable();
	if (wanted)
		native_set_ldt(table, ARRAY_SIZE(table));
	else
		clear_LDT();
	preempt_enable();
	return 0;
}

static const struct kernel_param_ops ldtr_ops = { .set = set_ldtr, .get = get_ldtr };
module_param_cb(ldtr, &ldtr_ops, NULL, 0600);
MODULE_PARM_DESC(ldtr, "1: the CPU that this runs on gets an LDT of one segment, 0: none");

static int set_poison(const char *text, const struct kernel_param *param)
{
	unsigned long hpa;
	int error = kstrtoul(text, 16, &hpa);

	if (error)
		return error;
	if (!pfn_valid(PHYS_PFN(hpa)))
		return -EINVAL;
	SetPageHWPoison(pfn_to_page(PHYS_PFN(hpa)));
	return 0;
}

static const struct kernel_param_ops poison_ops = { .set = set_poison };
module_param_cb(poison, &poison_ops, NULL, 0200);
MODULE_PARM_DESC(poison, "marks the page at this address, in hexadecimal, as the host does broken ones");

static unsigned long place;

static int set_place(const char *text, const struct kernel_param *param)
{
	unsigned long hpa;
	int error = kstrtoul(text, 16, &hpa);

	if (error)
		return error;
	if (!pfn_valid(PHYS_PFN(hpa)) || hpa % sizeof(u64))
		return -EINVAL;
	place = hpa;
	return 0;
}

static const struct kernel_param_ops place_ops = { .set = set_place };
module_param_cb(place, &place_ops, NULL, 0200);
MODULE_PARM_DESC(place, "address of the word to read, in hexadecimal");

static int get_word(char *buffer, const struct kernel_param *param)
{
	return sysfs_emit(buffer, "%llx\n", READ_ONCE(*(u64 *)__va(place)));
}

static const struct kernel_param_ops word_ops = { .get = get_word };
module_param_cb(word, &word_ops, NULL, 0400);
MODULE_PARM_DESC(word, "that word, in hexadecimal");

/*
 * A kernel without live patches does nothing about the flag, so that the thread stays on its way to
 * user mode until it is taken away again.
 */
static int set_patch_pending(const char *text, const struct kernel_param *param)
{
	struct task_struct *task;
	struct pid *pid;
	int number, error = kstrtoint(text, 10, &number);

	if (error)
		return error;
	pid = find_get_pid(number);
	task = get_pid_task(pid, PIDTYPE_PID);
	put_pid(pid);
	if (!task)
		return -ESRCH;
	set_tsk_thread_flag(task, TIF_PATCH_PENDING);
	msleep(PATCH_MS);
	clear_tsk_thread_flag(task, TIF_PATCH_PENDING);
	put_task_struct(task);
	return 0;
}

static const struct kernel_param_ops patch_ops = { .set = set_patch_pending };
module_param_cb(patch_pending, &patch_ops, NULL, 0200);
MODULE_PARM_DESC(patch_pending, "gives this thread work of a live patch for some milliseconds");

static int set_pks(const char *text, const struct kernel_param *param)
{
	bool wanted;
	int error = kstrtobool(text, &wanted);

	if (error)
		return error;
	if (wanted)
		cr4_set_bits(CR4_PKS);
	else
		cr4_clear_bits(CR4_PKS);
	return 0;
}

static const struct kernel_param_ops pks_ops = { .set = set_pks };
module_param_cb(pks, &pks_ops, NULL, 0200);
MODULE_PARM_DESC(pks, "1: the kernel uses protection keys for supervisor pages on this CPU, 0: it does not");

/* Of the memory that was there from the start. */
static unsigned long memory_end;

/* An L4 with the host's kernel half that has slot 256, which is a hole in the host's own. */
static bool is_bridge(const u64 *table, const u64 *host)
{
	unsigned int i;

	for (i = 0; i < 256; i++)
		if (READ_ONCE(table[i]))
			return false;
	return READ_ONCE(table[256]) && READ_ONCE(table[511]) == host[511];
}

static bool lacks_an_entry(const u64 *bridge, const u64 *host)
{
	unsigned int i;

	for (i = 257; i < 512; i++)
		if (host[i] && !READ_ONCE(bridge[i]) && i != pgd_index(LDT_BASE_ADDR))
			return true;
	return false;
}

static int get_bridges(char *buffer, const struct kernel_param *param)
{
	const u64 *host = (const u64 *)current->mm->pgd;
	unsigned int bridges = 0, lacking = 0;
	unsigned long pfn;

	for (pfn = 0; pfn < memory_end; pfn++) {
		const u64 *table = __va(PFN_PHYS(pfn));

		if (!page_is_ram(pfn) || !is_bridge(table, host))
			continue;
		bridges++;
		if (lacks_an_entry(table, host))
			lacking++;
	}
	return sysfs_emit(buffer, "%u %u\n", bridges, lacking);
}

static const struct kernel_param_ops bridges_ops = { .get = get_bridges };
module_param_cb(bridges, &bridges_ops, NULL, 0400);
MODULE_PARM_DESC(bridges, "how many bridges there are, and how many of them lack an entry of the host's");

/* There is nothing behind an address that a test plugs memory in at: it must not be used. */
static int memory_event(struct notifier_block *block, unsigned long event, void *data)
{
	return event == MEM_GOING_ONLINE ? NOTIFY_BAD : NOTIFY_OK;
}

/* The last one to be asked. */
static struct notifier_block memory_notifier = {
	.notifier_call = memory_event,
	.priority = INT_MIN,
};

static int __init witness_init(void)
{
	memory_end = PHYS_PFN(__pa(high_memory));
	return register_memory_notifier(&memory_notifier);
}

static void __exit witness_exit(void)
{
	unregister_memory_notifier(&memory_notifier);
}

module_init(witness_init);
module_exit(witness_exit);
MODULE_DESCRIPTION("What tests of the CKI module have to see and do in the host's kernel");
MODULE_LICENSE("GPL");
