/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where events happened: by the code that was executed, and by the calls that had led there.
 *
 * A stack of calls is followed for each thread from the guest's start on, by calls, returns, exceptions and what switches threads.
 * While the window is open, what happens is added to a site: a piece of code in a frame. A frame is what a call or an exception
 * at a site has entered. A call to what is entered already, above the last exception, comes back to that frame. So the tree of them
 * (G. Ammons, T. Ball, J. Larus, Exploiting Hardware Performance Counters with Flow and Context Sensitive Profiling, PLDI 1997)
 * depends on the program and not on how long it runs.
 *
 * No symbols are known here but two of the kernel's; who reads the file has them, and finds a user's program by its code.
 */
#ifndef PROFILE_H
#define PROFILE_H

#include <stdio.h>

#include "branch.h"
#include "clock.h"
#include "table.h"

/* What is to be looked at, and what must be known of the kernel. */
struct profile_window {
	const char *path;		/* of the file that is written at the end of the command */
	uint32_t command;		/* which of the agent's commands, from 1 on */
	uint32_t begin, end;		/* marks between which the window is open, as often as they come */
	uint32_t switch_first;		/* where the kernel's __switch_to begins, */
	uint32_t switch_end;		/* and the address behind it */
	uint32_t exec;			/* what the kernel enters when a process gets another program */
};

/* Marks of the agent's: a command of it begins, and has ended. See pibed/model/counts.py. */
enum { PROFILE_COMMAND_BEGIN = 0x80, PROFILE_COMMAND_END = 0x81 };

/* Of a piece of code so many bytes are kept, by which a program is known. */
enum { PROFILE_BYTES = 64 };

struct profile_site;

/* A piece of code without a branch in it, as QEMU translates it. One that is translated again is the same. */
struct profile_code {
	uint32_t number;
	uint32_t address;
	uint32_t place;			/* in the guest's memory */
	uint32_t length;		/* bytes */
	uint64_t digest;		/* of all bytes */
	struct branch_end end;
	bool ends_exception;
	bool is_exec;
	bool leaves;			/* how it ends can change the stack of calls */
	bool switches;			/* it is of __switch_to */
	bool is_written;
	uint8_t n_bytes;
	uint8_t bytes[PROFILE_BYTES];
	struct profile_site *site;	/* the one at which it was executed last */
	struct profile_code *next;
};

struct profile_frame {
	uint32_t number;
	uint32_t entry;			/* address; 0 of the root, in which everything is whose callers are not known */
	bool is_exception;		/* then it is that of the vector */
	struct profile_site *caller;	/* NULL of the root */
	struct profile_frame *next;
};

struct profile_site {
	uint32_t number;
	struct profile_frame *frame;
	struct profile_code *code;
	struct core_events events;
	struct profile_site *next;
};

/* A call or an exception that has not returned. */
struct profile_call {
	struct profile_code *from;
	struct profile_frame *frame;	/* what it has entered; while the window is open, of the thread that runs */
	uint32_t entry;
	uint32_t back;			/* where a call returns to */
	bool is_exception;
};

struct profile_thread {
	struct profile_call *calls;
	uint32_t depth, room;
	uint32_t beyond;		/* calls that there was no room for */
	bool has_exec;			/* it returns to another program than it came from */
	struct profile_thread *next;
};

struct profile {
	struct profile_window window;
	struct clock *clock;
	FILE *file;
	struct table codes, frames, sites, threads;
	struct profile_code *all_codes;
	struct profile_site *all_sites, **last_site;
	struct profile_frame *root, *last_frame;	/* the first and the last of all */
	struct profile_thread *all_threads;
	uint32_t n_codes;
	struct profile_site *beyond;	/* for all when there are too many sites */
	struct profile_thread *thread;
	uint32_t next_thread;		/* its key; see profile_switch() */
	uint32_t ended;			/* commands */
	bool is_open;
	struct profile_code *last;	/* what is executed */
	struct profile_site *site;	/* where; while the window is open */
	struct core_events before;	/* what was added to sites already */
};

/* NULL, or what is wrong. */
const char *profile_init(struct profile *profile, const struct profile_window *window, struct clock *clock);
void profile_free(struct profile *profile);

/* A piece of code; NULL if there is no memory. `word` is its last instruction as A32. */
struct profile_code *profile_code(struct profile *profile, uint32_t address, uint32_t place, const uint8_t *bytes, uint32_t length,
				  const struct branch_end *end, uint32_t word);

/* Code is entered: what has happened until now belongs to the code before. False if there is no memory. */
bool profile_enter(struct profile *profile, struct profile_code *code);

/* Whether it is the load by which __switch_to takes up another thread; what it loads from tells which. */
bool profile_is_switch(const struct profile *profile, uint32_t address, const struct insn *insn);

static inline void profile_switch(struct profile *profile, uint32_t address)
{
	profile->next_thread = address;
}

/* The guest executes a mark, in the midst of the code that was entered last. NULL, or what is wrong. */
const char *profile_mark(struct profile *profile, uint32_t code);

#endif
