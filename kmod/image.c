// SPDX-License-Identifier: GPL-2.0-only
/*
 * The monitor's image: a static ELF file, read once, when the module is loaded, with the file
 * system of the init process. It will run in ring 0, so it has to be the one that the module was
 * built with: who vouches for the module, by a signature or by whatever else the host demands of
 * modules, vouches for the monitor.
 */
#define pr_fmt(fmt) "cki: " fmt

#include <linux/elf.h>
#include <linux/kernel_read_file.h>
#include <linux/panic.h>
#include <linux/security.h>
#include <linux/string.h>
#include <linux/vmalloc.h>
#include <crypto/sha2.h>

#include "image.h"
#include "monitors.h"

static const u8 built_with[SHA256_DIGEST_SIZE] = CKI_MONITOR_SHA256;

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

#ifdef CKI_TEST_MONITORS
static const u8 test_monitors[][SHA256_DIGEST_SIZE] = { CKI_TEST_MONITORS };

/*
 * A build for tests also takes monitors that lack a check. It says so, marks the kernel, and does
 * not where the host lets nobody into its kernel.
 */
static bool is_test_monitor(const u8 *digest)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(test_monitors); i++) {
		if (memcmp(digest, test_monitors[i], SHA256_DIGEST_SIZE))
			continue;
		if (security_locked_down(LOCKDOWN_MODULE_SIGNATURE))
			return false;
		pr_warn("this monitor lacks a check: its containers are not isolated\n");
		add_taint(TAINT_TEST, LOCKDEP_STILL_OK);
		return true;
	}
	return false;
}
#else
static bool is_test_monitor(const u8 *digest)
{
	return false;
}
#endif

static bool trusted(void)
{
	u8 digest[SHA256_DIGEST_SIZE];

	sha256(image, image_size, digest);
	return !memcmp(digest, built_with, sizeof(digest)) || is_test_monitor(digest);
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
	if (!trusted()) {
		pr_err("%s: not the monitor that this module was built with\n", path);
		cki_image_unload();
		return -EKEYREJECTED;
	}
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
