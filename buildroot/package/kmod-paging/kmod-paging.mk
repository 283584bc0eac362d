################################################################################
#
# kmod-paging
#
################################################################################

KMOD_PAGING_VERSION = 1
KMOD_PAGING_SITE = $(BR2_EXTERNAL_PIBED_PATH)/../module
KMOD_PAGING_SITE_METHOD = local
KMOD_PAGING_LICENSE = GPL-2.0
KMOD_PAGING_LICENSE_FILES = paging.c
# No path of the host in the module, whatever it prints with __FILE__; lines for
# traces. Ccache makes paths relative to where the kernel is built.
KMOD_PAGING_MODULE_MAKE_OPTS = \
	KCFLAGS="$(LINUX_CFLAGS) -g \
		-ffile-prefix-map=$(@D)=module \
		-ffile-prefix-map=../$(notdir $(@D))=module \
		-fdebug-prefix-map=$(LINUX_DIR)=."

$(eval $(kernel-module))
$(eval $(generic-package))
