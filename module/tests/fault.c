// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults: of one thread, of several at the same moment, of the kernel, and outside of a mapping.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "lib/ktap.h"
#include "paging/device.h"

#define NR_PAGES 64
#define NR_RUNNERS 4		/* threads, or processes */
#define RACE_PAGES 16
#define MIN_ROUNDS 4
#define READ_WRITE (PROT_READ | PROT_WRITE)

/* What the runners share; not in the device's memory. */
struct race {
	unsigned int arrived, ready;	/* runners */
	char *mapping;
};

struct runner {
	struct race *race;
	unsigned int number;
	void (*run)(char *mapping, unsigned int number);
};

/*
 * Lets the runners go on when all have come here. At first they let the others come, which may be
 * on the same CPU; then they spin, to be off at the same moment.
 */
static void meet(struct race *race)
{
	__atomic_add_fetch(&race->arrived, 1, __ATOMIC_ACQ_REL);
	while (__atomic_load_n(&race->arrived, __ATOMIC_ACQUIRE) < NR_RUNNERS)
		sched_yield();
	__atomic_add_fetch(&race->ready, 1, __ATOMIC_ACQ_REL);
	while (__atomic_load_n(&race->ready, __ATOMIC_ACQUIRE) < NR_RUNNERS)
		;
}

/* Each runner has a CPU of its own, if there are as many. */
static void run_alone(struct runner *runner)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	cpu_set_t cpu;

	CPU_ZERO(&cpu);
	CPU_SET(runner->number % cpus, &cpu);
	ASSERT_OK(sched_setaffinity(0, sizeof(cpu), &cpu));
	meet(runner->race);
	runner->run(runner->race->mapping, runner->number);
}

static void *run_thread(void *argument)
{
	run_alone(argument);
	return NULL;
}

static void run_process(void *argument)
{
	run_alone(argument);
}

/* Runs the function in all runners at once, on a new mapping, and returns that. */
static char *race_threads(void (*run)(char *mapping, unsigned int number))
{
	struct race race = { .mapping = map_pages(RACE_PAGES, READ_WRITE) };
	struct runner runners[NR_RUNNERS];
	pthread_t threads[NR_RUNNERS];
	unsigned int i;

	for (i = 0; i < NR_RUNNERS; i++) {
		runners[i] = (struct runner){ .race = &race, .number = i, .run = run };
		ASSERT_EQ(pthread_create(&threads[i], NULL, run_thread, &runners[i]), 0);
	}
	for (i = 0; i < NR_RUNNERS; i++)
		ASSERT_EQ(pthread_join(threads[i], NULL), 0);
	return race.mapping;
}

static char *race_processes(void (*run)(char *mapping, unsigned int number))
{
	struct race *race = shared_memory(sizeof(*race));
	pid_t children[NR_RUNNERS];
	unsigned int i;

	race->mapping = map_pages(RACE_PAGES, READ_WRITE);
	for (i = 0; i < NR_RUNNERS; i++) {
		struct runner runner = { .race = race, .number = i, .run = run };

		children[i] = start_child(run_process, &runner);
	}
	for (i = 0; i < NR_RUNNERS; i++)
		expect_exit(children[i]);
	return race->mapping;
}

/*
 * Races are run again and again for some time, since they need luck. Where CPUs are emulated, by
 * fewer than they are, a round may take a second.
 */
static bool another_round(unsigned int round, int seconds)
{
	static struct timespec began;
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (!round)
		began = now;
	return round < MIN_ROUNDS || now.tv_sec - began.tv_sec < seconds;
}

/*
 * Writes a word of its own into each page. Who comes late finds the pages there and so catches up
 * with the first: they meet at one page again and again.
 */
static void write_words(char *mapping, unsigned int number)
{
	size_t i;

	for (i = 0; i < RACE_PAGES; i++) {
		unsigned int *words = (unsigned int *)(mapping + i * PAGE);

		__atomic_store_n(&words[number], i * NR_RUNNERS + number + 1, __ATOMIC_RELAXED);
	}
}

static void check_words(const char *mapping)
{
	size_t i, k;

	for (i = 0; i < RACE_PAGES; i++) {
		const unsigned int *words = (const unsigned int *)(mapping + i * PAGE);

		for (k = 0; k < NR_RUNNERS; k++)
			ASSERT_EQ(words[k], i * NR_RUNNERS + k + 1);
		for (; k < PAGE / sizeof(*words); k++)
			ASSERT_EQ(words[k], 0);
	}
}

/*
 * Threads that touch a page at the same moment get the same page: as many are allocated as there
 * are, and each holds what every thread wrote.
 */
static void threads_one_page(void)
{
	unsigned int round;

	for (round = 0; another_round(round, 5); round++) {
		long allocated = counter("pages_allocated");
		char *mapping = race_threads(write_words);

		ASSERT_EQ(counter("pages_allocated") - allocated, RACE_PAGES);
		check_words(mapping);
		ASSERT_OK(munmap(mapping, RACE_PAGES * PAGE));
		ASSERT_EQ(counter("pages_live"), 0);
	}
}

/* Processes that share a mapping and touch a page at the same moment get the same page. */
static void processes_one_page(void)
{
	unsigned int round;

	for (round = 0; another_round(round, 2); round++) {
		long allocated = counter("pages_allocated");
		long faults = counter("faults");
		char *mapping = race_processes(write_words);

		ASSERT_EQ(counter("pages_allocated") - allocated, RACE_PAGES);
		/* Each has a page table of its own. */
		ASSERT_EQ(counter("faults") - faults, by_mode(NR_RUNNERS * RACE_PAGES, 0));
		check_words(mapping);
		ASSERT_OK(munmap(mapping, RACE_PAGES * PAGE));
		ASSERT_EQ(counter("pages_live"), 0);
	}
}

/* Every fourth page. */
static void fill_own_pages(char *mapping, unsigned int number)
{
	size_t i;

	for (i = number; i < RACE_PAGES; i += NR_RUNNERS) {
		ASSERT(page_is_zero(mapping + i * PAGE));
		fill_page(mapping + i * PAGE, i);
	}
}

/* Threads that touch different pages of a mapping at the same moment get a page each. */
static void threads_other_pages(void)
{
	unsigned int round;

	for (round = 0; another_round(round, 2); round++) {
		long allocated = counter("pages_allocated");
		long faults = counter("faults");
		char *mapping = race_threads(fill_own_pages);

		ASSERT_EQ(counter("pages_allocated") - allocated, RACE_PAGES);
		ASSERT_EQ(counter("faults") - faults, by_mode(RACE_PAGES, 0));
		ASSERT(pages_hold(mapping, 0, RACE_PAGES));
		ASSERT_OK(munmap(mapping, RACE_PAGES * PAGE));
	}
}

/* One thread takes one fault at each page, however often and in whatever way it uses it. */
static void counted_once(void)
{
	char *mapping = map_pages(NR_PAGES, READ_WRITE);
	long faults = counter("faults");
	size_t i;

	for (i = 0; i < NR_PAGES; i++) {
		/* From the last to the first; reading first, or writing. */
		char *page = mapping + (NR_PAGES - 1 - i) * PAGE;

		if (i % 2)
			ASSERT(page_is_zero(page));
		fill_page(page, i);
		ASSERT_EQ(counter("faults") - faults, by_mode(i + 1, 0));
		ASSERT(page_holds(page, i));
		fill_page(page, i + 1);
		ASSERT_EQ(counter("faults") - faults, by_mode(i + 1, 0));
	}
}

/* read(2) into pages not yet touched works, and takes one fault at each. */
static void kernel_writes(void)
{
	char *mapping = map_pages(NR_PAGES, READ_WRITE);
	long faults = counter("faults");
	char data[PAGE];
	int ends[2];
	size_t i;

	ASSERT_OK(pipe(ends));
	for (i = 0; i < NR_PAGES; i++) {
		fill_page(data, i);
		ASSERT_EQ(write(ends[1], data, PAGE), PAGE);
		ASSERT_EQ(read(ends[0], mapping + i * PAGE, PAGE), PAGE);
		ASSERT_EQ(counter("faults") - faults, by_mode(i + 1, 0));
	}
	ASSERT(pages_hold(mapping, 0, NR_PAGES));
	ASSERT_EQ(counter("pages_live"), NR_PAGES);
}

/* write(2) from pages not yet touched gives zeros, and takes one fault at each. */
static void kernel_reads(void)
{
	char *mapping = map_pages(NR_PAGES, READ_WRITE);
	long faults = counter("faults");
	char data[PAGE];
	int ends[2];
	size_t i;

	ASSERT_OK(pipe(ends));
	for (i = 0; i < NR_PAGES; i++) {
		fill_page(data, i);
		ASSERT_EQ(write(ends[1], mapping + i * PAGE, PAGE), PAGE);
		ASSERT_EQ(read(ends[0], data, PAGE), PAGE);
		ASSERT(page_is_zero(data));
		ASSERT_EQ(counter("faults") - faults, by_mode(i + 1, 0));
	}
	ASSERT_EQ(counter("pages_live"), NR_PAGES);
}

/* An access just before or just after a mapping raises SIGSEGV, and does not reach the device. */
static void beyond_the_ends(void)
{
	char *guard = reserve_pages(NR_PAGES + 2);
	char *mapping = guard + PAGE;
	char *end = mapping + NR_PAGES * PAGE;
	long faults = counter("faults");

	map_pages_at(mapping, NR_PAGES, READ_WRITE);
	ASSERT_EQ(try_read(mapping - 1), SIGSEGV);
	ASSERT_EQ(try_write(mapping - 1, 1), SIGSEGV);
	ASSERT_EQ(try_read(end), SIGSEGV);
	ASSERT_EQ(try_write(end, 1), SIGSEGV);
	ASSERT_EQ(counter("faults"), faults);
	ASSERT_EQ(try_write(mapping, 1), 0);
	ASSERT_EQ(try_write(end - 1, 2), 0);
	ASSERT_EQ(counter("faults") - faults, by_mode(2, 0));
	ASSERT_EQ(mapping[0], 1);
	ASSERT_EQ(end[-1], 2);
}

/* An access to an unmapped page within a mapping raises SIGSEGV, and does not reach the device. */
static void in_a_hole(void)
{
	char *mapping = map_pages(NR_PAGES, READ_WRITE);
	long faults = counter("faults");
	char *hole = mapping + 5 * PAGE;
	int ends[2];

	ASSERT_OK(munmap(hole, PAGE));
	ASSERT_EQ(try_read(hole), SIGSEGV);
	ASSERT_EQ(try_write(hole + PAGE - 1, 1), SIGSEGV);
	ASSERT_OK(pipe(ends));
	ASSERT_ERRNO(write(ends[1], hole, PAGE), EFAULT);
	ASSERT_EQ(counter("faults"), faults);
	ASSERT_EQ(try_write(hole - 1, 1), 0);
	ASSERT_EQ(try_write(hole + PAGE, 1), 0);
	ASSERT_EQ(counter("faults") - faults, by_mode(2, 0));
}

static const struct ktap_case cases[] = {
	{ .name = "threads_one_page", .run = threads_one_page, .timeout_s = 120 },
	{ .name = "processes_one_page", .run = processes_one_page },
	{ .name = "threads_other_pages", .run = threads_other_pages, .timeout_s = 120 },
	{ .name = "counted_once", .run = counted_once },
	{ .name = "kernel_writes", .run = kernel_writes },
	{ .name = "kernel_reads", .run = kernel_reads },
	{ .name = "beyond_the_ends", .run = beyond_the_ends },
	{ .name = "in_a_hole", .run = in_a_hole },
};

int main(int argc, char **argv)
{
	return ktap_main(argc, argv, cases, ARRAY_SIZE(cases));
}
