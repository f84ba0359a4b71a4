// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Ways back to user mode other than a plain SYSRET, good and bad: selectors and addresses that IRETQ does
 * not take, 32-bit code, breakpoints, single steps, a debugger. Prints what each led to.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define FLAG_TF (1UL << 8)
#define FLAG_DF (1UL << 10)
#define FLAG_AC (1UL << 18)
#define FLAG_ID (1UL << 21)

#define USER_CS 0x33
#define USER32_CS 0x23
#define USER_DS 0x2b

struct change {
	const char *what;
	int cs, ss;
	uint64_t rip, rsp;
};

static sigjmp_buf back;
static const struct change *wanted;

static void on_usr1(int signal, siginfo_t *info, void *context)
{
	greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
	uint64_t selectors = registers[REG_CSGSFS];

	(void)signal;
	(void)info;
	if (wanted->cs >= 0)
		selectors = (selectors & ~0xffffULL) | (uint64_t)wanted->cs;
	if (wanted->ss >= 0)
		selectors = (selectors & 0xffffffffffffULL) | (uint64_t)wanted->ss << 48;
	registers[REG_CSGSFS] = (greg_t)selectors;
	if (wanted->rip)
		registers[REG_RIP] = (greg_t)wanted->rip;
	if (wanted->rsp)
		registers[REG_RSP] = (greg_t)wanted->rsp;
}

static void on_fault(int signal, siginfo_t *info, void *context)
{
	greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;

	printf("%s: signal %d, code %d, trap %lld, error %#llx\n", wanted->what, signal,
	       info->si_code, registers[REG_TRAPNO], registers[REG_ERR]);
	siglongjmp(back, 1);
}

static void handle(int signal, void (*handler)(int, siginfo_t *, void *))
{
	struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK };

	sigaction(signal, &action, NULL);
}

/*
 * 32-bit code: adds 1 to EAX and goes back to 64-bit code behind it, which takes RSP and RIP from a
 * table, as the upper halves of registers do not survive.
 */
#define LOW 0x20000000
#define LOW_STACK 0x20000100
#define LOW_RETURN 0x20000108

static const unsigned char code32[] = {
	0x83, 0xc0, 0x01,				/* add $1, %eax */
	0xea, 0x0a, 0, 0, 0x20, USER_CS, 0,		/* ljmp $USER_CS, $LOW + 10 */
	0x48, 0x8b, 0x24, 0x25, 0x00, 0x01, 0, 0x20,	/* movq LOW_STACK, %rsp */
	0xff, 0x24, 0x25, 0x08, 0x01, 0, 0x20,		/* jmp *LOW_RETURN */
};

/* The same with a system call, which there is none of: ENOSYS. Some CPUs have SYSCALL in 32-bit code. */
static const unsigned char syscall32[] = {
	0xb8, 0x14, 0, 0, 0,				/* mov $20, %eax */
	0x0f, 0x05,					/* syscall */
	0xea, 0x0e, 0, 0, 0x20, USER_CS, 0,		/* ljmp $USER_CS, $LOW + 14 */
	0x48, 0x8b, 0x24, 0x25, 0x00, 0x01, 0, 0x20,	/* movq LOW_STACK, %rsp */
	0xff, 0x24, 0x25, 0x08, 0x01, 0, 0x20,		/* jmp *LOW_RETURN */
};

static void bad_returns(void)
{
	static const struct change changes[] = {
		{ "kernel code", 0x10, -1, 0, 0 },
		{ "data as code", USER_DS, -1, 0, 0 },
		{ "null code", 0, -1, 0, 0 },
		{ "no such code", 0xfff8, -1, 0, 0 },
		{ "code of the LDT", 0x0f, -1, 0, 0 },
		{ "task state as code", 0x43, -1, 0, 0 },
		{ "kernel data as stack", -1, 0x18, 0, 0 },
		{ "code as stack", -1, USER_CS, 0, 0 },
		{ "null stack", -1, 3, 0, 0 },
		{ "no such stack", -1, 0xfffb, 0, 0 },
		{ "stack of the LDT", -1, 0x0f, 0, 0 },
		{ "empty descriptor as stack", -1, 0x63, 0, 0 },
		{ "RIP not canonical", -1, -1, 0x8000000000000000, 0 },
		{ "RIP in the kernel", -1, -1, 0xffffffff81000000, 0 },
		{ "RIP in the hole's first page", -1, -1, 0x800000000000, 0 },
		{ "RSP not canonical", -1, -1, 0, 0x8000000000000000 },
	};
	for (volatile size_t i = 0; i < sizeof(changes) / sizeof(*changes); i++) {
		wanted = &changes[i];
		if (sigsetjmp(back, 1) == 0) {
			raise(SIGUSR1);
			printf("%s: nothing happened\n", wanted->what);
		}
	}
}

/* Runs 32-bit code a thousand times, and counts how often it left this result in EAX. */
static void compatibility_mode(const char *what, const unsigned char *code, size_t size, int result)
{
	static struct change change = { "", USER32_CS, -1, LOW, 0 };
	void *low = mmap((void *)LOW, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	long self = getpid(), sum = 0;

	if (low == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	memcpy(low, code, size);
	change.what = what;
	wanted = &change;
	for (int i = 0; i < 1000; i++) {
		register long rax asm("rax") = SYS_kill;

		asm volatile("subq $128, %%rsp\n\t"
			     "pushq %%rbp; pushq %%rbx\n\t"
			     "pushq %%r12; pushq %%r13; pushq %%r14; pushq %%r15\n\t"
			     "movq %%rsp, %c[stack]\n\t"
			     "leaq 1f(%%rip), %%rdx; movq %%rdx, %c[target]\n\t"
			     "syscall\n"
			     "1:\n\t"
			     "popq %%r15; popq %%r14; popq %%r13; popq %%r12\n\t"
			     "popq %%rbx; popq %%rbp\n\t"
			     "addq $128, %%rsp"
			     : "+r"(rax)
			     : "D"(self), "S"((long)SIGUSR1),
			       [stack] "i"(LOW_STACK), [target] "i"(LOW_RETURN)
			     : "rcx", "rdx", "r8", "r9", "r10", "r11", "memory", "cc");
		sum += (int)rax == result;
	}
	printf("%s ran %ld times\n", what, sum);
}

static unsigned long steps;

static void on_trap(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)info;
	(void)context;
	steps++;
}

static void traps(void)
{
	struct itimerval often = { { 0, 300 }, { 0, 300 } }, never = { 0 };
	unsigned long flags = 0;

	handle(SIGTRAP, on_trap);
	handle(SIGALRM, on_trap);
	for (int i = 0; i < 1000; i++)
		asm volatile("int3" ::: "memory");
	printf("%lu breakpoints\n", steps);

	steps = 0;
	asm volatile("pushf; orq %0, (%%rsp); popf\n\t"
		     "nop; nop; nop; nop; nop; nop; nop; nop\n\t"
		     "pushf; andq %1, (%%rsp); popf"
		     :
		     : "r"(FLAG_TF), "r"(~FLAG_TF)
		     : "memory", "cc");
	printf("%lu single steps\n", steps);

	/* Flags survive whatever interrupts. */
	signal(SIGTRAP, SIG_DFL);
	setitimer(ITIMER_REAL, &often, NULL);
	for (int i = 0; i < 200; i++) {
		asm volatile("pushf; orq %1, (%%rsp); popf\n\t"
			     "movl $20000, %%ecx\n"
			     "1:\tdecl %%ecx; jnz 1b\n\t"
			     "pushf; popq %0\n\t"
			     "pushf; andq %2, (%%rsp); popf"
			     : "=&r"(flags)
			     : "r"(FLAG_DF | FLAG_AC | FLAG_ID),
			       "r"(~(FLAG_DF | FLAG_AC))
			     : "rcx", "memory", "cc");
		if ((flags & (FLAG_DF | FLAG_AC | FLAG_ID)) != (FLAG_DF | FLAG_AC | FLAG_ID))
			printf("flags %#lx\n", flags);
	}
	setitimer(ITIMER_REAL, &never, NULL);
	printf("flags stay\n");
}

/* A debugger steps a child over system calls, faults and breakpoints, and gives it registers. */
static void debugger(void)
{
	struct user_regs_struct registers;
	unsigned long stopped = 0;
	int status;
	pid_t child = fork();

	if (child == 0) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		for (int i = 0; i < 50; i++) {
			volatile char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
						   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

			*page = 1;
			munmap((void *)page, 4096);
		}
		_exit(7);
	}
	waitpid(child, &status, 0);
	while (stopped < 20000 && ptrace(PTRACE_SINGLESTEP, child, 0, 0) == 0 &&
	       waitpid(child, &status, 0) == child && WIFSTOPPED(status))
		stopped++;
	printf("stepped child: %s\n", WIFEXITED(status) && WEXITSTATUS(status) == 7 ? "ended" : "?");

	static const struct { const char *what; uint64_t rip; int ss; } changes[] = {
		{ "RIP not canonical", 0x4000000000000000, USER_DS },
		{ "SS of code", 0, USER_CS },
		{ "SS without a descriptor", 0, 0x73 },
	};
	for (size_t i = 0; i < sizeof(changes) / sizeof(*changes); i++) {
		child = fork();
		if (child == 0) {
			ptrace(PTRACE_TRACEME, 0, 0, 0);
			raise(SIGSTOP);
			_exit(0);
		}
		waitpid(child, &status, 0);
		ptrace(PTRACE_GETREGS, child, 0, &registers);
		if (changes[i].rip)
			registers.rip = changes[i].rip;
		registers.ss = (unsigned long)changes[i].ss;
		int refused = ptrace(PTRACE_SETREGS, child, 0, &registers) != 0 ? errno : 0;

		ptrace(PTRACE_CONT, child, 0, 0);
		waitpid(child, &status, 0);
		printf("%s: errno %d, %s %d\n", changes[i].what, refused,
		       WIFSTOPPED(status) ? "stopped by" : "ended with",
		       WIFSTOPPED(status) ? WSTOPSIG(status) : WEXITSTATUS(status));
		kill(child, SIGKILL);
		waitpid(child, &status, 0);
	}
}

int main(void)
{
	stack_t stack = { .ss_sp = malloc(65536), .ss_size = 65536 };

	setvbuf(stdout, NULL, _IOLBF, 0);
	sigaltstack(&stack, NULL);
	handle(SIGUSR1, on_usr1);
	handle(SIGSEGV, on_fault);
	handle(SIGBUS, on_fault);
	handle(SIGILL, on_fault);
	bad_returns();
	compatibility_mode("32-bit code", code32, sizeof(code32), 1);
	compatibility_mode("SYSCALL of 32-bit code", syscall32, sizeof(syscall32), -ENOSYS);
	traps();
	debugger();
	printf("all returned\n");
	return 0;
}
