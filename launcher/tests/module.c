// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * A host module for tests of the binary, preloaded into it: it answers the calls of /dev/cki on any
 * descriptor, as CKI_FAKE_* in the environment say. No guest runs: CKI_RUN says "running" on standard
 * error, gives one exit if it is told to, and waits for CKI_KILL.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/cki.h>

#define BASE 0x40000000ULL

static char *memory;
static unsigned long long memory_size;
static struct cki_run *page;
static atomic_int killed;

static unsigned long long setting(const char *name, unsigned long long otherwise)
{
	const char *value = getenv(name);

	return value ? strtoull(value, NULL, 0) : otherwise;
}

static int fail(int error)
{
	errno = error;
	return -1;
}

static void *new_memory(const char *name, unsigned long long size, int *fd)
{
	*fd = memfd_create(name, MFD_CLOEXEC);
	if (*fd < 0 || ftruncate(*fd, size))
		abort();
	return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
}

static int get_info(struct cki_info *info)
{
	memset(info, 0, sizeof(*info));
	info->missing = setting("CKI_FAKE_MISSING", 0);
	info->mode = info->missing ? CKI_MODE_NONE : CKI_MODE_CKI;
	info->abi_version = setting("CKI_FAKE_ABI", CKI_ABI_VERSION);
	info->vcpus_max = 1;
	info->pool_size = 1ULL << 30;
	info->pool_free = setting("CKI_FAKE_FREE", 1ULL << 30);
	return 0;
}

static int create(struct cki_create *create)
{
	int fd;

	if (setting("CKI_FAKE_PIECES", 0))
		return fail(ENOSPC);
	memory_size = create->memory_size;
	memory = new_memory("container", memory_size, &fd);
	create->segment_count = 1;
	create->segments[0].base = BASE;
	create->segments[0].size = memory_size;
	return fd;
}

static int start(struct cki_start *start)
{
	if (!setting("CKI_FAKE_REFUSE", 0))
		return 0;
	start->refusal_op = CKI_OP_SEAL;
	start->refusal_error = CKI_E_GADGET;
	return fail(EPERM);
}

static int run(void)
{
	static const char running[] = "running\n", words[] = "Kernel panic - not syncing: test\n";
	static int exits;

	if (!exits++) {
		if (write(STDERR_FILENO, running, sizeof(running) - 1) < 0)
			return fail(EIO);
		page->exit_reason = setting("CKI_FAKE_EXIT", CKI_EXIT_INTR);
		if (page->exit_reason == CKI_EXIT_PANIC) {
			/* Data: kernel and tables are at the start. */
			memcpy(memory + memory_size / 2, words, sizeof(words) - 1);
			page->console.hpa = BASE + memory_size / 2;
			page->console.length = sizeof(words) - 1;
		} else if (page->exit_reason == CKI_EXIT_GUEST_FAULT) {
			page->fault.vector = 14;
		}
		return 0;
	}
	while (!atomic_load(&killed))
		usleep(1000);
	return fail(ESHUTDOWN);
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list list;
	void *argument;
	int vcpu;

	va_start(list, request);
	argument = va_arg(list, void *);
	va_end(list);
	switch (request) {
	case CKI_GET_VERSION:
		return setting("CKI_FAKE_VERSION", CKI_UAPI_VERSION);
	case CKI_GET_INFO:
		return get_info(argument);
	case CKI_CREATE_CONTAINER:
		return create(argument);
	case CKI_CREATE_VCPU:
		page = new_memory("vcpu", CKI_RUN_SIZE, &vcpu);
		return vcpu;
	case CKI_START:
		return start(argument);
	case CKI_RAISE_EVENT:
	case CKI_IOEVENTFD:
	case CKI_IRQFD:
		return 0;
	case CKI_KILL:
		atomic_store(&killed, 1);
		return 0;
	case CKI_RUN:
		return run();
	default:
		return syscall(SYS_ioctl, fd, request, argument);
	}
}
