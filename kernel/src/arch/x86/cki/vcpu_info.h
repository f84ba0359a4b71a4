/* SPDX-License-Identifier: GPL-2.0-only */
/* Members of this vCPU's struct cki_vcpu_info, for assembler code. */
#ifndef _CKI_VCPU_INFO_H
#define _CKI_VCPU_INFO_H

#include <asm/percpu.h>
#include <cki/abi.h>

#define INFO(member)	PER_CPU_VAR(cki_vcpu_info + CKI_OFFSETOF_VCPU_INFO_##member)

#endif /* _CKI_VCPU_INFO_H */
