// SPDX-License-Identifier: GPL-2.0-only
/*
 * The timing model as a plugin of QEMU.
 *
 *   -plugin timing.so,board=FILE,counts=FILE,drive=on|off,profile=FILE,window=NUMBERS
 *
 * FILE of board has the board's numbers (see board.h); without it nothing is modelled, and instructions are all that is counted. At
 * each mark that the guest executes a line with its code and all events so far goes to the file of counts. With drive=on the guest's
 * clock is the model's. A profile is of a window, whose numbers are those of struct profile_window with colons between them. One CPU
 * of the guest runs.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "block.h"
#include "branch.h"
#include "clock.h"
#include "data.h"
#include "fetch.h"
#include "profile.h"
#include "qemu_plugin.h"
#include "tb.h"

QEMU_PLUGIN_EXPORT int qemu_plugin_version = TIMING_API;
QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info_t *info, int argc, char **argv);

/* Where an exception for a data access that failed goes, with the vectors that Linux uses. */
#define VECTOR_DATA_ABORT 0xffff0010u

/* What is known of a translated block when it is executed. */
struct block {
	struct block *older;
	struct profile_code *profiled;	/* NULL without a profile */
	struct loads loads;
	struct branch_end end;
	uint32_t address;
	uint32_t cycles;
	struct fetch_lines code;
};

/* The interface gives callbacks no more than a word of their own, so what they work on is found here. */
static struct {
	struct board board;
	struct core core;
	struct l2 l2;
	struct data data;
	struct fetch fetch;
	struct branch branch;
	struct clock clock;
	struct profile profile;
	bool models, drive, profiles;
	FILE *counts;
	struct block *blocks;	/* all of them, to be freed */
	uintptr_t ram;		/* where the host has the guest's memory */
	void (*cpu_exit)(void *cpu);
	void *cpu;
#if TIMING_API != 1
	struct qemu_plugin_scoreboard *scores;
#endif
} self;

static _Noreturn void give_up(const char *why)
{
	fprintf(stderr, "timing: %s\n", why);
	_exit(1);
}

#if TIMING_API == 1
static void count_inline(struct qemu_plugin_insn *insn, uint64_t n)
{
	qemu_plugin_register_vcpu_insn_exec_inline(insn, QEMU_PLUGIN_INLINE_ADD_U64, &self.core.instructions, n);
}

static void sync_count(void)
{
}
#else
static void count_inline(struct qemu_plugin_insn *insn, uint64_t n)
{
	qemu_plugin_u64 entry = { self.scores, 0 };

	qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(insn, QEMU_PLUGIN_INLINE_ADD_U64, entry, n);
}

static void sync_count(void)
{
	memcpy(&self.core.instructions, qemu_plugin_scoreboard_find(self.scores, 0), sizeof(self.core.instructions));
}
#endif

static void advance(void)
{
	sync_count();
	if (self.models)
		clock_advance(&self.clock);
}

static void enter_code(struct profile_code *code)
{
	if (self.profile.is_open)
		sync_count();
	if (!profile_enter(&self.profile, code))
		give_up("no memory for the profile");
}

/* Where nothing is modelled. */
static void on_code(unsigned int vcpu, void *data)
{
	(void)vcpu;
	enter_code(data);
}

static void on_block(unsigned int vcpu, void *data)
{
	struct block *block = data;

	(void)vcpu;
	branch_enter(&self.branch, block->address, &block->end);
	if (block->profiled)
		enter_code(block->profiled);
	self.core.busy_cycles += block->cycles;
	data_enter(&self.data, &block->loads);
	fetch_block(&self.fetch, &block->code);
	if (clock_is_due(&self.clock)) {
		advance();
		/* Timers are looked at again, for the clock has moved. */
		if (self.drive)
			self.cpu_exit(self.cpu);
	}
}

static bool frame_of(void *context, uint32_t address, uint32_t *frame)
{
	const qemu_plugin_meminfo_t *info = context;
	struct qemu_plugin_hwaddr *at = qemu_plugin_get_hwaddr(*info, address);

	if (!at || qemu_plugin_hwaddr_is_io(at))
		return false;
	*frame = qemu_plugin_hwaddr_phys_addr(at) >> PAGE_SHIFT & (PAGES - 1);
	return true;
}

static void __attribute__((noinline)) miss(qemu_plugin_meminfo_t info, uint32_t address, enum access access)
{
	data_miss(&self.data, address, access, frame_of, &info);
}

static void on_load(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t address, void *data)
{
	(void)vcpu;
	if (!data_load_hits(&self.data, address))
		miss(info, address, (uintptr_t)data);
}

static void on_store(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t address, void *data)
{
	(void)vcpu;
	(void)data;
	if (!data_hits(&self.data, address, true))
		miss(info, address, ACCESS_STORE);
}

static void on_counter(unsigned int vcpu, void *data)
{
	(void)vcpu;
	(void)data;
	advance();
}

static void on_tlb_all(unsigned int vcpu, void *data)
{
	(void)vcpu;
	(void)data;
	data_drop_all(&self.data);
}

/* Version 1 of the interface shows no registers, so the page or address space that goes is not known: all of users' go. */
static void on_tlb_user(unsigned int vcpu, void *data)
{
	(void)vcpu;
	(void)data;
	data_drop_user(&self.data);
}

static void on_mark(unsigned int vcpu, void *data)
{
	unsigned int code = (uintptr_t)data;
	const char *wrong;

	(void)vcpu;
	advance();
	if (self.profiles) {
		wrong = profile_mark(&self.profile, code);
		if (wrong)
			give_up(wrong);
	}
	if (!self.counts)
		return;
	fprintf(self.counts, "%02x", code);
#define PRINT(name) fprintf(self.counts, " %" PRIu64, self.core.name);
	CORE_EVENTS(PRINT)
#undef PRINT
	fputc('\n', self.counts);
	if (fflush(self.counts))
		give_up("the counts could not be written");
}

/* The load by which the kernel takes up another thread; of its words the last one counts. */
static void on_switch(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t address, void *data)
{
	(void)vcpu;
	(void)info;
	(void)data;
	profile_switch(&self.profile, address);
}

static void watch(struct qemu_plugin_insn *in, const struct insn *insn)
{
	qemu_plugin_vcpu_udata_cb_t call = NULL;

	switch (insn->special) {
	case SPECIAL_COUNTER:
		call = self.drive ? on_counter : NULL;
		break;
	case SPECIAL_TLB_ALL:
		call = on_tlb_all;
		break;
	case SPECIAL_TLB_ADDRESS:
	case SPECIAL_TLB_ASID:
	case SPECIAL_TTBR0:
		call = on_tlb_user;
		break;
	}
	if (call && self.models)
		qemu_plugin_register_vcpu_insn_exec_cb(in, call, QEMU_PLUGIN_CB_NO_REGS, NULL);
	if ((self.counts || self.profiles) && insn_is_mark(insn))
		qemu_plugin_register_vcpu_insn_exec_cb(in, on_mark, QEMU_PLUGIN_CB_NO_REGS, (void *)(uintptr_t)insn->hint);
}

/* Where in the guest's memory an instruction is; code that is elsewhere has some number, too. */
static uint32_t place_of(struct qemu_plugin_insn *in)
{
	return (uintptr_t)qemu_plugin_insn_haddr(in) - self.ram;
}

static struct block *make_block(struct qemu_plugin_tb *from, const struct tb *tb)
{
	uint32_t lines[MOST_INSNS], n_lines = 0, line;
	struct block *block;
	size_t i;

	for (i = 0; i < tb->n; i++) {
		line = place_of(qemu_plugin_tb_get_insn(from, i)) >> LINE_SHIFT & (LINES - 1);
		if (!n_lines || lines[n_lines - 1] != line)
			lines[n_lines++] = line;
	}
	/* No larger than it must be: there are many, and each is looked at whenever it is executed. */
	block = malloc(sizeof(*block) + n_lines * sizeof(lines[0]));
	if (!block)
		give_up("no memory");
	block->older = self.blocks;
	block->profiled = NULL;
	block->cycles = pipeline_cycles(&self.board.pipeline, tb->insns, tb->n);
	block->loads = block_loads(tb->insns, tb->n);
	block->address = tb->address;
	block->end = branch_end(tb->insns, tb->n, tb->next);
	block->code = (struct fetch_lines){ .there = UINT64_MAX, .n = n_lines };
	memcpy(block->code.lines, lines, n_lines * sizeof(lines[0]));
	self.blocks = block;
	return block;
}

static struct profile_code *make_code(struct qemu_plugin_tb *from, const struct tb *tb)
{
	uint32_t place = place_of(qemu_plugin_tb_get_insn(from, 0));
	struct branch_end end = branch_end(tb->insns, tb->n, tb->next);
	struct profile_code *code = profile_code(&self.profile, tb->address, place, tb->bytes, tb->length, &end, tb->last);

	if (!code)
		give_up("no memory for the profile");
	return code;
}

static void watch_access(struct qemu_plugin_insn *in, const struct tb *tb, size_t i)
{
	const struct insn *insn = &tb->insns[i];

	if (self.profiles && profile_is_switch(&self.profile, qemu_plugin_insn_vaddr(in), insn))
		qemu_plugin_register_vcpu_mem_cb(in, on_switch, QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_RW, NULL);
	if (!self.models)
		return;
	/* For both directions, since QEMU 7.2 takes one for the other; which one it is the instruction says. */
	if (insn->class == INSN_LOAD)
		qemu_plugin_register_vcpu_mem_cb(in, on_load, QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_RW,
						 (void *)(uintptr_t)block_access(tb->insns, tb->n, i));
	else if (insn->class == INSN_STORE)
		qemu_plugin_register_vcpu_mem_cb(in, on_store, QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_RW, NULL);
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *from)
{
	struct profile_code *profiled = NULL;
	struct block *block;
	size_t i, counted = 0;
	struct tb tb;

	(void)id;
	if (!tb_read(&tb, from))
		give_up("a block has more instructions than are known to be possible");
	/* The first block runs before address translation is on: its address is that of the memory, which begins at 0. */
	if (!self.ram)
		self.ram = (uintptr_t)qemu_plugin_insn_haddr(qemu_plugin_tb_get_insn(from, 0)) - tb.address;
	if (self.profiles)
		profiled = make_code(from, &tb);
	if (self.models) {
		block = make_block(from, &tb);
		block->profiled = profiled;
		qemu_plugin_register_vcpu_tb_exec_cb(from, on_block, QEMU_PLUGIN_CB_NO_REGS, block);
	} else if (profiled) {
		qemu_plugin_register_vcpu_tb_exec_cb(from, on_code, QEMU_PLUGIN_CB_NO_REGS, profiled);
	}
	for (i = 0; i < tb.n; i++) {
		struct qemu_plugin_insn *in = qemu_plugin_tb_get_insn(from, i);

		/* An access that fails is counted below, but not by QEMU: it will be executed again. */
		if (qemu_plugin_insn_vaddr(in) == VECTOR_DATA_ABORT)
			count_inline(in, -1);
		if (block_counts_at(tb.insns, tb.n, i)) {
			count_inline(in, i + 1 - counted);
			counted = i + 1;
		}
		watch(in, &tb.insns[i]);
		watch_access(in, &tb, i);
	}
}

static void on_flush(qemu_plugin_id_t id)
{
	struct block *older;

	(void)id;
	for (; self.blocks; self.blocks = older) {
		older = self.blocks->older;
		free(self.blocks);
	}
}

static void on_cpu(qemu_plugin_id_t id, unsigned int vcpu)
{
	void *(*get_cpu)(int) = NULL;
	const char *wrong;

	(void)id;
	if (vcpu != 0)
		return;
	*(void **)&get_cpu = dlsym(RTLD_DEFAULT, "qemu_get_cpu");
	*(void **)&self.cpu_exit = dlsym(RTLD_DEFAULT, "cpu_exit");
	if (!get_cpu || !self.cpu_exit)
		give_up("this QEMU does not export qemu_get_cpu and cpu_exit");
	self.cpu = get_cpu(0);
	wrong = clock_take(&self.clock);
	if (wrong)
		give_up(wrong);
}

static bool open_counts(const char *path)
{
	self.counts = fopen(path, "w");
	if (!self.counts) {
		fprintf(stderr, "timing: counts: %s: %s\n", path, strerror(errno));
		return false;
	}
	fputs("events", self.counts);
#define PRINT(name) fputs(" " #name, self.counts);
	CORE_EVENTS(PRINT)
#undef PRINT
	fputc('\n', self.counts);
	return !fflush(self.counts);
}

static bool open_profile(const char *path, const char *numbers)
{
	struct profile_window window = { .path = path };
	const char *wrong;

	if (sscanf(numbers, "%" SCNu32 ":%" SCNu32 ":%" SCNu32 ":%" SCNu32 ":%" SCNu32 ":%" SCNu32, &window.command, &window.begin,
		   &window.end, &window.switch_first, &window.switch_end, &window.exec) != 6) {
		fprintf(stderr, "timing: window=%s: expected six numbers with colons between them\n", numbers);
		return false;
	}
	wrong = profile_init(&self.profile, &window, &self.clock);
	if (wrong) {
		fprintf(stderr, "timing: profile: %s: %s\n", path, wrong);
		return false;
	}
	self.profiles = true;
	return true;
}

static bool read_options(int argc, char **argv)
{
	const char *board = NULL, *profile = NULL, *window = "";
	char message[512];
	int i;

	for (i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "board=", 6)) {
			board = argv[i] + 6;
		} else if (!strcmp(argv[i], "drive=on") || !strcmp(argv[i], "drive=off")) {
			self.drive = !strcmp(argv[i], "drive=on");
		} else if (!strncmp(argv[i], "profile=", 8)) {
			profile = argv[i] + 8;
		} else if (!strncmp(argv[i], "window=", 7)) {
			window = argv[i] + 7;
		} else if (!strncmp(argv[i], "counts=", 7)) {
			if (!open_counts(argv[i] + 7))
				return false;
		} else {
			fprintf(stderr, "timing: %s: expected board=, counts=, drive=on|off, profile= or window=\n", argv[i]);
			return false;
		}
	}
	self.models = board;
	if (self.drive && !board) {
		fprintf(stderr, "timing: board=FILE is missing\n");
		return false;
	}
	if (board && !board_read(&self.board, board, message, sizeof(message))) {
		fprintf(stderr, "timing: %s\n", message);
		return false;
	}
	return !profile || open_profile(profile, window);
}

static bool init_model(void)
{
	return l2_init(&self.l2, &self.board, &self.core) && data_init(&self.data, &self.board, &self.core, &self.l2) &&
	       fetch_init(&self.fetch, &self.board, &self.core, &self.l2) && branch_init(&self.branch, &self.board, &self.core);
}

int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info_t *info, int argc, char **argv)
{
	(void)info;
	if (!read_options(argc, argv))
		return -1;
	clock_init(&self.clock, &self.board, &self.core);
	if (self.models && !init_model()) {
		fprintf(stderr, "timing: no memory\n");
		return -1;
	}
#if TIMING_API != 1
	self.scores = qemu_plugin_scoreboard_new(sizeof(uint64_t));
#endif
	if (self.drive)
		qemu_plugin_register_vcpu_init_cb(id, on_cpu);
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
	qemu_plugin_register_flush_cb(id, on_flush);
	return 0;
}
