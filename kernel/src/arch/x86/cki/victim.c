// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who is killed when page tables are used up: of the user who has most of them, the
 * process that has most. That need not be the one with most memory (mm/oom_kill.c);
 * and were it the process with most of all, a user's many small ones would have it
 * killed.
 */
#include <linux/cred.h>
#include <linux/hash.h>
#include <linux/jiffies.h>
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/oom.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/string.h>
#include <linux/uidgid.h>
#include <linux/user_namespace.h>

#include "guest.h"

/* What one who is killed needs to give its tables back; then the next is killed. */
#define PATIENCE (5 * HZ)

/* Users, and namespaces of root's, that share a hash count as one. */
#define USER_BITS 8
#define NOBODY (1 << USER_BITS)

/* So long an answer holds for all who ask who has most tables: they may be many. */
#define ANSWER_HOLDS (HZ / 10)

/* Of the sums of all users' tables. */
static DEFINE_MUTEX(sums_lock);

/* Bytes of tables that the process would give back, 0 if it must not be killed. */
static unsigned long tables_of(struct task_struct *process)
{
	struct task_struct *task;
	unsigned long bytes = 0;

	if (is_global_init(process) || process->flags & PF_KTHREAD)
		return 0;

	task = find_lock_task_mm(process);
	if (!task)
		return 0;
	if (process->signal->oom_score_adj != OOM_SCORE_ADJ_MIN && !in_vfork(task))
		bytes = mm_pgtables_bytes(task->mm);
	task_unlock(task);
	return bytes;
}

/*
 * All users of a user namespace count as the one who made it, and who may have many.
 * Root makes them for others, and not to have more: so those of one count as one.
 */
static unsigned int user_of(struct task_struct *process)
{
	const struct user_namespace *ns, *outermost = NULL;
	const struct cred *cred;
	unsigned int hash;

	rcu_read_lock();
	cred = __task_cred(process);
	for (ns = cred->user_ns; ns->parent; ns = ns->parent)
		outermost = ns;
	if (!outermost)
		hash = hash_32(__kuid_val(cred->uid), USER_BITS);
	else if (uid_eq(outermost->owner, GLOBAL_ROOT_UID))
		hash = hash_ptr(outermost, USER_BITS);
	else
		hash = hash_32(__kuid_val(outermost->owner), USER_BITS);
	rcu_read_unlock();
	return hash;
}

static bool is_dying(struct task_struct *process)
{
	return process->signal->flags & SIGNAL_GROUP_EXIT;
}

/* Ends all that share the memory of the process, since only the last gives tables back. */
static void kill_sharers(struct task_struct *victim, unsigned long tables)
{
	struct task_struct *task = find_lock_task_mm(victim);
	struct task_struct *process;
	struct mm_struct *mm;

	if (!task)
		return;
	mm = task->mm;
	mmgrab(mm);
	task_unlock(task);

	/* Its parent, and init of the container, know the reason by these words. */
	pr_err("Out of memory: Killed process %d (%s) for its page tables: %lukB, UID:%u\n",
	       task_tgid_nr(victim), victim->comm, tables >> 10,
	       from_kuid(&init_user_ns, task_uid(victim)));
	for_each_process(process) {
		if (!process_shares_mm(process, mm) || is_global_init(process) ||
		    process->flags & PF_KTHREAD)
			continue;
		do_send_sig_info(SIGKILL, SEND_SIG_PRIV, process, PIDTYPE_TGID);
	}
	mmdrop(mm);
}

/*
 * The user who has most page tables in processes that can be killed; whether some
 * of anybody's are on their way already. In an RCU section.
 */
static unsigned int heaviest_user(bool *dying)
{
	static unsigned long sums[1 << USER_BITS];
	struct task_struct *process;
	unsigned int i, user = 0;

	lockdep_assert_held(&sums_lock);
	memset(sums, 0, sizeof(sums));
	*dying = false;
	for_each_process(process) {
		unsigned long tables = tables_of(process);

		if (tables && is_dying(process))
			*dying = true;
		else
			sums[user_of(process)] += tables;
	}
	for (i = 1; i < ARRAY_SIZE(sums); i++)
		if (sums[i] > sums[user])
			user = i;
	return user;
}

/* The user who had most tables when somebody looked last, or NOBODY; and when that was. */
static unsigned int heaviest = NOBODY;
static unsigned long answered;

static bool answer_is_older_than(unsigned long age)
{
	return READ_ONCE(heaviest) == NOBODY ||
	       time_after(jiffies, READ_ONCE(answered) + age);
}

/*
 * One looks for all who ask, and the others take the answer that there is. Only where
 * that is too old do they wait for the lock, and then for one look: who gets the lock
 * next finds its answer.
 */
bool cki_has_most_tables(void)
{
	bool locked, dying;

	if (answer_is_older_than(2 * ANSWER_HOLDS)) {
		mutex_lock(&sums_lock);
		locked = true;
	} else {
		locked = answer_is_older_than(ANSWER_HOLDS) && mutex_trylock(&sums_lock);
	}
	if (locked) {
		if (answer_is_older_than(ANSWER_HOLDS)) {
			rcu_read_lock();
			WRITE_ONCE(heaviest, heaviest_user(&dying));
			rcu_read_unlock();
			WRITE_ONCE(answered, jiffies);
		}
		mutex_unlock(&sums_lock);
	}
	return READ_ONCE(heaviest) == user_of(current);
}

/*
 * Kills a process for its page tables, or leaves those who were killed some time.
 * Returns false if there is nobody to kill.
 */
bool cki_kill_for_tables(void)
{
	static unsigned long last_kill;
	struct task_struct *process, *victim = NULL;
	unsigned long most = 0;
	unsigned int user;
	bool dying;

	lockdep_assert_held(&oom_lock);
	mutex_lock(&sums_lock);
	rcu_read_lock();
	user = heaviest_user(&dying);
	for_each_process(process) {
		unsigned long tables = tables_of(process);

		if (tables > most && user_of(process) == user && !is_dying(process)) {
			most = tables;
			victim = process;
		}
	}
	if (victim && !(dying && time_before(jiffies, last_kill + PATIENCE))) {
		kill_sharers(victim, most);
		last_kill = jiffies;
	}
	rcu_read_unlock();
	mutex_unlock(&sums_lock);
	return victim || dying;
}
