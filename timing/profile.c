// SPDX-License-Identifier: GPL-2.0-only
#include "profile.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Exceptions go here, with the vectors that Linux uses; behind them is the code that finds their handlers. */
#define VECTORS 0xffff0000u
#define VECTORS_BYTES 32
#define STUBS_END 0xffff2000u
#define VECTOR_PREFETCH_ABORT 0xffff000cu
#define VECTOR_DATA_ABORT 0xffff0010u
#define VECTOR_IRQ 0xffff0018u

/* No user's code is at or above it (CONFIG_VMSPLIT_3G: modules begin at 0xbf000000). */
#define KERNEL_FIRST 0xbf000000u

/* Limits, so that memory is bounded whatever is executed: sites, calls in a stack, and how far a return is looked for. */
#define MOST_SITES (1u << 20)
#define MOST_CALLS (1u << 14)
#define NEAR_CALLS 16

static const char no_memory[] = "no memory";

const char *profile_init(struct profile *profile, const struct profile_window *window, struct clock *clock)
{
	*profile = (struct profile){ .window = *window, .clock = clock };
	profile->last_site = &profile->all_sites;
	if (!table_init(&profile->codes) || !table_init(&profile->frames) || !table_init(&profile->sites) ||
	    !table_init(&profile->threads))
		return no_memory;
	profile->root = profile->last_frame = calloc(1, sizeof(*profile->root));
	profile->thread = profile->all_threads = calloc(1, sizeof(*profile->thread));
	profile->beyond = calloc(1, sizeof(*profile->beyond));
	if (!profile->root || !profile->thread || !profile->beyond)
		return no_memory;
	profile->file = fopen(window->path, "w");
	return profile->file ? NULL : strerror(errno);
}

void profile_free(struct profile *profile)
{
	struct profile_code *code, *next_code;
	struct profile_site *site, *next_site;
	struct profile_thread *thread, *next_thread;
	struct profile_frame *frame, *next_frame;

	for (frame = profile->root; frame; frame = next_frame) {
		next_frame = frame->next;
		free(frame);
	}
	for (code = profile->all_codes; code; code = next_code) {
		next_code = code->next;
		free(code);
	}
	for (site = profile->all_sites; site; site = next_site) {
		next_site = site->next;
		free(site);
	}
	for (thread = profile->all_threads; thread; thread = next_thread) {
		next_thread = thread->next;
		free(thread->calls);
		free(thread);
	}
	table_free(&profile->codes);
	table_free(&profile->frames);
	table_free(&profile->sites);
	table_free(&profile->threads);
	free(profile->beyond);
	if (profile->file)
		fclose(profile->file);
}

/* Whether an A32 instruction returns from an exception: it loads the PC and the flags of the mode that it returns to. */
static bool ends_exception(uint32_t word)
{
	if ((word & 0xfe50ffff) == 0xf8100a00)		/* RFE */
		return true;
	if (word >> 28 == 0xf)
		return false;
	if ((word & 0x0e508000) == 0x08508000)		/* LDM with the PC and ^ */
		return true;
	return (word & 0x0c10f000) == 0x0010f000 &&	/* an operation with S whose result is the PC, */
	       (word & 0x01800000) != 0x01000000 &&	/* no comparison, */
	       (word & 0x02000090) != 0x00000090;	/* and no multiplication */
}

/* FNV-1a, http://www.isthe.com/chongo/tech/comp/fnv/. */
static uint64_t digest_of(const uint8_t *bytes, size_t length, uint64_t digest)
{
	size_t i;

	for (i = 0; i < length; i++)
		digest = (digest ^ bytes[i]) * 0x100000001b3;
	return digest;
}

struct profile_code *profile_code(struct profile *profile, uint32_t address, uint32_t place, const uint8_t *bytes, uint32_t length,
				  const struct branch_end *end, uint32_t word)
{
	const uint32_t where[] = { address, place, length };
	uint64_t digest = digest_of(bytes, length, digest_of((const uint8_t *)where, sizeof(where), 0xcbf29ce484222325));
	struct profile_code *code = table_find(&profile->codes, digest);

	if (code)
		return code;
	code = calloc(1, sizeof(*code));
	if (!code || !table_add(&profile->codes, digest, code)) {
		free(code);
		return NULL;
	}
	*code = (struct profile_code){
		.number = ++profile->n_codes,
		.address = address,
		.place = place,
		.length = length,
		.digest = digest,
		.end = *end,
		/* The code behind the vectors goes to the handlers so, in another mode. */
		.ends_exception = address >= KERNEL_FIRST && address - VECTORS >= STUBS_END - VECTORS && ends_exception(word),
		.is_exec = address == profile->window.exec,
		.switches = address >= profile->window.switch_first && address < profile->window.switch_end,
		.n_bytes = length < PROFILE_BYTES ? length : PROFILE_BYTES,
		.next = profile->all_codes,
	};
	code->leaves = code->ends_exception || end->links || (end->kind != BRANCH_NONE && end->kind != BRANCH_DIRECT);
	memcpy(code->bytes, bytes, code->n_bytes);
	profile->all_codes = code;
	return code;
}

/* What has happened since the guest's start. */
static struct core_events events_of(const struct profile *profile)
{
	const struct core *core = profile->clock->core;
	struct core_events events = {
#define TAKE(name) .name = core->name,
		CORE_EVENTS(TAKE)
#undef TAKE
	};

	events.cycles = clock_cycles(profile->clock);
	return events;
}

/* What has happened since then belongs to the site. */
static void settle(struct profile *profile)
{
	struct core_events now = events_of(profile);

#define ADD(name) profile->site->events.name += now.name - profile->before.name;
	CORE_EVENTS(ADD)
#undef ADD
	profile->before = now;
}

static struct profile_site *site_of(struct profile *profile, struct profile_frame *frame, struct profile_code *code)
{
	uint64_t key = (uint64_t)frame->number << 32 | code->number;
	struct profile_site *site;

	if (code->site && code->site->frame == frame)
		return code->site;
	site = table_find(&profile->sites, key);
	if (!site) {
		if (profile->sites.used == MOST_SITES)
			return profile->beyond;
		site = calloc(1, sizeof(*site));
		if (!site || !table_add(&profile->sites, key, site)) {
			free(site);
			return NULL;
		}
		*site = (struct profile_site){ .number = profile->sites.used, .frame = frame, .code = code };
		*profile->last_site = site;
		profile->last_site = &site->next;
	}
	code->site = site;
	return site;
}

/* The frame of the same function that is entered already. */
static struct profile_frame *recursion(struct profile_frame *frame, uint32_t entry)
{
	for (; frame->caller && !frame->is_exception; frame = frame->caller->frame) {
		if (frame->entry == entry)
			return frame;
	}
	return NULL;
}

static struct profile_frame *frame_of(struct profile *profile, struct profile_site *caller, uint32_t entry, bool is_exception)
{
	uint64_t key = (uint64_t)caller->number << 32 | entry;
	struct profile_frame *frame, *made = NULL;

	if (caller == profile->beyond)
		return profile->root;
	frame = table_find(&profile->frames, key);
	if (frame)
		return frame;
	frame = is_exception ? NULL : recursion(caller->frame, entry);
	if (!frame) {
		frame = made = calloc(1, sizeof(*frame));
		if (!frame)
			return NULL;
		*frame = (struct profile_frame){
			.number = profile->last_frame->number + 1, .entry = entry, .is_exception = is_exception, .caller = caller,
		};
	}
	if (!table_add(&profile->frames, key, frame)) {
		free(made);
		return NULL;
	}
	if (made)
		profile->last_frame = profile->last_frame->next = made;
	return frame;
}

static struct profile_frame *current_frame(const struct profile *profile)
{
	const struct profile_thread *thread = profile->thread;

	return thread->depth ? thread->calls[thread->depth - 1].frame : profile->root;
}

/* Finds the frame that a call enters from that of the call below it. */
static bool find_frame(struct profile *profile, struct profile_frame *below, struct profile_call *call)
{
	struct profile_site *site = site_of(profile, below, call->from);

	call->frame = site ? frame_of(profile, site, call->entry, call->is_exception) : NULL;
	return call->frame;
}

/* Those of a thread's calls, which may be new since the window was open in it. */
static bool find_frames(struct profile *profile)
{
	struct profile_thread *thread = profile->thread;
	struct profile_frame *frame = profile->root;
	uint32_t i;

	for (i = 0; i < thread->depth; i++) {
		if (!find_frame(profile, frame, &thread->calls[i]))
			return false;
		frame = thread->calls[i].frame;
	}
	return true;
}

static bool push(struct profile *profile, const struct profile_call *call)
{
	struct profile_thread *thread = profile->thread;
	struct profile_frame *below = current_frame(profile);

	if (thread->depth == MOST_CALLS) {
		thread->beyond++;
		return true;
	}
	if (thread->depth == thread->room) {
		uint32_t room = thread->room ? 2 * thread->room : 32;
		struct profile_call *calls = realloc(thread->calls, room * sizeof(*calls));

		if (!calls)
			return false;
		thread->calls = calls;
		thread->room = room;
	}
	thread->calls[thread->depth++] = *call;
	return !profile->is_open || find_frame(profile, below, &thread->calls[thread->depth - 1]);
}

/* Takes the call off the stack that returns to an address, and those above it; false if there is none since the last exception. */
static bool pop(struct profile_thread *thread, uint32_t address, bool any)
{
	uint32_t i, least = any || thread->depth < NEAR_CALLS ? 0 : thread->depth - NEAR_CALLS;

	if (any && thread->beyond) {
		thread->beyond--;
		return true;
	}
	for (i = thread->depth; i > least && !thread->calls[i - 1].is_exception; i--) {
		if (thread->calls[i - 1].back == address) {
			thread->depth = i - 1;
			return true;
		}
	}
	return false;
}

static bool leave(struct profile *profile, struct profile_code *code, uint32_t address);

/*
 * An exception returns to an address. If one was taken between two blocks, how the first one ended is still to be looked at: that of a
 * fetch and interrupts are; others are taken within a block.
 */
static bool end_exception(struct profile *profile, uint32_t address)
{
	struct profile_thread *thread = profile->thread;
	struct profile_code *from;
	uint32_t i, vector;

	for (i = thread->depth; i > 0 && !thread->calls[i - 1].is_exception; i--)
		;
	if (!i) {
		/* A kernel's thread becomes a user's, or a new one begins there. */
		thread->depth = thread->beyond = 0;
		return true;
	}
	thread->depth = i - 1;
	if (thread->has_exec && address < KERNEL_FIRST) {
		thread->has_exec = false;
		thread->depth = thread->beyond = 0;
		return true;
	}
	from = thread->calls[i - 1].from;
	vector = thread->calls[i - 1].entry;
	if (vector < VECTOR_IRQ && vector != VECTOR_PREFETCH_ABORT)
		return true;
	if (!from->leaves || (address >= from->address && address <= from->end.next))
		return true;
	return leave(profile, from, address);
}

/* A thread goes on where it was when it was left, or begins. */
static bool switch_thread(struct profile *profile, uint32_t address)
{
	struct profile_thread *thread = table_find(&profile->threads, profile->next_thread);

	if (!thread) {
		thread = calloc(1, sizeof(*thread));
		if (!thread || !table_add(&profile->threads, profile->next_thread, thread)) {
			free(thread);
			return false;
		}
		thread->next = profile->all_threads;
		profile->all_threads = thread;
	}
	profile->thread = thread;
	if (!pop(thread, address, false)) {
		/* Its memory had been another thread's. */
		thread->depth = thread->beyond = 0;
		thread->has_exec = false;
	}
	return !profile->is_open || find_frames(profile);
}

/* Code that can change the stack is left for an address. */
static bool leave(struct profile *profile, struct profile_code *code, uint32_t address)
{
	const struct branch_end *end = &code->end;

	if (code->ends_exception)
		return end_exception(profile, address);
	if (address == end->next)
		return true;
	if (end->links) {
		struct profile_call call = { .from = code, .entry = address, .back = end->next };

		return push(profile, &call);
	}
	if (code->switches)
		return switch_thread(profile, address);
	pop(profile->thread, address, end->kind == BRANCH_RETURN);
	return true;
}

static bool take_exception(struct profile *profile, uint32_t vector)
{
	struct profile_call call = { .from = profile->last, .entry = vector, .is_exception = true };

	if (profile->is_open && vector == VECTOR_DATA_ABORT) {
		/* The access that failed has been counted, which is taken back in the block that begins here (see plugin.c). */
		profile->site->events.instructions--;
		profile->before.instructions--;
	}
	return push(profile, &call);
}

bool profile_enter(struct profile *profile, struct profile_code *code)
{
	struct profile_code *last = profile->last;

	if (profile->is_open && (code != last || code->leaves))
		settle(profile);
	if (last) {
		if (code->address - VECTORS < VECTORS_BYTES) {
			if (!take_exception(profile, code->address))
				return false;
		} else if (last->leaves && !leave(profile, last, code->address)) {
			return false;
		}
	}
	if (code->is_exec)
		profile->thread->has_exec = true;
	profile->last = code;
	if (profile->is_open)
		profile->site = site_of(profile, current_frame(profile), code);
	return profile->site || !profile->is_open;
}

bool profile_is_switch(const struct profile *profile, uint32_t address, const struct insn *insn)
{
	return address >= profile->window.switch_first && address < profile->window.switch_end && insn->class == INSN_LOAD &&
	       insn->transfers >= 8;
}

static void write_events(FILE *file, const struct core_events *events)
{
#define PRINT(name) fprintf(file, " %" PRIu64, events->name);
	CORE_EVENTS(PRINT)
#undef PRINT
	fputc('\n', file);
}

static void write_code(FILE *file, struct profile_code *code)
{
	uint32_t i;

	if (code->is_written)
		return;
	code->is_written = true;
	fprintf(file, "code %" PRIu32 " %08" PRIx32 " %08" PRIx32 " %" PRIu32 " ", code->number, code->address, code->place, code->length);
	for (i = 0; i < code->n_bytes; i++)
		fprintf(file, "%02x", code->bytes[i]);
	fputc('\n', file);
}

static const char *write_file(struct profile *profile)
{
	FILE *file = profile->file;
	struct profile_frame *frame;
	struct profile_site *site;

	fputs("profile", file);
#define PRINT(name) fputs(" " #name, file);
	CORE_EVENTS(PRINT)
#undef PRINT
	fputc('\n', file);
	for (frame = profile->root->next; frame; frame = frame->next)
		fprintf(file, "frame %" PRIu32 " %" PRIu32 " %s %08" PRIx32 "\n", frame->number, frame->caller->number,
			frame->is_exception ? "exception" : "call", frame->entry);
	for (site = profile->all_sites; site; site = site->next) {
		write_code(file, site->code);
		fprintf(file, "site %" PRIu32 " %" PRIu32 " %" PRIu32, site->number, site->frame->number, site->code->number);
		write_events(file, &site->events);
	}
	fputs("beyond", file);
	write_events(file, &profile->beyond->events);
	fputs("end\n", file);
	return fflush(file) ? strerror(errno) : NULL;
}

static bool open_window(struct profile *profile)
{
	profile->is_open = true;
	profile->before = events_of(profile);
	if (!find_frames(profile))
		return false;
	profile->site = site_of(profile, current_frame(profile), profile->last);
	return profile->site;
}

const char *profile_mark(struct profile *profile, uint32_t code)
{
	bool is_ours = profile->ended + 1 == profile->window.command;
	bool is_last = is_ours && code == PROFILE_COMMAND_END;

	if (is_ours && code == profile->window.begin && !profile->is_open && !open_window(profile))
		return no_memory;
	if (profile->is_open && (code == profile->window.end || is_last)) {
		settle(profile);
		profile->is_open = false;
		profile->site = NULL;
	}
	if (code == PROFILE_COMMAND_END)
		profile->ended++;
	return is_last ? write_file(profile) : NULL;
}
