/* SPDX-License-Identifier: GPL-2.0-only */
/* Slot 256 of a container's address spaces. */
#ifndef CKI_SLOT_H
#define CKI_SLOT_H

#include <linux/list.h>
#include <linux/types.h>

#include <cki/abi.h>

struct cki_slot {
	u64 *l3;
	u64 *bridge;		/* the host's kernel half and the slot */
	struct list_head pages;	/* all that was allocated for it */
	struct list_head all;	/* of the slots there are */
};

/* Rights of a mapping in the slot. */
#define CKI_MAP_WRITE	1U
#define CKI_MAP_EXEC	2U
#define CKI_MAP_KEY(k)	((unsigned int)(k) << 8)

int cki_slot_init(struct cki_slot *slot);
void cki_slot_free(struct cki_slot *slot);
/* What is new in the host's L4 gets into all bridges. */
void cki_slots_follow_host(void);
/* Maps size bytes of zeroed pages at va; pages[] (may be NULL) gets their addresses. */
int cki_slot_alloc(struct cki_slot *slot, u64 va, u64 size, unsigned int rights, void **pages);
/*
 * Gives back what cki_slot_alloc has allocated in a range, all or a part of it, before anything has
 * used it.
 */
void cki_slot_undo(struct cki_slot *slot, u64 va, u64 size);
/* Maps a chunk of container memory. */
int cki_slot_map_chunk(struct cki_slot *slot, u64 va, u64 hpa, unsigned int rights);
u64 cki_slot_entry(const struct cki_slot *slot);
/* How many pages all slots together have. */
u32 cki_slot_pages(void);

#endif /* CKI_SLOT_H */
