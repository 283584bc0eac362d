// SPDX-License-Identifier: GPL-2.0-only
/*
 * memory_bench KIB - how long reads from KIB KiB of memory take, and how fast it is set and copied
 *
 * Prints, as the benchmarks tinymembench and ramlat define it, in nanoseconds:
 *
 *   random read over L1       one byte at a random place, above what the same takes in 4 KiB, which
 *                             the first cache holds. The place follows from three steps of a linear
 *                             congruential generator whose state the byte read goes into, so that
 *                             each read waits for the one before.
 *   random read dual over L1  the same with two reads that do not wait for each other
 *   pointer chase             a line's pointer to the next, through all lines in a random order
 *   pointer chase dual        two such walks at once, half of the lines apart
 *
 * and in megabytes (10^6 bytes) a second what memset() and memcpy() of the C library do with whole
 * buffers. What is done, and in which order, is the same in each run. KIB is a power of two.
 *
 * Exit status: 0, or 1 when the memory cannot be had, or 2 for a bad argument.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define MIN_KIB 4
#define MAX_KIB 65536

#define LINE 64

/* What fits the first data cache of any processor. */
#define CACHED (4U << 10)

/* Reads of each kind, and as many before them, after which the caches hold what they will. */
#define READS 100000U

/* Chases through up to this much visit each line twice or more. */
#define MAX_WHOLE (4U << 20)

/* At least this much is set and copied. */
#define MIN_BYTES (4U << 20)

/*
 * Divisions that depend on each other: some 0.3 s at 600 MHz, within which a governor that looks
 * at the load every 0.1 s has raised the processor's clock.
 */
#define DIVISIONS 8000000U

struct line {
	struct line *next;
	char rest[LINE - sizeof(struct line *)];
};

/* The compiler must take the value for used, and all memory for read and written. */
static inline void keep(uintptr_t value)
{
	asm volatile("" : : "r" (value) : "memory");
}

static long long now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* A linear congruential generator modulo 2^32, with the numbers of the C standard's example. */
static inline unsigned int step(unsigned int state)
{
	return state * 1103515245 + 12345;
}

/* Three steps, and 31 bits from the better, upper halves of the states. */
static inline unsigned int draw(unsigned int *state)
{
	unsigned int place;

	*state = step(*state);
	place = *state >> 16 & 0xff;
	*state = step(*state);
	place |= *state >> 8 & 0xff00;
	*state = step(*state);
	return place | (*state & 0x7fff0000);
}

/*
 * Random reads from a buffer of zeros, whose size is a power of two; dual: two at a time. They
 * return the generator's state.
 */
static unsigned int read_single(const unsigned char *buffer, unsigned int bytes,
				unsigned int count, unsigned int state)
{
	while (count--) {
		unsigned int place = draw(&state) & (bytes - 1);

		state |= buffer[place];
	}
	return state;
}

static unsigned int read_dual(const unsigned char *buffer, unsigned int bytes,
			      unsigned int count, unsigned int state)
{
	while (count--) {
		unsigned int one = draw(&state) & (bytes - 1);
		unsigned int other = draw(&state) & (bytes - 1);

		state |= buffer[one] | buffer[other];
	}
	return state;
}

typedef unsigned int reader(const unsigned char *buffer, unsigned int bytes, unsigned int count,
			    unsigned int state);

static double ns_per_read(reader *read, const void *buffer, unsigned int bytes)
{
	unsigned int state = read(buffer, bytes, READS, 0);
	long long start = now_ns();

	keep(read(buffer, bytes, READS, state));
	return (double)(now_ns() - start) / READS;
}

/* Makes the lines one cycle in random order (S. Sattolo, 1986). */
static void link_lines(struct line *lines, unsigned int count)
{
	unsigned int state = 1, i;

	for (i = 0; i < count; i++)
		lines[i].next = &lines[i];
	for (i = count - 1; i > 0; i--) {
		unsigned int other = draw(&state) % i;
		struct line *next = lines[i].next;

		lines[i].next = lines[other].next;
		lines[other].next = next;
	}
}

/* Walks from one line, or from two at a time. */
static void chase_single(struct line *line, unsigned int count)
{
	while (count--)
		line = line->next;
	keep((uintptr_t)line);
}

static void chase_dual(struct line *one, struct line *other, unsigned int count)
{
	while (count--) {
		one = one->next;
		other = other->next;
	}
	keep((uintptr_t)one + (uintptr_t)other);
}

static double ns_per_chase(struct line *lines, unsigned int bytes, bool dual)
{
	unsigned int nr_lines = bytes / LINE, i;
	unsigned int count = bytes <= MAX_WHOLE && 2 * nr_lines > READS ? 2 * nr_lines : READS;
	struct line *middle = lines;
	long long start = 0;
	int pass;

	for (i = 0; i < nr_lines / 2; i++)
		middle = middle->next;
	for (pass = 0; pass < 2; pass++) {
		start = now_ns();
		if (dual)
			chase_dual(lines, middle, count);
		else
			chase_single(lines, count);
	}
	return (double)(now_ns() - start) / count;
}

/* Megabytes a second of memset(), or of memcpy() if there is a source. */
static double mb_per_s(char *to, const char *from, unsigned int bytes)
{
	unsigned int times = bytes < MIN_BYTES ? MIN_BYTES / bytes : 1, i;
	long long start = 0;
	int pass;

	for (pass = 0; pass < 2; pass++) {
		start = now_ns();
		for (i = 0; i < times; i++) {
			if (from)
				memcpy(to, from, bytes);
			else
				memset(to, 0, bytes);
			keep((uintptr_t)to);
		}
	}
	return 1e3 * bytes * times / (now_ns() - start);
}

static void raise_clock(void)
{
	double value = 1;
	unsigned int i;

	for (i = 0; i < DIVISIONS; i++)
		value = 3 / value;
	keep((uintptr_t)value);
}

/* Memory that is there: each page has been written to. */
static void *allocate(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);

	if (memory == MAP_FAILED) {
		fprintf(stderr, "memory_bench: mmap of %zu bytes: %s\n", bytes, strerror(errno));
		exit(1);
	}
	memset(memory, 0, bytes);
	return memory;
}

static unsigned int parse_bytes(const char *text)
{
	char *end;
	long kib;

	errno = 0;
	kib = strtol(text, &end, 10);
	if (errno || end == text || *end || kib < MIN_KIB || kib > MAX_KIB || (kib & (kib - 1))) {
		fprintf(stderr,
			"memory_bench: KIB must be a power of two from %d to %d, not '%s'\n",
			MIN_KIB, MAX_KIB, text);
		exit(2);
	}
	return kib << 10;
}

int main(int argc, char **argv)
{
	unsigned int bytes;
	char *buffer, *other;
	double base;

	if (argc != 2) {
		fprintf(stderr, "usage: memory_bench KIB\n");
		return 2;
	}
	bytes = parse_bytes(argv[1]);
	buffer = allocate(bytes);
	other = allocate(bytes);
	raise_clock();

	base = ns_per_read(read_single, buffer, CACHED);
	printf("random read over L1 (ns): %.3f\n",
	       ns_per_read(read_single, buffer, bytes) - base);
	base = ns_per_read(read_dual, buffer, CACHED);
	printf("random read dual over L1 (ns): %.3f\n",
	       ns_per_read(read_dual, buffer, bytes) - base);
	link_lines((struct line *)buffer, bytes / LINE);
	printf("pointer chase (ns): %.3f\n", ns_per_chase((struct line *)buffer, bytes, false));
	printf("pointer chase dual (ns): %.3f\n", ns_per_chase((struct line *)buffer, bytes, true));
	printf("memset (MB/s): %.3f\n", mb_per_s(buffer, NULL, bytes));
	printf("memcpy (MB/s): %.3f\n", mb_per_s(buffer, other, bytes));
	return 0;
}
