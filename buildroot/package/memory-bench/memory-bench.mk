################################################################################
#
# memory-bench
#
################################################################################

MEMORY_BENCH_VERSION = 1
MEMORY_BENCH_SITE = $(BR2_EXTERNAL_PIBED_PATH)/../module
MEMORY_BENCH_SITE_METHOD = local
MEMORY_BENCH_LICENSE = GPL-2.0
MEMORY_BENCH_LICENSE_FILES = user/memory_bench.c

# By names relative to the folder, so that no path of the host gets in.
define MEMORY_BENCH_BUILD_CMDS
	cd $(@D)/user && $(TARGET_CC) -MD -Wall -Wextra -static \
		$(call qstrip,$(BR2_PACKAGE_MEMORY_BENCH_CFLAGS)) -o memory_bench memory_bench.c
endef

define MEMORY_BENCH_INSTALL_TARGET_CMDS
	$(INSTALL) -D -m 0755 $(@D)/user/memory_bench $(TARGET_DIR)/usr/bin/memory_bench
endef

$(eval $(generic-package))
