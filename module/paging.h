/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * What kmod_paging and the programs that map its device agree on.
 */
#ifndef PAGING_H
#define PAGING_H

#define PAGING_DEVICE_NAME "paging"
#define PAGING_DEVICE_PATH "/dev/" PAGING_DEVICE_NAME

#endif /* PAGING_H */
