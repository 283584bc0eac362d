# Programs of the distribution in the place of the host packages that Buildroot
# insists on, for hosts that reach nothing but a mirror of the distribution.
# Included by BR2_PACKAGE_OVERRIDE_FILE, which is read before all packages: what
# is an `override` here, they cannot set any more.

# $(1): package, $(2): program
define pibed-from-distribution
override HOST_$(1)_DEPENDENCIES = host-skeleton
override HOST_$(1)_AUTORECONF = NO
override HOST_$(1)_POST_PATCH_HOOKS =
override HOST_$(1)_CONFIGURE_CMDS =
override HOST_$(1)_BUILD_CMDS =
ifndef HOST_$(1)_INSTALL_CMDS
override HOST_$(1)_INSTALL_CMDS = mkdir -p $$(HOST_DIR)/bin && ln -sf $(shell which $(2)) $$(HOST_DIR)/bin/
endif
# Something has to be there to be copied, which is no source of the program and
# has no licence files.
override HOST_$(1)_LICENSE_FILES =
override HOST_$(1)_REDISTRIBUTE = NO
HOST_$(1)_OVERRIDE_SRCDIR = $$(BR2_EXTERNAL_PIBED_PATH)/configs
endef

# Buildroot's own is changed to find its folder in another variable.
override define HOST_CCACHE_INSTALL_CMDS
	mkdir -p $(HOST_DIR)/bin
	printf '#!/bin/sh\nCCACHE_DIR=$$BR_CACHE_DIR exec %s "$$@"\n' $(shell which ccache) >$(HOST_DIR)/bin/ccache
	chmod +x $(HOST_DIR)/bin/ccache
endef

$(eval $(call pibed-from-distribution,CCACHE,ccache))
$(eval $(call pibed-from-distribution,CPIO,cpio))
$(eval $(call pibed-from-distribution,FAKEROOT,fakeroot))
$(eval $(call pibed-from-distribution,KMOD,kmod))
$(eval $(call pibed-from-distribution,PATCHELF,patchelf))
$(eval $(call pibed-from-distribution,PKGCONF,pkgconf))
$(eval $(call pibed-from-distribution,TAR,tar))
