################################################################################
#
# dense-mm
#
################################################################################

DENSE_MM_VERSION = 1
DENSE_MM_SITE = $(BR2_EXTERNAL_PIBED_PATH)/../module
DENSE_MM_SITE_METHOD = local
DENSE_MM_LICENSE = GPL-2.0
DENSE_MM_LICENSE_FILES = user/dense_mm.c

# By names relative to the folder, so that no path of the host gets in.
define DENSE_MM_BUILD_CMDS
	cd $(@D)/user && $(TARGET_CC) -MD -Wall -Wextra -static \
		$(call qstrip,$(BR2_PACKAGE_DENSE_MM_CFLAGS)) -o dense_mm dense_mm.c
endef

define DENSE_MM_INSTALL_TARGET_CMDS
	$(INSTALL) -D -m 0755 $(@D)/user/dense_mm $(TARGET_DIR)/usr/bin/dense_mm
endef

$(eval $(generic-package))
