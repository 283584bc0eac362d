/*
 * What a compiler's headers state, as name=number: preprocessed, never compiled.
 */
#include <limits.h>
#include <linux/version.h>
version=LINUX_VERSION_CODE
#ifdef __UCLIBC__
uclibc=1
#elif defined __GLIBC__
glibc=1
#endif
#if __has_include(<rpc/rpc.h>)
rpc=1
#endif
