// SPDX-License-Identifier: GPL-2.0-only
/*
 * New mappings: what they hold, whom they belong to, and which are refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/ktap.h"
#include "lib/device.h"

#define NR_PAGES 64

/* Pages come zeroed, those included that another mapping has just given back full of data. */
static void zeroed(void)
{
	unsigned int round, i;

	for (round = 0; round < 8; round++) {
		char *mapping = map_pages(NR_PAGES, PROT_READ | PROT_WRITE);

		for (i = 0; i < NR_PAGES; i++) {
			if (!page_is_zero(mapping + i * PAGE))
				FAIL("page %u of round %u is not zero", i, round);
			fill_page(mapping + i * PAGE, i + 1);
		}
		ASSERT_OK(munmap(mapping, NR_PAGES * PAGE));
	}
}

static const struct ktap_case cases[] = {
	{ .name = "zeroed", .run = zeroed },
};

int main(int argc, char **argv)
{
	return ktap_main(argc, argv, cases, ARRAY_SIZE(cases));
}
