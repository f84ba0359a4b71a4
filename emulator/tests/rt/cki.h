/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The CKI extension by the names that the tests use, and what else they need
 * of the processor and the runtime.
 */
#ifndef CKI_TESTS_CKI_H
#define CKI_TESTS_CKI_H

#include "extension.h"

#define CPUID_CKI		CKI_CPUID_LEAF
#define CPUID_CKI_FEATURES	CKI_CPUID_FEATURES_LEAF	/* EBX: number of CKI_CTL */
#define CKI_VERSION		CKI_ISA_VERSION
#define MSR_CKI_CTL		CKI_MSR_CTL
#define CKI_CTL_EN		CKI_MSR_CTL_EN

/* Bit 3 of byte 4 of an IDT gate, beside IST: a privileged gate. */
#define GATE_PRIV		(CKI_GATE_PRIVILEGED >> 32)

#define MSR_PKRS		CKI_MSR_IA32_PKRS

/* Two bits a key: AD (no access) and WD (no write). */
#define KEY_AD(k)		(1 << (2 * (k)))
#define KEY_WD(k)		(2 << (2 * (k)))

/* Key 0 free, key 1 (monitor) closed, key 2 (tables) read-only, others closed. */
#define PKRS_GUEST		CKI_PKRS_GUEST
/* Another value of the same kind: key 1 readable. */
#define PKRS_OTHER		0xffffffe8
/* Everything but key 0 closed: even the tables the processor reads. */
#define PKRS_CLOSED		0xfffffffc

#define PTE_KEY(k)		((k) << 59)

#define CR0_PG			(1 << 31)
#define CR0_TS			(1 << 3)
#define CR4_PKS			(1 << 24)
#define CR4_SMAP		(1 << 21)

#define RFLAGS_TF		(1 << 8)
#define RFLAGS_IF		(1 << 9)
#define RFLAGS_IOPL		(3 << 12)
#define RFLAGS_NT		(1 << 14)
#define RFLAGS_RF		(1 << 16)
#define RFLAGS_VM		(1 << 17)
#define RFLAGS_AC		(1 << 18)

#define VEC_DE			0
#define VEC_DB			1
#define VEC_NMI			2
#define VEC_BP			3
#define VEC_UD			6
#define VEC_NM			7
#define VEC_DF			8
#define VEC_TS			10
#define VEC_NP			11
#define VEC_SS			12
#define VEC_GP			13
#define VEC_PF			14
#define VEC_MC			18
#define VEC_IRQ			0x40		/* sent to itself by a test */
#define VEC_USER		0x80		/* unprivileged gate, DPL 3 */
#define VEC_USER_PRIV		0x81		/* privileged gate, DPL 3 */
#define NO_EVENT		0xffff

/* What rt_self sends: a vector, or this. */
#define SEND_NMI		0x400

#define PF_P			0x01
#define PF_W			0x02
#define PF_U			0x04
#define PF_I			0x10
#define PF_PK			0x20

/* Selectors of the runtime's GDT. */
#define SEL_KCODE		0x08
#define SEL_KDATA		0x10
#define SEL_UCODE32		0x18
#define SEL_UDATA		0x20
#define SEL_UCODE		0x28
#define SEL_UCODE3		0x2b		/* with RPL 3 */
#define SEL_UDATA3		0x23
#define SEL_KCODE32		0x30
#define SEL_CALLGATE		0x38		/* 16 bytes; DPL 0 */
#define SEL_TSS			0x48		/* 16 bytes */
#define SEL_UCALLGATE		0x58		/* 16 bytes; DPL 3 */
#define SEL_LDT			0x68		/* 16 bytes */
#define SEL_TSS2		0x78		/* 16 bytes; not loaded */

#endif
