################################################################################
#
# pibed-agent
#
################################################################################

PIBED_AGENT_VERSION = 1
PIBED_AGENT_SITE = $(BR2_EXTERNAL_PIBED_PATH)/../buildroot/package/pibed-agent
PIBED_AGENT_SITE_METHOD = local
PIBED_AGENT_LICENSE = MIT
PIBED_AGENT_LICENSE_FILES = agent.c

define PIBED_AGENT_BUILD_CMDS
	$(MAKE) -C $(@D) CC="$(TARGET_CC)" agent
endef

define PIBED_AGENT_INSTALL_TARGET_CMDS
	$(INSTALL) -D -m 0755 $(@D)/agent $(TARGET_DIR)/usr/lib/pibed/agent
endef

$(eval $(generic-package))
