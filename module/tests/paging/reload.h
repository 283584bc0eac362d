/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Loading and unloading the module in a case. All of it ends the case by FAIL when the system
 * itself does not work.
 */
#ifndef TESTS_RELOAD_H
#define TESTS_RELOAD_H

#include <stdbool.h>

#include "device.h"

#define MODULE_FOLDER "/sys/module/" MODULE_NAME

/* Whether the module is loaded. */
bool loaded(void);

/* Loads the module with these parameters, or unloads it; return 0, or -1 with errno. */
int load(const char *parameters);
int unload(void);

/* The value of a parameter of the loaded module, such as "Y"; valid until the next call. */
const char *parameter(const char *name);

/* All parameters as the module has them now, as load() takes them. */
void parameters_now(char *text, size_t size);

/* Unloads the module and loads it as it was found, and with these parameters on top of that. */
void reload_with(const char *parameters);

/* Runs the body in a child; whatever becomes of it, the module is then loaded as it was found. */
void with_module_restored(void (*body)(void *argument));

#endif /* TESTS_RELOAD_H */
