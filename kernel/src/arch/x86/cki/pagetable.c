// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages for page tables are the container's frames of class Pt. The buddy allocator
 * never sees them: they are handed out and taken back here.
 */
#include <linux/build_bug.h>
#include <linux/file.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/list.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/oom.h>
#include <linux/pid_namespace.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/spinlock.h>

#include <asm/pgalloc.h>
#include <asm/pgtable.h>

#include "guest.h"

/* A root is told from other tables by its order. */
static_assert(PGD_ALLOCATION_ORDER > 0);

static DEFINE_RAW_SPINLOCK(free_pages_lock);
/* Freed pages, oldest first: the longer a frame rests, the likelier every TLB forgot it. */
static LIST_HEAD(free_pages_list);
static unsigned int freed;	/* how many there are */

void *cki_pagetable_alloc(void)
{
	struct page *page;
	unsigned long flags;
	u64 hpa;

	raw_spin_lock_irqsave(&free_pages_lock, flags);
	hpa = cki_table_fresh();
	if (!hpa) {
		page = list_first_entry_or_null(&free_pages_list, struct page,
						lru);
		if (page) {
			list_del(&page->lru);
			freed--;
			hpa = page_to_phys(page);
		}
	}
	raw_spin_unlock_irqrestore(&free_pages_lock, flags);

	return hpa ? __va(hpa) : NULL;
}

static bool few_are_left(void)
{
	unsigned int all, fresh = cki_table_count(&all);

	return fresh + READ_ONCE(freed) < all / 16;
}

/*
 * Whether this is PID 1, or was forked by it and has executed no program since. An
 * open file is one execution's own: whoever executes the same program has another.
 */
static bool is_inits_own_code(void)
{
	struct file *inits = get_task_exe_file(init_pid_ns.child_reaper);
	struct file *own = get_task_exe_file(current);
	bool same = own && own == inits;

	if (own)
		fput(own);
	if (inits)
		fput(inits);
	return same;
}

/*
 * The last tables are for page faults, which cannot fail. fork() and execve() can,
 * as they do where a user has too many processes; and of two who have many, it is
 * the one who has most that gets no more address spaces. As in alloc_waiting(), who
 * has ended gives tables back a moment later: only who finds few after a second is
 * refused. The caller, mm_init(), may sleep, and holds no lock yet. What PID 1
 * starts is never refused: otherwise nobody gets in to mend anything.
 */
static bool too_few_for_a_root(void)
{
	unsigned int ticks, waited = 0;

	if (!few_are_left() || is_inits_own_code() || !cki_has_most_tables())
		return false;

	/* Each time for longer, since those who wait may be many. */
	for (ticks = 1; waited < HZ && few_are_left(); ticks = min(2 * ticks, HZ / 10)) {
		if (fatal_signal_pending(current))
			return true;
		schedule_timeout_killable(ticks);
		waited += ticks;
	}
	return few_are_left() && cki_has_most_tables();
}

/* Whether a process may be killed for a table, by the rules of the page allocator. */
static bool may_kill(gfp_t gfp)
{
	return gfpflags_allow_blocking(gfp) && (gfp & __GFP_FS) &&
	       !(gfp & (__GFP_NORETRY | __GFP_RETRY_MAYFAIL)) &&
	       !(current->flags & (PF_MEMALLOC | PF_EXITING)) &&
	       system_state == SYSTEM_RUNNING;
}

/* Who ends gives tables back after it is gone: an RCU grace period, the OOM reaper. */
static void *alloc_waiting(void)
{
	unsigned int tick;
	void *table;

	for (tick = 0; tick < HZ && !fatal_signal_pending(current); tick++) {
		schedule_timeout_uninterruptible(1);
		table = cki_pagetable_alloc();
		if (table)
			return table;
	}
	return NULL;
}

/*
 * Frames for tables can be used up while there is memory left. That must end as
 * running out of memory does, or the callers of a fault would try again and again.
 * Nobody is killed for tables that are on their way back, so this waits first.
 */
static void *alloc_or_kill(gfp_t gfp)
{
	void *table = cki_pagetable_alloc();
	bool killed = true;

	while (!table && killed && may_kill(gfp) && !fatal_signal_pending(current)) {
		table = alloc_waiting();
		if (table || fatal_signal_pending(current) || !mutex_trylock(&oom_lock))
			continue;
		pr_warn_ratelimited("cki: no page-table frame is left\n");
		killed = cki_kill_for_tables();
		mutex_unlock(&oom_lock);
	}
	return table;
}

static void free_table(struct page *page)
{
	u64 hpa = page_to_phys(page);
	unsigned int kind = cki_table_kind(hpa);
	unsigned long flags;

	if (WARN_ON_ONCE(kind & CKI_KIND_BOOT))
		return;

	if (kind) {
		/* What unlinked it may still wait in a batch. */
		cki_batch_flush();
		cki_table_release(hpa);
	}

	raw_spin_lock_irqsave(&free_pages_lock, flags);
	list_add_tail(&page->lru, &free_pages_list);
	freed++;
	raw_spin_unlock_irqrestore(&free_pages_lock, flags);
}

/*
 * The second page of a root is for page-table isolation, which a guest does not
 * have. It gets one page.
 */
struct page *arch_alloc_pagetable_pages(gfp_t gfp, unsigned int order)
{
	void *table;

	if (!cki_guest())
		return alloc_pages_noprof(gfp, order);

	WARN_ON_ONCE(order > PGD_ALLOCATION_ORDER);
	if (order && too_few_for_a_root())
		return NULL;
	table = alloc_or_kill(gfp);
	if (!table)
		return NULL;

	/* As the page allocator does: tables count for the cgroup of who needs them. */
	if (gfp & __GFP_ACCOUNT &&
	    memcg_kmem_charge_page(virt_to_page(table), gfp, 0)) {
		free_table(virt_to_page(table));
		return NULL;
	}
	return virt_to_page(table);
}

void arch_free_pagetable_pages(struct page *page)
{
	if (cki_guest() && cki_table_frame(page_to_phys(page))) {
		memcg_kmem_uncharge_page(page, 0);
		free_table(page);
	} else {
		__free_pages(page, compound_order(page));
	}
}
