/* SPDX-License-Identifier: GPL-2.0-only */
/* What cki_switch puts back of the host: offsets for switch.S, the structure for world.c. */
#ifndef CKI_SWITCH_H
#define CKI_SWITCH_H

#define HOST_AREA		0
#define HOST_BRIDGE		8
#define HOST_CR3		16
#define HOST_MSRS		24
#define HOST_GDT_WRITABLE	64
#define HOST_GDT		80
#define HOST_IDT		96
#define HOST_LDT		112
#define HOST_EXIT		120

#ifndef __ASSEMBLER__

#include <linux/build_bug.h>
#include <linux/linkage.h>
#include <linux/stddef.h>
#include <linux/types.h>
#include <asm/desc_defs.h>

struct cki_host_state {
	u64 area;			/* of the vCPU, in slot 256 */
	u64 bridge;			/* for CR3, with the PCID */
	u64 cr3;
	u64 msrs[4];			/* LSTAR, CSTAR, FMASK, KERNEL_GS_BASE */
	struct desc_ptr gdt_writable __aligned(16);
	struct desc_ptr gdt __aligned(16);
	struct desc_ptr idt __aligned(16);
	u16 ldt __aligned(16);
	const u64 *exit;		/* why the monitor left: CKI_KSM_EXIT_* */
};

static_assert(offsetof(struct cki_host_state, area) == HOST_AREA);
static_assert(offsetof(struct cki_host_state, bridge) == HOST_BRIDGE);
static_assert(offsetof(struct cki_host_state, cr3) == HOST_CR3);
static_assert(offsetof(struct cki_host_state, msrs) == HOST_MSRS);
static_assert(offsetof(struct cki_host_state, gdt_writable) == HOST_GDT_WRITABLE);
static_assert(offsetof(struct cki_host_state, gdt) == HOST_GDT);
static_assert(offsetof(struct cki_host_state, idt) == HOST_IDT);
static_assert(offsetof(struct cki_host_state, ldt) == HOST_LDT);
static_assert(offsetof(struct cki_host_state, exit) == HOST_EXIT);

asmlinkage void cki_switch(const struct cki_host_state *host);

#endif /* __ASSEMBLER__ */
#endif /* CKI_SWITCH_H */
