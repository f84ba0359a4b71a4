// SPDX-License-Identifier: GPL-2.0-only
/*
 * The monitor's image: a static ELF file that the host's administrator installed. It is read once,
 * when the module is loaded, with the file system of the init process; no launcher has a say in it.
 */
#define pr_fmt(fmt) "cki: " fmt

#include <linux/elf.h>
#include <linux/kernel_read_file.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "internal.h"

static void *image;
static size_t image_size;

static const Elf64_Phdr *program_headers(unsigned int *count)
{
	const Elf64_Ehdr *header = image;

	*count = header->e_phnum;
	return image + header->e_phoff;
}

static bool well_formed(void)
{
	const Elf64_Ehdr *header = image;
	const Elf64_Phdr *program;
	unsigned int i, count;

	if (image_size < sizeof(*header) || memcmp(header->e_ident, ELFMAG, SELFMAG) ||
	    header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_machine != EM_X86_64 ||
	    header->e_type != ET_EXEC || header->e_phentsize != sizeof(*program) ||
	    header->e_entry != CKI_MONITOR_ENTRY || header->e_phoff > image_size ||
	    header->e_phnum > (image_size - header->e_phoff) / sizeof(*program))
		return false;
	program = program_headers(&count);
	for (i = 0; i < count; i++, program++) {
		if (program->p_type != PT_LOAD)
			continue;
		if (program->p_offset > image_size ||
		    program->p_filesz > image_size - program->p_offset ||
		    program->p_filesz > program->p_memsz ||
		    (program->p_vaddr & ~PAGE_MASK) || program->p_vaddr < CKI_IMAGE_BASE ||
		    program->p_memsz > CKI_IMAGE_SIZE ||
		    program->p_vaddr - CKI_IMAGE_BASE > CKI_IMAGE_SIZE - program->p_memsz ||
		    (program->p_flags & (PF_W | PF_X)) == (PF_W | PF_X))
			return false;
	}
	return true;
}

int cki_image_load(const char *path)
{
	ssize_t size = kernel_read_file_from_path_initns(path, 0, &image, CKI_IMAGE_SIZE, NULL,
							 READING_FIRMWARE);

	if (size < 0) {
		image = NULL;
		pr_err("%s: cannot read the monitor: error %zd\n", path, size);
		return size;
	}
	image_size = size;
	if (!well_formed()) {
		pr_err("%s: not a monitor for this module\n", path);
		cki_image_unload();
		return -ENOEXEC;
	}
	return 0;
}

void cki_image_unload(void)
{
	vfree(image);
	image = NULL;
}

bool cki_image_present(void)
{
	return image;
}

static int map_segment(struct cki_slot *slot, const Elf64_Phdr *program)
{
	unsigned int rights = CKI_MAP_KEY(CKI_PKEY_MONITOR);
	u64 at;

	if (program->p_flags & PF_W)
		rights |= CKI_MAP_WRITE;
	if (program->p_flags & PF_X)
		rights |= CKI_MAP_EXEC;
	for (at = 0; at < program->p_memsz; at += PAGE_SIZE) {
		void *page;
		int error = cki_slot_alloc(slot, program->p_vaddr + at, PAGE_SIZE, rights, &page);

		if (error)
			return error;
		if (at < program->p_filesz)
			memcpy(page, image + program->p_offset + at,
			       min_t(u64, PAGE_SIZE, program->p_filesz - at));
	}
	return 0;
}

int cki_image_map(struct cki_slot *slot)
{
	unsigned int i, count;
	const Elf64_Phdr *program = program_headers(&count);
	int error = 0;

	for (i = 0; i < count && !error; i++)
		if (program[i].p_type == PT_LOAD)
			error = map_segment(slot, &program[i]);
	return error;
}
