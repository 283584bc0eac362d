# Programs of the distribution in the place of the host packages that Buildroot
# insists on, for hosts that reach a mirror of the distribution only. Used as
# BR2_PACKAGE_OVERRIDE_FILE: this file is read before all packages.

# $(1): package, $(2): program, $(3): folder of the program in the host folder
define pibed-from-distribution
override HOST_$(1)_DEPENDENCIES = host-skeleton
override HOST_$(1)_AUTORECONF = NO
override HOST_$(1)_POST_PATCH_HOOKS =
override HOST_$(1)_CONFIGURE_CMDS =
override HOST_$(1)_BUILD_CMDS =
override HOST_$(1)_INSTALL_CMDS = mkdir -p $$(HOST_DIR)/bin && ln -sf $(shell which $(2)) $$(HOST_DIR)/bin/
HOST_$(1)_OVERRIDE_SRCDIR = $(BR2_EXTERNAL_PIBED_PATH)/configs
endef

$(eval $(call pibed-from-distribution,CPIO,cpio))
$(eval $(call pibed-from-distribution,FAKEROOT,fakeroot))
$(eval $(call pibed-from-distribution,KMOD,kmod))
$(eval $(call pibed-from-distribution,PATCHELF,patchelf))
$(eval $(call pibed-from-distribution,PKGCONF,pkgconf))
$(eval $(call pibed-from-distribution,TAR,tar))
