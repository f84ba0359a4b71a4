// SPDX-License-Identifier: GPL-2.0-only
/* vCPUs: what one is made of, and its area in slot 256. */
#include <linux/gfp.h>
#include <linux/slab.h>
#include <asm/tsc.h>

#include "vcpu.h"

static atomic64_t next_tag = ATOMIC64_INIT(1);

/* Pages of an area: key 2 what the CPU reads for the guest, key 1 the monitor's; gaps stay. */
static int map_area(struct cki_vcpu *vcpu)
{
	struct cki_slot *slot = &vcpu->container->slot;
	unsigned int own = CKI_MAP_WRITE | CKI_MAP_KEY(CKI_PKEY_MONITOR);
	unsigned int tables = CKI_MAP_WRITE | CKI_MAP_KEY(CKI_PKEY_TABLES);
	void *sw;
	int error, i;

	error = cki_slot_alloc(slot, vcpu->area + CKI_VCPU_GDT, 3 * PAGE_SIZE, tables, NULL);
	if (!error)
		error = cki_slot_alloc(slot, vcpu->area + CKI_VCPU_STATE, PAGE_SIZE, own, NULL);
	if (!error)
		error = cki_slot_alloc(slot, vcpu->area + CKI_VCPU_SWITCH, PAGE_SIZE, own, &sw);
	if (!error)
		error = cki_slot_alloc(slot, vcpu->area + CKI_VCPU_SCRATCH, PAGE_SIZE, own, NULL);
	if (!error)
		error = cki_slot_alloc(slot, vcpu->area + CKI_VCPU_STACK_TOP - 4 * PAGE_SIZE,
				       4 * PAGE_SIZE, own, NULL);
	for (i = 0; i < CKI_IST_COUNT && !error; i++)
		error = cki_slot_alloc(slot, vcpu->area + CKI_VCPU_IST_TOP +
				       i * CKI_VCPU_IST_STRIDE - PAGE_SIZE, PAGE_SIZE, own, NULL);
	if (!error)
		vcpu->sw = sw;
	return error;
}

void cki_vcpu_free(struct cki_vcpu *vcpu)
{
	hrtimer_cancel(&vcpu->timer);
	cki_fpu_free(&vcpu->fpu);
	free_page((unsigned long)vcpu->run);
	kfree(vcpu);
}

void cki_vcpu_discard(struct cki_vcpu *vcpu)
{
	cki_slot_undo(&vcpu->container->slot, vcpu->area, CKI_VCPU_STRIDE);
	cki_vcpu_free(vcpu);
}

struct cki_vcpu *cki_vcpu_new(struct cki_container *container, u32 number)
{
	struct cki_vcpu *vcpu = kzalloc(sizeof(*vcpu), GFP_KERNEL_ACCOUNT);
	int error = -ENOMEM;

	if (!vcpu)
		return ERR_PTR(-ENOMEM);
	vcpu->container = container;
	vcpu->number = number;
	vcpu->area = CKI_VCPU_BASE + number * CKI_VCPU_STRIDE;
	vcpu->cpu = -1;
	vcpu->running_on = -1;
	vcpu->tag = atomic64_inc_return(&next_tag);
	vcpu->could_run = rdtsc();
	mutex_init(&vcpu->mutex);
	init_waitqueue_head(&vcpu->idle);
	hrtimer_init(&vcpu->timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL);
	vcpu->run = (struct cki_run *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (vcpu->run)
		error = cki_fpu_alloc(&vcpu->fpu);
	if (!error)
		error = map_area(vcpu);
	if (error) {
		cki_vcpu_discard(vcpu);
		return ERR_PTR(error);
	}
	return vcpu;
}
