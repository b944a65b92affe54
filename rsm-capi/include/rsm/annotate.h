/*
 * rsm/annotate.h - what a program tells the race detector of rsm-ctl run --race.
 *
 * RSM_ANNOTATE_BENIGN(address, bytes)
 *     Accesses to these bytes, of a segment's memory or of a mapping, are never reported: the program knows of them, and
 *     makes sure by other means that what it read is whole, as with a sequence lock.
 *
 * In a program that is not built by rsm-ctl cc it is nothing, and its arguments are not evaluated.
 */
#ifndef _RSM_ANNOTATE_H
#define _RSM_ANNOTATE_H

#ifdef __RSM_RACE__

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
/* Of librsm, which a program need not have. */
extern void rsm_race_benign(uintptr_t address, size_t length) __attribute__((__weak__));
#ifdef __cplusplus
}
#endif

#define RSM_ANNOTATE_BENIGN(address, bytes) \
    (rsm_race_benign ? rsm_race_benign((uintptr_t)(address), (size_t)(bytes)) : (void)0)

#else

#define RSM_ANNOTATE_BENIGN(address, bytes) ((void)sizeof(address), (void)sizeof(bytes))

#endif

#endif
