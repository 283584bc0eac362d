include $(sort $(wildcard $(BR2_EXTERNAL_PIBED_PATH)/package/*/*.mk))

# For post-image.sh.
export PIBED_LINUX_DIR = $(LINUX_DIR)

# The kernel's fragments and BusyBox' configuration stand on allnoconfig, as in
# pibed's other builder; Buildroot would put them on top of the defaults. These
# come last among the changes that Buildroot makes to a configuration.
define PIBED_LINUX_CONFIG
	cat $(LINUX_KCONFIG_FILE) $(LINUX_KCONFIG_FRAGMENT_FILES) >$(LINUX_DIR)/pibed.config
	KCONFIG_ALLCONFIG=pibed.config $(LINUX_KCONFIG_MAKE) allnoconfig
endef
PACKAGES_LINUX_CONFIG_FIXUPS += $(PIBED_LINUX_CONFIG)$(sep)

define PIBED_BUSYBOX_CONFIG
	$(BUSYBOX_KCONFIG_MAKE) allnoconfig
	support/kconfig/merge_config.sh -m -O $(BUSYBOX_DIR) \
		$(BUSYBOX_DIR)/.config $(BUSYBOX_KCONFIG_FILE)
endef
PACKAGES_BUSYBOX_CONFIG_FIXUPS += $(PIBED_BUSYBOX_CONFIG)$(sep)
