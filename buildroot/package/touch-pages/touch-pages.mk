################################################################################
#
# touch-pages
#
################################################################################

TOUCH_PAGES_VERSION = 1
TOUCH_PAGES_SITE = $(BR2_EXTERNAL_PIBED_PATH)/../module
TOUCH_PAGES_SITE_METHOD = local
TOUCH_PAGES_LICENSE = GPL-2.0
TOUCH_PAGES_LICENSE_FILES = user/touch_pages.c

# By names relative to the folder, so that no path of the host gets in.
define TOUCH_PAGES_BUILD_CMDS
	cd $(@D)/user && $(TARGET_CC) -MD -Wall -Wextra -static \
		$(call qstrip,$(BR2_PACKAGE_TOUCH_PAGES_CFLAGS)) -o touch_pages touch_pages.c
endef

define TOUCH_PAGES_INSTALL_TARGET_CMDS
	$(INSTALL) -D -m 0755 $(@D)/user/touch_pages $(TARGET_DIR)/usr/bin/touch_pages
endef

$(eval $(generic-package))
