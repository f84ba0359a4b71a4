// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Signals and timers: from a timer, from other processes and threads, in the middle of system calls and
 * of floating-point work, on a stack of their own. Prints what arrived, never how long it took.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t ticks, queued, on_own_stack;
static char *own_stack;
static volatile double disturbed;

static void fail(const char *what)
{
	printf("failed: %s (%s)\n", what, strerror(errno));
	exit(1);
}

static void handle(int signal, void (*handler)(int, siginfo_t *, void *), int flags)
{
	struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags };

	if (sigaction(signal, &action, NULL))
		fail("sigaction");
}

static void on_tick(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)info, (void)context;
	/* The interrupted program's registers must not notice. */
	disturbed = disturbed * 1.5 + 2.25;
	ticks++;
}

static void on_queued(int signal, siginfo_t *info, void *context)
{
	char here;

	(void)signal, (void)context;
	queued += info->si_value.sival_int;
	if (&here >= own_stack && &here < own_stack + 65536)
		on_own_stack++;
}

/* Sums with floating-point registers full while a timer interrupts again and again. */
static void timers(void)
{
	struct itimerval every = { { 0, 2000 }, { 0, 2000 } }, never = { 0 };
	double expected = 0, sum = 0;

	for (int i = 1; i <= 100000; i++)
		expected += 1.0 / i;
	setitimer(ITIMER_REAL, &every, NULL);
	while (ticks < 50) {
		sum = 0;
		for (int i = 1; i <= 100000; i++)
			sum += 1.0 / i;
		if (sum != expected)
			fail("a sum was disturbed");
	}
	setitimer(ITIMER_REAL, &never, NULL);
	printf("timers: 50 ticks, sum %.12f\n", sum);
}

static void interrupted_calls(void)
{
	struct itimerval once = { { 0, 0 }, { 0, 20000 } };
	struct timespec second = { 1000, 0 };
	int fds[2], before = ticks;
	char byte;

	if (pipe(fds))
		fail("pipe");
	setitimer(ITIMER_REAL, &once, NULL);
	if (read(fds[0], &byte, 1) != -1 || errno != EINTR)
		fail("read was not interrupted");
	setitimer(ITIMER_REAL, &once, NULL);
	if (nanosleep(&second, NULL) != -1 || errno != EINTR)
		fail("nanosleep was not interrupted");
	printf("interrupted calls: %d\n", (int)ticks - before);
}

static void queue(void)
{
	stack_t stack = { .ss_size = 65536 };
	int status;

	own_stack = stack.ss_sp = malloc(65536);
	sigaltstack(&stack, NULL);
	handle(SIGRTMIN + 3, on_queued, SA_ONSTACK | SA_RESTART);
	for (int child = 1; child <= 5; child++) {
		if (!fork()) {
			for (int i = 1; i <= 20; i++)
				if (sigqueue(getppid(), SIGRTMIN + 3, (union sigval){ .sival_int = i }))
					_exit(1);
			_exit(0);
		}
	}
	while (wait(&status) > 0)
		if (status)
			fail("sigqueue");
	printf("queued: %d on own stack, sum %d\n", (int)on_own_stack, (int)queued);
}

static void *counting(void *argument)
{
	sigset_t set;
	int signal, *count = argument;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	for (int i = 0; i < 100; i++) {
		sigwait(&set, &signal);
		__atomic_add_fetch(count, signal == SIGUSR2, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

static void threads(void)
{
	pthread_t thread[4];
	int counts[4] = { 0 };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	for (int i = 0; i < 4; i++)
		pthread_create(&thread[i], NULL, counting, &counts[i]);
	for (int n = 0; n < 100; n++)
		for (int i = 0; i < 4; i++) {
			/* Equal signals merge: one at a time. */
			pthread_kill(thread[i], SIGUSR2);
			while (__atomic_load_n(&counts[i], __ATOMIC_SEQ_CST) <= n)
				sched_yield();
		}
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	printf("threads: %d %d %d %d\n", counts[0], counts[1], counts[2], counts[3]);
}

static void descriptors(void)
{
	struct itimerspec every = { { 0, 3000000 }, { 0, 3000000 } };
	struct signalfd_siginfo info;
	struct epoll_event event = { .events = EPOLLIN };
	unsigned long long expired, total = 0;
	int timer = timerfd_create(CLOCK_MONOTONIC, 0), epoll = epoll_create1(0), signals;
	sigset_t set;

	epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &event);
	timerfd_settime(timer, 0, &every, NULL);
	while (total < 20) {
		if (epoll_wait(epoll, &event, 1, -1) != 1 || read(timer, &expired, 8) != 8)
			fail("timerfd");
		total += expired;
	}
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signals = signalfd(-1, &set, 0);
	if (!fork())
		_exit(7);
	if (read(signals, &info, sizeof(info)) != sizeof(info))
		fail("signalfd");
	printf("descriptors: child %d of status %d\n", info.ssi_signo == SIGCHLD, info.ssi_status);
}

static void stops(void)
{
	int status;
	pid_t pid = fork();

	if (!pid)
		for (;;)
			;
	kill(pid, SIGSTOP);
	waitpid(pid, &status, WUNTRACED);
	printf("stops: %d", WIFSTOPPED(status));
	kill(pid, SIGCONT);
	waitpid(pid, &status, WCONTINUED);
	printf(" %d", !!WIFCONTINUED(status));
	kill(pid, SIGTERM);
	waitpid(pid, &status, 0);
	printf(" %d\n", WTERMSIG(status));
}

int main(void)
{
	struct timespec before, after;

	setvbuf(stdout, NULL, _IOLBF, 0);
	handle(SIGALRM, on_tick, 0);
	clock_gettime(CLOCK_MONOTONIC, &before);
	timers();
	interrupted_calls();
	queue();
	threads();
	descriptors();
	stops();
	clock_gettime(CLOCK_MONOTONIC, &after);
	/* 50 ticks of 2 ms, 20 of 3 ms and two waits of 20 ms take at least 200 ms. */
	if ((after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000 < 190)
		fail("the clock is slow");
	puts("all signals arrived");
	return 0;
}
