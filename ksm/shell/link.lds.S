/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The monitor's image, linked to where it runs (cki-abi, layout). A page or more for each set of
   rights; the module maps them by program header. */
#include <cki/abi.h>

ENTRY(monitor_entry)

PHDRS {
	text PT_LOAD FLAGS(5);
	rodata PT_LOAD FLAGS(4);
	data PT_LOAD FLAGS(6);
}

SECTIONS {
	. = CKI_IMAGE_BASE;
	.text : { *(.gates) *(.text .text.*) } :text
	. = ALIGN(4096);
	.rodata : { *(.rodata .rodata.*) *(.got .got.*) *(.data.rel.ro .data.rel.ro.*) } :rodata
	. = ALIGN(4096);
	.data : { *(.data .data.*) } :data
	.bss : { *(.bss .bss.*) *(COMMON) } :data
	ASSERT(. <= CKI_IMAGE_BASE + CKI_IMAGE_SIZE, "the image exceeds its place")
	/DISCARD/ : { *(.eh_frame .eh_frame_hdr .comment .note .note.* .gnu.hash .dynsym .dynstr .hash .dynamic .interp .debug*) }
}

ASSERT(gate_call == CKI_GATE_CALL, "GATE_CALL")
ASSERT(gate_iret == CKI_GATE_IRET, "GATE_IRET")
ASSERT(monitor_entry == CKI_MONITOR_ENTRY, "MONITOR_ENTRY")
