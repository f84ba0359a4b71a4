// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Page tables at work: mmap, mprotect, mremap, munmap, copy on write over fork, shared memory, huge
 * pages where there are any, stacks that grow. Every page is written with what only it has and checked
 * again after everything that moved it. Prints one line a part; exits with 1 at the first difference.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096UL
#define PAGES 4000UL

static sigjmp_buf fault;

static void on_fault(int signal)
{
	(void)signal;
	siglongjmp(fault, 1);
}

static void fail(const char *part, size_t page)
{
	printf("%s: page %zu differs\n", part, page);
	exit(1);
}

static uint64_t mark(size_t page, uint64_t salt)
{
	return (page + 1) * 0x9e3779b97f4a7c15ULL ^ salt;
}

static void fill(char *at, size_t pages, uint64_t salt)
{
	for (size_t page = 0; page < pages; page++) {
		uint64_t *words = (uint64_t *)(at + page * PAGE);

		words[0] = mark(page, salt);
		words[PAGE / 8 - 1] = ~words[0];
	}
}

static void check(const char *part, const char *at, size_t first, size_t pages, uint64_t salt)
{
	for (size_t page = 0; page < pages; page++) {
		const uint64_t *words = (const uint64_t *)(at + page * PAGE);

		if (words[0] != mark(first + page, salt) || words[PAGE / 8 - 1] != ~words[0])
			fail(part, page);
	}
}

static char *map(size_t pages, int flags)
{
	char *at = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | flags, -1, 0);

	if (at == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	return at;
}

static int faults(volatile char *at, int write)
{
	if (sigsetjmp(fault, 1))
		return 1;
	if (write)
		*at = 1;
	else
		(void)*at;
	return 0;
}

static void zeroes(void)
{
	char *at = map(PAGES, MAP_PRIVATE);

	for (size_t i = 0; i < PAGES * PAGE / 8; i++)
		if (((uint64_t *)at)[i])
			fail("zeroes", i * 8 / PAGE);
	munmap(at, PAGES * PAGE);
	puts("fresh pages are zero");
}

static void protection(void)
{
	char *at = map(PAGES, MAP_PRIVATE);
	int caught = 0;

	fill(at, PAGES, 1);
	for (size_t page = 0; page < PAGES; page += 2)
		mprotect(at + page * PAGE, PAGE, PROT_READ);
	for (size_t page = 0; page < PAGES; page++)
		caught += faults(at + page * PAGE + 8, 1);
	mprotect(at, PAGES * PAGE, PROT_NONE);
	for (size_t page = 0; page < PAGES; page += 100)
		caught += faults(at + page * PAGE, 0);
	mprotect(at, PAGES * PAGE, PROT_READ | PROT_WRITE);
	check("protection", at, 0, PAGES, 1);
	munmap(at, PAGES * PAGE);
	caught += faults(at, 0);
	printf("protection: %d faults\n", caught);
}

static void moving(void)
{
	char *at = map(PAGES, MAP_PRIVATE), *to;

	fill(at, PAGES, 2);
	for (size_t grown = PAGES; grown < 4 * PAGES; grown += PAGES / 2) {
		to = mremap(at, grown * PAGE, (grown + PAGES / 2) * PAGE, MREMAP_MAYMOVE);
		if (to == MAP_FAILED)
			fail("moving", 0);
		at = to;
		check("moving", at, 0, PAGES, 2);
	}
	/* A hole in the middle, and the upper part somewhere else. */
	munmap(at + PAGES / 4 * PAGE, PAGES / 4 * PAGE);
	to = map(PAGES, MAP_PRIVATE);
	to = mremap(at + PAGES / 2 * PAGE, PAGES / 2 * PAGE, PAGES / 2 * PAGE,
		    MREMAP_MAYMOVE | MREMAP_FIXED, to);
	check("moving", to, PAGES / 2, PAGES / 2, 2);
	check("moving", at, 0, PAGES / 4, 2);
	puts("pages move with their contents");
}

static void copy_on_write(void)
{
	char *private = map(PAGES, MAP_PRIVATE), *shared = map(PAGES, MAP_SHARED);
	int status;

	fill(private, PAGES, 3);
	fill(shared, PAGES, 4);
	for (int child = 0; child < 4; child++) {
		if (!fork()) {
			check("copy in child", private, 0, PAGES, 3);
			fill(private, PAGES, 100 + child);
			fill(shared, PAGES, 5 + child);
			/* A grandchild that shares what its parent has copied. */
			if (!fork()) {
				check("copy in grandchild", private, 0, PAGES, 100 + child);
				fill(private, PAGES / 2, 9);
				_exit(0);
			}
			wait(&status);
			check("copy after grandchild", private, 0, PAGES, 100 + child);
			_exit(WEXITSTATUS(status));
		}
		wait(&status);
		if (status)
			fail("copy on write", child);
		check("copy in parent", private, 0, PAGES, 3);
		check("shared", shared, 0, PAGES, 5 + child);
	}
	puts("copies are private, shared pages shared");
}

static void discarding(void)
{
	char *at = map(PAGES, MAP_PRIVATE);

	fill(at, PAGES, 6);
	madvise(at + PAGES / 2 * PAGE, PAGES / 2 * PAGE, MADV_DONTNEED);
	check("discarding", at, 0, PAGES / 2, 6);
	for (size_t page = PAGES / 2; page < PAGES; page++)
		if (*(uint64_t *)(at + page * PAGE))
			fail("discarding", page);
	puts("discarded pages are zero again");
}

static void huge(void)
{
	/* With or without huge pages in the kernel the contents are the same. */
	size_t size = 8UL << 20;
	char *at = map(size / PAGE * 2, MAP_PRIVATE);
	char *aligned = (char *)(((uintptr_t)at + (2UL << 20) - 1) & ~((2UL << 20) - 1));

	madvise(aligned, size, MADV_HUGEPAGE);
	fill(aligned, size / PAGE, 7);
	mprotect(aligned + size / 2, PAGE, PROT_READ);
	munmap(aligned + (3UL << 20), PAGE);
	check("huge", aligned, 0, (3UL << 20) / PAGE, 7);
	check("huge", aligned + (3UL << 20) + PAGE, (3UL << 20) / PAGE + 1,
	      (size - (3UL << 20)) / PAGE - 1, 7);
	puts("split pages keep their contents");
}

static unsigned long deep(unsigned long depth)
{
	volatile char frame[2000];

	memset((void *)frame, depth & 0x7f, sizeof(frame));
	return depth ? deep(depth - 1) + frame[depth % sizeof(frame)] : 0;
}

static void execution(void)
{
	static const unsigned char answer[] = { 0xb8, 42, 0, 0, 0, 0xc3 };
	char *at = map(1, MAP_PRIVATE);
	int result;

	memcpy(at, answer, sizeof(answer));
	mprotect(at, PAGE, PROT_READ | PROT_EXEC);
	result = ((int (*)(void))at)();
	printf("written code gives %d\n", result);
}

int main(void)
{
	struct sigaction action = { .sa_handler = on_fault };

	setvbuf(stdout, NULL, _IOLBF, 0);
	sigaction(SIGSEGV, &action, NULL);
	zeroes();
	protection();
	moving();
	copy_on_write();
	discarding();
	huge();
	printf("a stack of 2000 frames: %lu\n", deep(2000));
	execution();
	return 0;
}
