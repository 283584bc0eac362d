################################################################################
#
# paging-tests
#
################################################################################

PAGING_TESTS_VERSION = 1
PAGING_TESTS_SITE = $(BR2_EXTERNAL_PIBED_PATH)/../module
PAGING_TESTS_SITE_METHOD = local
PAGING_TESTS_LICENSE = GPL-2.0
PAGING_TESTS_LICENSE_FILES = tests/lib/ktap.c

# By names relative to the folder, so that no path of the host gets in.
define PAGING_TESTS_BUILD_CMDS
	cd $(@D)/tests && for source in *.c; do \
		$(TARGET_CC) -MD -Wall -Wextra -static \
			$(call qstrip,$(BR2_PACKAGE_PAGING_TESTS_CFLAGS)) \
			-o $${source%.c} $$source lib/*.c paging/*.c || exit 1; \
	done
endef

# Not in PATH, since a test can be called as a command is.
define PAGING_TESTS_INSTALL_TARGET_CMDS
	cd $(@D)/tests && for source in *.c; do \
		$(INSTALL) -D -m 0755 $${source%.c} \
			$(TARGET_DIR)/usr/lib/pibed/tests/$${source%.c} || exit 1; \
	done
endef

$(eval $(generic-package))
