// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Protection keys of user memory: PKRU belongs to a thread, whatever other threads and programs do with
 * theirs. Prints what happened, never how long it took.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS 200

static sigjmp_buf back;
static volatile int code, key_of_fault;

static void fail(const char *what)
{
	printf("failed: %s (%s)\n", what, strerror(errno));
	exit(1);
}

static unsigned int rdpkru(void)
{
	unsigned int value, high;

	asm volatile(".byte 0x0f, 0x01, 0xee" : "=a"(value), "=d"(high) : "c"(0));
	return value;
}

static void wrpkru(unsigned int value)
{
	asm volatile(".byte 0x0f, 0x01, 0xef" : : "a"(value), "c"(0), "d"(0) : "memory");
}

static void on_fault(int signal, siginfo_t *info, void *context)
{
	code = info->si_code;
	key_of_fault = info->si_pkey;
	siglongjmp(back, 1);
}

/*
 * A stranger that takes all memory from itself and stays on the processor. Linux ends it when it cannot write
 * the stranger's rseq area.
 */
static void beside_a_stranger(void)
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		if (setuid(65534))
			_exit(9);
		asm volatile("xor %ecx, %ecx; xor %edx, %edx; mov $3, %eax;"
			     ".byte 0x0f, 0x01, 0xef; 1: jmp 1b");
	}
	for (int i = 0; i < 20; i++)
		usleep(50000);
	if (kill(child, SIGKILL) || waitpid(child, &status, 0) != child)
		fail("the stranger ended by itself");
	printf("the stranger ended by signal %d\n", WTERMSIG(status));
}

static void *keeps_its_own(void *value)
{
	unsigned int mine = (rdpkru() & ~0xf0u) | (unsigned int)(long)value << 4;

	wrpkru(mine);
	for (int i = 0; i < ROUNDS; i++) {
		if (rdpkru() != mine)
			return "another thread's PKRU";
		usleep(100);
	}
	return NULL;
}

int main(void)
{
	struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };
	pthread_t threads[3];
	void *wrong;
	char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int key = pkey_alloc(0, PKEY_DISABLE_WRITE);

	setvbuf(stdout, NULL, _IONBF, 0);
	if (key < 0)
		fail("pkey_alloc");
	if (page == MAP_FAILED || sigaction(SIGSEGV, &action, NULL))
		fail("set-up");
	*page = 1;
	if (pkey_mprotect(page, 4096, PROT_READ | PROT_WRITE, key))
		fail("pkey_mprotect");
	if (!sigsetjmp(back, 1)) {
		printf("read %d\n", *page);
		*page = 2;
		printf("written\n");
	} else {
		printf("code %d, the key that was allocated: %d\n", code, key_of_fault == key);
	}
	if (pkey_free(key))
		fail("pkey_free");

	beside_a_stranger();

	for (long i = 0; i < 3; i++)
		if (pthread_create(&threads[i], NULL, keeps_its_own, (void *)(i * 5)))
			fail("pthread_create");
	for (int i = 0; i < 3; i++) {
		if (pthread_join(threads[i], &wrong))
			fail("pthread_join");
		printf("thread %d: %s\n", i, wrong ? (char *)wrong : "its own");
	}
	return 0;
}
