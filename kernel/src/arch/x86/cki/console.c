// SPDX-License-Identifier: GPL-2.0-only
/*
 * The console: hypercalls that take a frame. hvc0 for user space, a boot console
 * for the messages before it.
 */
#include <linux/console.h>
#include <linux/init.h>
#include <linux/irqflags.h>
#include <linux/mm.h>
#include <linux/spinlock.h>
#include <linux/string.h>

#include "../../../drivers/tty/hvc/hvc_console.h"
#include "guest.h"

/* Callers' buffers may be on a stack that no hpa is known of. */
static u8 output[PAGE_SIZE] __page_aligned_bss;
static u8 input[PAGE_SIZE] __page_aligned_bss;
static DEFINE_RAW_SPINLOCK(console_buffers);

static ssize_t cki_put_chars(u32 vterm, const u8 *data, size_t count)
{
	unsigned long flags;
	u64 taken = 0;

	count = min_t(size_t, count, PAGE_SIZE);
	raw_spin_lock_irqsave(&console_buffers, flags);
	memcpy(output, data, count);
	if (cki_call_value(CKI_HC_CONSOLE_WRITE, __pa_symbol(output), count, 0,
			   0, &taken))
		taken = 0;
	raw_spin_unlock_irqrestore(&console_buffers, flags);
	return min_t(u64, taken, count);
}

static ssize_t cki_get_chars(u32 vterm, u8 *data, size_t count)
{
	unsigned long flags;
	u64 read = 0;

	count = min_t(size_t, count, PAGE_SIZE);
	raw_spin_lock_irqsave(&console_buffers, flags);
	if (cki_call_value(CKI_HC_CONSOLE_READ, __pa_symbol(input), count, 0, 0,
			   &read))
		read = 0;
	read = min_t(u64, read, count);
	memcpy(data, input, read);
	raw_spin_unlock_irqrestore(&console_buffers, flags);
	return read;
}

static const struct hv_ops cki_hvc_ops = {
	.get_chars	= cki_get_chars,
	.put_chars	= cki_put_chars,
	.notifier_add	= notifier_add_irq,
	.notifier_del	= notifier_del_irq,
	.notifier_hangup = notifier_hangup_irq,
};

static int __init cki_console_init(void)
{
	if (!cki_guest())
		return 0;
	hvc_instantiate(0, 0, &cki_hvc_ops);
	add_preferred_console("hvc", 0, NULL);
	return 0;
}
console_initcall(cki_console_init);

static int __init cki_hvc_init(void)
{
	struct hvc_struct *hvc;
	int irq;

	if (!cki_guest())
		return 0;
	irq = cki_event_to_irq(CKI_EVENT_CONSOLE);
	hvc = hvc_alloc(0, irq > 0 ? irq : 0, &cki_hvc_ops, 256);
	return PTR_ERR_OR_ZERO(hvc);
}
device_initcall(cki_hvc_init);

static void write_all(const char *text, size_t count)
{
	while (count) {
		ssize_t taken = cki_put_chars(0, text, count);

		if (!taken)
			return;
		text += taken;
		count -= taken;
	}
}

static void boot_console_write(struct console *console, const char *text,
			       unsigned int count)
{
	write_all(text, count);
}

static struct console boot_console = {
	.name	= "ckiboot",
	.write	= boot_console_write,
	.flags	= CON_PRINTBUFFER | CON_BOOT | CON_ANYTIME,
	.index	= -1,
};

void __init cki_register_boot_console(void)
{
	register_console(&boot_console);
}
