// SPDX-License-Identifier: GPL-2.0-only
/*
 * Threads and processes that touch one page for the first time at the same moment, each of them on
 * a CPU of its own.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/lab.h"
#include "lib/memory.h"

#define NR_RUNNERS 2
#define NR_PAGES 1024
#define NR_ROUNDS 12

struct race {
	unsigned int arrived;	/* runners */
	char *mapping;
};

struct runner {
	struct race *race;
	unsigned int number;
	void (*touch)(char *page, unsigned int word);
};

/* Lets the runners go on when all have come here. */
static void meet(struct race *race)
{
	__atomic_add_fetch(&race->arrived, 1, __ATOMIC_ACQ_REL);
	while (__atomic_load_n(&race->arrived, __ATOMIC_ACQUIRE) < NR_RUNNERS)
		sched_yield();
}

static unsigned int word_of(size_t page, unsigned int runner)
{
	return page * NR_RUNNERS + runner + 1;
}

/*
 * Touches all pages. Who comes late finds the pages there and so catches up with the first: they
 * meet at one page again and again.
 */
static void run(void *argument)
{
	const struct runner *runner = argument;
	struct race *race = runner->race;
	cpu_set_t cpu;
	size_t i;

	CPU_ZERO(&cpu);
	CPU_SET(runner->number, &cpu);
	ASSERT_OK(sched_setaffinity(0, sizeof(cpu), &cpu));
	meet(race);
	for (i = 0; i < NR_PAGES; i++)
		runner->touch(race->mapping + i * PAGE, word_of(i, runner->number));
}

/* Of one address space: two pages at one place would not be seen, but one of them is lost. */
static void read_byte(char *page, unsigned int word)
{
	(void)word;
	touch_pages(page, 1);
}

/* Of two: each could have a page of its own. The words of the runners are side by side. */
static void write_word(char *page, unsigned int word)
{
	unsigned int *words = (unsigned int *)page;

	__atomic_store_n(&words[(word - 1) % NR_RUNNERS], word, __ATOMIC_RELAXED);
}

static void *run_thread(void *argument)
{
	run(argument);
	return NULL;
}

static void race_threads(void *unused)
{
	struct race race = { .mapping = map_pages(NR_PAGES) };
	struct runner runners[NR_RUNNERS];
	pthread_t threads[NR_RUNNERS];
	unsigned int i;

	(void)unused;
	for (i = 0; i < NR_RUNNERS; i++) {
		runners[i] = (struct runner){ .race = &race, .number = i, .touch = read_byte };
		ASSERT_EQ(pthread_create(&threads[i], NULL, run_thread, &runners[i]), 0);
	}
	for (i = 0; i < NR_RUNNERS; i++)
		ASSERT_EQ(pthread_join(threads[i], NULL), 0);
	ASSERT(pages_are_zero(race.mapping, NR_PAGES));
	unmap_pages(race.mapping, NR_PAGES);
}

static void check_words(const char *mapping)
{
	unsigned int number;
	size_t i;

	for (i = 0; i < NR_PAGES; i++) {
		const unsigned int *words = (const unsigned int *)(mapping + i * PAGE);

		for (number = 0; number < NR_RUNNERS; number++) {
			if (words[number] != word_of(i, number))
				FAIL("page %zu lacks what runner %u has written", i, number);
		}
	}
}

static void race_processes(void *argument)
{
	struct race *race = argument;
	pid_t children[NR_RUNNERS];
	unsigned int i;

	race->arrived = 0;
	race->mapping = map_pages(NR_PAGES);
	for (i = 0; i < NR_RUNNERS; i++) {
		struct runner runner = { .race = race, .number = i, .touch = write_word };

		children[i] = start_child(run, &runner);
	}
	for (i = 0; i < NR_RUNNERS; i++)
		expect_exit(children[i]);
	check_words(race->mapping);
	unmap_pages(race->mapping, NR_PAGES);
}

static void need_cpus(void)
{
	if (sysconf(_SC_NPROCESSORS_ONLN) < NR_RUNNERS)
		skip("a race needs as many CPUs as it has runners");
}

/* Threads that touch a page at once get the same one, again and again, and none is lost. */
static void threads(void)
{
	need_cpus();
	expect_no_growth(race_threads, NULL, NR_ROUNDS);
}

/* So do a parent's children. */
static void processes(void)
{
	need_cpus();
	expect_no_growth(race_processes, shared_memory(sizeof(struct race)), NR_ROUNDS);
}

static const struct ktap_case cases[] = {
	{ .name = "threads", .run = threads, .timeout_s = 300 },
	{ .name = "processes", .run = processes, .timeout_s = 300 },
};

int main(int argc, char **argv)
{
	return ktap_main(argc, argv, cases, ARRAY_SIZE(cases));
}
