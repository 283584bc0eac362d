// SPDX-License-Identifier: GPL-2.0-only
/*
 * Many processes and threads at random: all data is checked all the time.
 *
 * A worker is a process; its threads share a table of mappings, the slots. What changes a mapping's
 * structure (mmap, munmap, mprotect, mremap) holds the slot's lock for writing; what touches its
 * pages (and fork) holds it for reading, so that faults of one mapping and even of one page come
 * from several threads, and from forked children, at once. The random numbers follow from the
 * seed; the order in which threads run does not.
 */
#define _GNU_SOURCE
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/ktap.h"
#include "paging/device.h"

#define NR_WORKERS 4
#define NR_THREADS 3
#define NR_SLOTS 6
#define MAX_PAGES 64
#define NR_CHURNERS 6

/*
 * What a page holds: a word of each thread, a word of each thread's children, a word that all
 * threads and children count up, and a pattern (or zeros).
 */
struct page {
	unsigned int own[NR_THREADS];
	unsigned int child[NR_THREADS];
	unsigned int count;
	unsigned int pattern[PAGE / 4 - 2 * NR_THREADS - 1];
};

static_assert(sizeof(struct page) == PAGE);

/* What is known of a page. */
struct known {
	struct page *at;		/* NULL: unmapped */
	unsigned int part;		/* the same for the pages of one VMA */
	int protection;
	unsigned int own[NR_THREADS];
	unsigned int child[NR_THREADS];
	unsigned int count;
	unsigned int tag;		/* of the pattern; 0: zeros */
};

struct slot {
	pthread_rwlock_t lock;
	unsigned int pages;		/* 0: no mapping */
	unsigned int parts;
	struct known known[MAX_PAGES];
};

/* What all workers have done. */
struct done {
	unsigned long touches, maps, unmaps, splits, protects, moves, forks, mapped_pages;
};

struct thread {
	pthread_t thread;
	unsigned int worker, number, state;
};

static struct slot slots[NR_SLOTS];
static struct done *done;
static double end_s;

/* Every failure has the seed. */
#define CHECK(condition)							\
	do {									\
		if (!(condition))						\
			FAIL("seed %lu, worker %u, thread %u: expected %s",	\
			     ktap_options.seed, thread->worker,			\
			     thread->number, #condition);			\
	} while (0)

static void add(unsigned long *number, unsigned long amount)
{
	__atomic_fetch_add(number, amount, __ATOMIC_RELAXED);
}

static double now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

static unsigned int below(struct thread *thread, unsigned int limit)
{
	return (next_random(&thread->state) >> 8) % limit;
}

static unsigned int seed(unsigned int worker, unsigned int number)
{
	unsigned int state = ktap_options.seed * 2654435761U + worker * 40503U + number * 977U + 1;

	next_random(&state);
	return state;
}

static void use_cpu(unsigned int number)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(number % sysconf(_SC_NPROCESSORS_ONLN), &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static unsigned int pattern_word(unsigned int tag, size_t i)
{
	return tag ? tag * 2654435761U + i : 0;
}

static bool pattern_holds(const struct page *page, unsigned int tag)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(page->pattern); i++) {
		if (page->pattern[i] != pattern_word(tag, i))
			return false;
	}
	return true;
}

/* With the lock held for writing: nothing else changes the page. */
static void verify_all(struct thread *thread, const struct known *known)
{
	unsigned int i;

	if (!known->at || !(known->protection & PROT_READ))
		return;
	for (i = 0; i < NR_THREADS; i++) {
		CHECK(known->at->own[i] == known->own[i]);
		CHECK(known->at->child[i] == known->child[i]);
	}
	CHECK(known->at->count == known->count);
	CHECK(pattern_holds(known->at, known->tag));
}

/* With the lock held for reading: the pattern and the words of this thread stay. */
static void verify_own(struct thread *thread, const struct known *known)
{
	if (!known->at || !(known->protection & PROT_READ))
		return;
	CHECK(known->at->own[thread->number] == known->own[thread->number]);
	CHECK(known->at->child[thread->number] == known->child[thread->number]);
	CHECK(pattern_holds(known->at, known->tag));
}

static bool writable(const struct known *known)
{
	return known->at && known->protection == (PROT_READ | PROT_WRITE);
}

static void touch(struct thread *thread, struct slot *slot)
{
	unsigned int count = 1 + below(thread, 8);

	while (count-- > 0) {
		struct known *known = &slot->known[below(thread, slot->pages)];

		/* Often first by writing, often by reading. */
		if (below(thread, 2))
			verify_own(thread, known);
		if (writable(known)) {
			unsigned int value = next_random(&thread->state);

			known->own[thread->number] = value;
			known->at->own[thread->number] = value;
			__atomic_fetch_add(&known->at->count, 1, __ATOMIC_RELAXED);
			__atomic_fetch_add(&known->count, 1, __ATOMIC_RELAXED);
		}
		verify_own(thread, known);
		add(&done->touches, 1);
	}
}

/*
 * A child verifies, and writes one word and counts up each of some pages; the parent goes on in
 * the meantime.
 */
static void fork_child(struct thread *thread, struct slot *slot)
{
	unsigned int first = below(thread, slot->pages), value = next_random(&thread->state), i;
	unsigned int stop = first + 1 + below(thread, slot->pages - first);
	pid_t child = fork();
	int status;

	CHECK(child >= 0);
	if (!child) {
		for (i = first; i < stop; i++) {
			struct known *known = &slot->known[i];

			verify_own(thread, known);
			if (!writable(known))
				continue;
			known->at->child[thread->number] = value + i;
			__atomic_fetch_add(&known->at->count, 1, __ATOMIC_RELAXED);
		}
		_exit(0);
	}
	/* Other pages than the child's, and not only by this thread. */
	for (i = 0; i < first; i++)
		verify_own(thread, &slot->known[i]);
	CHECK(waitpid(child, &status, 0) == child);
	CHECK(status == 0);
	for (i = first; i < stop; i++) {
		struct known *known = &slot->known[i];

		if (!writable(known))
			continue;
		known->child[thread->number] = value + i;
		__atomic_fetch_add(&known->count, 1, __ATOMIC_RELAXED);
		verify_own(thread, known);
	}
	add(&done->forks, 1);
}

static void map(struct thread *thread, struct slot *slot)
{
	unsigned int pages = 1 + below(thread, MAX_PAGES), i;
	char *mapping = map_pages(pages, PROT_READ | PROT_WRITE);

	memset(slot->known, 0, sizeof(slot->known));
	slot->pages = pages;
	slot->parts = 1;
	for (i = 0; i < pages; i++) {
		slot->known[i].at = (struct page *)(mapping + i * PAGE);
		slot->known[i].protection = PROT_READ | PROT_WRITE;
	}
	add(&done->mapped_pages, pages);
	add(&done->maps, 1);
}

/* The pages from this one on get a part of their own: a VMA begins here. */
static void cut(struct slot *slot, unsigned int here)
{
	unsigned int part, i;

	if (here == 0 || here >= slot->pages)
		return;
	part = slot->known[here].part;
	if (slot->known[here - 1].part != part)
		return;
	for (i = here; i < slot->pages && slot->known[i].part == part; i++)
		slot->known[i].part = slot->parts;
	slot->parts++;
}

/* A random range of mapped pages within one VMA; false if there is none. */
static bool choose(struct thread *thread, struct slot *slot, unsigned int *first,
		   unsigned int *stop)
{
	unsigned int page = below(thread, slot->pages), low = page, high = page + 1;
	unsigned int part = slot->known[page].part;

	if (!slot->known[page].at)
		return false;
	while (low > 0 && slot->known[low - 1].part == part)
		low--;
	while (high < slot->pages && slot->known[high].part == part)
		high++;
	*first = low + below(thread, page - low + 1);
	*stop = page + 1 + below(thread, high - page);
	return true;
}

static void unmap_range(struct thread *thread, struct slot *slot, unsigned int first,
			unsigned int stop)
{
	unsigned int i;

	cut(slot, first);
	cut(slot, stop);
	CHECK(munmap(slot->known[first].at, (stop - first) * PAGE) == 0);
	for (i = first; i < stop; i++)
		slot->known[i].at = NULL;
}

static void unmap_part(struct thread *thread, struct slot *slot)
{
	unsigned int first, stop, i;

	if (!choose(thread, slot, &first, &stop))
		return;
	for (i = first; i < stop; i++)
		verify_all(thread, &slot->known[i]);
	unmap_range(thread, slot, first, stop);
	add(&done->splits, 1);
}

static void unmap_all(struct thread *thread, struct slot *slot)
{
	unsigned int first, stop;

	/* Half of the time, since this touches all pages. */
	if (below(thread, 2)) {
		for (first = 0; first < slot->pages; first++)
			verify_all(thread, &slot->known[first]);
	}
	for (first = 0; first < slot->pages; first = stop) {
		stop = first + 1;
		if (!slot->known[first].at)
			continue;
		while (stop < slot->pages && slot->known[stop].at &&
		       slot->known[stop].part == slot->known[first].part)
			stop++;
		unmap_range(thread, slot, first, stop);
	}
	slot->pages = 0;
	add(&done->unmaps, 1);
}

static void protect(struct thread *thread, struct slot *slot)
{
	static const int all[] = { PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE };
	int protection = all[below(thread, ARRAY_SIZE(all))];
	unsigned int first, stop, i;

	if (!choose(thread, slot, &first, &stop))
		return;
	CHECK(mprotect(slot->known[first].at, (stop - first) * PAGE, protection) == 0);
	/* With nothing to change the VMA is not split. */
	if (slot->known[first].protection != protection) {
		cut(slot, first);
		cut(slot, stop);
	}
	for (i = first; i < stop; i++) {
		slot->known[i].protection = protection;
		verify_all(thread, &slot->known[i]);
	}
	add(&done->protects, 1);
}

static void move(struct thread *thread, struct slot *slot)
{
	unsigned int first, stop, i;
	size_t bytes;
	char *place;

	if (!choose(thread, slot, &first, &stop))
		return;
	bytes = (stop - first) * PAGE;
	place = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CHECK(place != MAP_FAILED);
	CHECK(mremap(slot->known[first].at, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, place) ==
	      place);
	cut(slot, first);
	cut(slot, stop);
	for (i = first; i < stop; i++) {
		slot->known[i].at = (struct page *)(place + (i - first) * PAGE);
		verify_all(thread, &slot->known[i]);
	}
	add(&done->moves, 1);
}

static void fill(struct thread *thread, struct slot *slot)
{
	struct known *known = &slot->known[below(thread, slot->pages)];
	size_t i;

	if (!writable(known))
		return;
	known->tag = next_random(&thread->state);
	for (i = 0; i < ARRAY_SIZE(known->at->pattern); i++)
		known->at->pattern[i] = pattern_word(known->tag, i);
	verify_all(thread, known);
}

static void change(struct thread *thread, struct slot *slot)
{
	if (!slot->pages) {
		map(thread, slot);
		return;
	}
	switch (below(thread, 10)) {
	case 0:
	case 1:
		unmap_part(thread, slot);
		break;
	case 2:
	case 3:
	case 4:
		protect(thread, slot);
		break;
	case 5:
		move(thread, slot);
		break;
	case 6:
		unmap_all(thread, slot);
		break;
	default:
		fill(thread, slot);
	}
}

static void *run_thread(void *argument)
{
	struct thread *thread = argument;

	use_cpu(thread->worker + thread->number);
	while (now_s() < end_s) {
		struct slot *slot = &slots[below(thread, NR_SLOTS)];

		if (below(thread, 4) == 0) {
			pthread_rwlock_wrlock(&slot->lock);
			change(thread, slot);
		} else {
			pthread_rwlock_rdlock(&slot->lock);
			if (slot->pages && below(thread, 16) == 0)
				fork_child(thread, slot);
			else if (slot->pages)
				touch(thread, slot);
		}
		pthread_rwlock_unlock(&slot->lock);
	}
	return NULL;
}

static void run_worker(void *argument)
{
	unsigned int worker = *(unsigned int *)argument, i;
	struct thread threads[NR_THREADS];

	for (i = 0; i < NR_SLOTS; i++)
		pthread_rwlock_init(&slots[i].lock, NULL);
	for (i = 0; i < NR_THREADS; i++) {
		threads[i] = (struct thread){
			.worker = worker, .number = i, .state = seed(worker, i),
		};
		if (pthread_create(&threads[i].thread, NULL, run_thread, &threads[i]))
			FAIL("seed %lu: pthread_create", ktap_options.seed);
	}
	for (i = 0; i < NR_THREADS; i++)
		pthread_join(threads[i].thread, NULL);
	for (i = 0; i < NR_SLOTS; i++) {
		if (slots[i].pages)
			unmap_all(&threads[0], &slots[i]);
	}
}

/*
 * Processes with several threads that map, touch, split, protect, move, inherit and unmap at
 * random all find in every page what was written there, or zeros; and the counters balance.
 */
static void random_case(void)
{
	long allocated = counter("pages_allocated"), freed = counter("pages_freed");
	long faults = counter("faults");
	pid_t workers[NR_WORKERS];
	unsigned int i;

	done = shared_memory(sizeof(*done));
	end_s = now_s() + ktap_options.seconds;
	for (i = 0; i < NR_WORKERS; i++)
		workers[i] = start_child(run_worker, &i);
	for (i = 0; i < NR_WORKERS; i++)
		expect_exit(workers[i]);

	allocated = counter("pages_allocated") - allocated;
	faults = counter("faults") - faults;
	note("seed %lu: %lu maps, %lu unmaps, %lu splits, %lu protects, %lu moves",
	     ktap_options.seed, done->maps, done->unmaps, done->splits, done->protects,
	     done->moves);
	note("seed %lu: %lu forks, %lu touches", ktap_options.seed, done->forks, done->touches);
	note("seed %lu: %ld pages allocated of %lu mapped, %ld faults", ktap_options.seed,
	     allocated, done->mapped_pages, faults);
	ASSERT_EQ(counter("pages_freed") - freed, allocated);
	if (demand_paging()) {
		ASSERT(allocated <= (long)done->mapped_pages);
		ASSERT(faults >= allocated);
	} else {
		ASSERT_EQ(allocated, done->mapped_pages);
		ASSERT_EQ(faults, 0);
	}
}

static void churn_worker(void *argument)
{
	unsigned int worker = *(unsigned int *)argument, state = seed(worker, 0);
	int fd = device(O_RDWR);

	use_cpu(worker);
	while (now_s() < end_s) {
		unsigned int pages = 1 + (next_random(&state) >> 8) % 4, i;
		char *mapping = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
				     0);

		if (mapping == MAP_FAILED)
			FAIL("seed %lu: mmap: %s", ktap_options.seed, strerror(errno));
		for (i = 0; i < pages; i++) {
			unsigned int *word = (unsigned int *)(mapping + i * PAGE);

			if (*word)
				FAIL("seed %lu: a new page is not zero", ktap_options.seed);
			__atomic_store_n(word, state, __ATOMIC_RELAXED);
		}
		if (munmap(mapping, pages * PAGE))
			FAIL("seed %lu: munmap: %s", ktap_options.seed, strerror(errno));
		add(&done->maps, 1);
		add(&done->mapped_pages, pages);
	}
}

/* Mappings that come and go as fast as possible on all CPUs are counted exactly. */
static void churn(void)
{
	long allocated = counter("pages_allocated"), freed = counter("pages_freed");
	long faults = counter("faults");
	unsigned int seconds = ktap_options.seconds / 4, i;
	pid_t workers[NR_CHURNERS];

	done = shared_memory(sizeof(*done));
	end_s = now_s() + (seconds ? seconds : 1);
	for (i = 0; i < NR_CHURNERS; i++)
		workers[i] = start_child(churn_worker, &i);
	for (i = 0; i < NR_CHURNERS; i++)
		expect_exit(workers[i]);
	note("seed %lu: %lu maps, %lu pages", ktap_options.seed, done->maps, done->mapped_pages);
	ASSERT_EQ(counter("pages_allocated") - allocated, done->mapped_pages);
	ASSERT_EQ(counter("pages_freed") - freed, done->mapped_pages);
	ASSERT_EQ(counter("faults") - faults, demand_paging() ? done->mapped_pages : 0);
}

static const struct ktap_case cases[] = {
	{ .name = "random", .run = random_case, .timeout_s = 120, .timed = true },
	{ .name = "churn", .run = churn, .timeout_s = 120, .timed = true },
};

int main(int argc, char **argv)
{
	return ktap_main(argc, argv, cases, ARRAY_SIZE(cases));
}
