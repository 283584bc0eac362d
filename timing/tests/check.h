/* SPDX-License-Identifier: GPL-2.0-only */
/* What a test of the model needs: a comparison that says where it failed and with which numbers. */
#ifndef CHECK_H
#define CHECK_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define EXPECT(actual, expected) \
	do { \
		uint64_t is_ = (actual), should_ = (expected); \
		if (is_ != should_) { \
			fprintf(stderr, "%s:%d: %s is %" PRIu64 ", not %" PRIu64 "\n", __FILE__, __LINE__, #actual, is_, should_); \
			exit(1); \
		} \
	} while (0)

#endif
