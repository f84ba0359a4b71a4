// SPDX-License-Identifier: GPL-2.0-only
/*
 * Eventfds: in the place of an exit to the launcher, and of a call of its.
 *
 * All are there before the start, and stay until the container is freed: who looks for one takes no
 * lock. A container holds the counter of an eventfd, not its file: with the last descriptor, nobody
 * is left to signal or to read it, and nothing else happens.
 */
#include <linux/eventfd.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/nospec.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/wait.h>

#include "eventfd.h"
#include "events.h"

/* A write of the guest's that signals. */
struct ioeventfd {
	struct cki_kept kept;
	struct eventfd_ctx *counter;
	u64 device;
	u64 offset;
	u64 size;
	bool any;		/* whatever is written */
	u64 value;
};

/* A signal that raises an event. */
struct irqfd {
	struct cki_kept kept;
	struct eventfd_ctx *counter;
	struct cki_vcpu *vcpu;
	u32 event;
	wait_queue_entry_t wait;
};

static u64 low_bytes(u64 value, u64 size)
{
	return size == 8 ? value : value & (BIT_ULL(8 * size) - 1);
}

bool cki_ioeventfd_signal(const struct cki_container *container, u64 device, u64 offset, u64 size,
			  u64 value)
{
	struct cki_kept *kept;

	for (kept = container->ioeventfds; kept; kept = kept->next) {
		const struct ioeventfd *it = container_of(kept, struct ioeventfd, kept);

		if (it->device != device || it->offset != offset || it->size != size)
			continue;
		if (!it->any && it->value != low_bytes(value, size))
			continue;
		/* Neither waits nor overflows, however often the guest writes. */
		eventfd_signal(it->counter);
		return true;
	}
	return false;
}

/* Whether some write would be both's. */
static bool is_taken(const struct cki_container *container, const struct ioeventfd *wanted)
{
	const struct cki_kept *kept;

	for (kept = container->ioeventfds; kept; kept = kept->next) {
		const struct ioeventfd *it = container_of(kept, struct ioeventfd, kept);

		if (it->device == wanted->device && it->offset == wanted->offset &&
		    it->size == wanted->size &&
		    (it->any || wanted->any || it->value == wanted->value))
			return true;
	}
	return false;
}

static void free_ioeventfd(struct cki_kept *kept)
{
	struct ioeventfd *it = container_of(kept, struct ioeventfd, kept);

	eventfd_ctx_put(it->counter);
	kfree(it);
}

static int keep_ioeventfd(struct cki_container *container, struct ioeventfd *it)
{
	int error = 0;

	mutex_lock(&container->lock);
	if (READ_ONCE(container->state) != CKI_NEW) {
		error = -EBUSY;
	} else if (is_taken(container, it)) {
		error = -EEXIST;
	} else if (container->ioeventfd_count == CKI_EVENTFDS_MAX) {
		error = -ENOSPC;
	} else {
		it->kept.next = container->ioeventfds;
		container->ioeventfds = &it->kept;
		container->ioeventfd_count++;
	}
	mutex_unlock(&container->lock);
	return error;
}

int cki_ioeventfd_add(struct cki_container *container, const struct cki_ioeventfd *wanted)
{
	u64 size = wanted->size;
	struct ioeventfd *it;
	int error;

	if (wanted->flags & ~CKI_IOEVENTFD_VALUE || wanted->device >= CKI_DEVICES_MAX ||
	    (size != 1 && size != 2 && size != 4 && size != 8) ||
	    wanted->offset >= CKI_FRAME_SIZE || wanted->value != low_bytes(wanted->value, size) ||
	    (!(wanted->flags & CKI_IOEVENTFD_VALUE) && wanted->value))
		return -EINVAL;
	it = kzalloc(sizeof(*it), GFP_KERNEL_ACCOUNT);
	if (!it)
		return -ENOMEM;
	it->kept.free = free_ioeventfd;
	it->device = wanted->device;
	it->offset = wanted->offset;
	it->size = size;
	it->any = !(wanted->flags & CKI_IOEVENTFD_VALUE);
	it->value = wanted->value;
	it->counter = eventfd_ctx_fdget(wanted->fd);
	if (IS_ERR(it->counter)) {
		error = PTR_ERR(it->counter);
		kfree(it);
		return error;
	}
	error = keep_ioeventfd(container, it);
	if (error)
		free_ioeventfd(&it->kept);
	return error;
}

/*
 * With the lock of the counter's queue held and interrupts off, by whoever signals: anybody who has
 * the descriptor, or the kernel. Nothing here waits, and nothing signals an eventfd in turn.
 */
static int signalled(wait_queue_entry_t *wait, unsigned int mode, int sync, void *key)
{
	struct irqfd *it = container_of(wait, struct irqfd, wait);
	u64 count;

	if (!(key_to_poll(key) & EPOLLIN))
		return 0;
	/* Or else it is full one day, and who signals waits. */
	eventfd_ctx_do_read(it->counter, &count);
	cki_vcpu_raise(it->vcpu, it->event);
	return 0;
}

static void discard_irqfd(struct irqfd *it)
{
	eventfd_ctx_put(it->counter);
	kfree(it);
}

/* Behind eventfd_ctx_remove_wait_queue, nobody is in signalled() any more, and nobody comes. */
static void free_irqfd(struct cki_kept *kept)
{
	struct irqfd *it = container_of(kept, struct irqfd, kept);
	u64 count;

	eventfd_ctx_remove_wait_queue(it->counter, &it->wait, &count);
	discard_irqfd(it);
}

/* The queue of an eventfd is known to nobody but whom it tells when it is polled. */
struct finder {
	poll_table table;
	struct irqfd *irqfd;
};

static void found(struct file *file, wait_queue_head_t *queue, poll_table *table)
{
	add_wait_queue(queue, &container_of(table, struct finder, table)->irqfd->wait);
}

/* Whether it would raise what it raises already. */
static bool raises_already(const struct cki_container *container, const struct irqfd *wanted)
{
	const struct cki_kept *kept;

	for (kept = container->irqfds; kept; kept = kept->next) {
		const struct irqfd *it = container_of(kept, struct irqfd, kept);

		if (it->counter == wanted->counter && it->vcpu == wanted->vcpu &&
		    it->event == wanted->event)
			return true;
	}
	return false;
}

static int keep_irqfd(struct cki_container *container, struct irqfd *it, struct file *file)
{
	struct finder finder = { .irqfd = it };
	int error = 0;

	mutex_lock(&container->lock);
	if (READ_ONCE(container->state) != CKI_NEW) {
		error = -EBUSY;
	} else if (raises_already(container, it)) {
		error = -EEXIST;
	} else if (container->irqfd_count == CKI_EVENTFDS_MAX) {
		error = -ENOSPC;
	} else {
		init_poll_funcptr(&finder.table, found);
		vfs_poll(file, &finder.table);
		it->kept.next = container->irqfds;
		container->irqfds = &it->kept;
		container->irqfd_count++;
	}
	mutex_unlock(&container->lock);
	return error;
}

static struct irqfd *new_irqfd(struct cki_vcpu *vcpu, u32 event, struct file *file)
{
	struct irqfd *it = kzalloc(sizeof(*it), GFP_KERNEL_ACCOUNT);

	if (!it)
		return ERR_PTR(-ENOMEM);
	it->kept.free = free_irqfd;
	it->vcpu = vcpu;
	it->event = event;
	init_waitqueue_func_entry(&it->wait, signalled);
	/* It is an eventfd's: eventfd_fget has looked. */
	it->counter = eventfd_ctx_fileget(file);
	return it;
}

int cki_irqfd_add(struct cki_container *container, const struct cki_irqfd *wanted)
{
	struct cki_vcpu *vcpu;
	struct irqfd *it;
	struct file *file;
	int error;

	if (wanted->flags || wanted->event >= CKI_EVENTS_MAX)
		return -EINVAL;
	if (wanted->vcpu >= container->vcpu_count)
		return -ENOENT;
	vcpu = cki_vcpu_of(container, array_index_nospec(wanted->vcpu, CKI_VCPUS_SUPPORTED));
	if (!vcpu)
		return -ENOENT;
	file = eventfd_fget(wanted->fd);
	if (IS_ERR(file))
		return PTR_ERR(file);
	it = new_irqfd(vcpu, wanted->event, file);
	error = PTR_ERR_OR_ZERO(it);
	if (!error) {
		error = keep_irqfd(container, it, file);
		if (error)
			discard_irqfd(it);
	}
	fput(file);
	return error;
}
