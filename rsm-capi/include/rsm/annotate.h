/*
 * rsm/annotate.h - what a program tells the race detector of rsm-ctl run --race.
 *
 * RSM_ANNOTATE_BENIGN(address, bytes)
 *     Accesses to these bytes, and to others in the same words of eight, are never reported: the program knows of them, and
 *     makes sure by other means that what it read is whole, as with a sequence lock. They are memory of a published segment,
 *     or of a mapping; what was annotated stays so as long as the segment is there.
 *
 * In a program that is not built by rsm-ctl cc it is nothing, and its arguments are not evaluated.
 */
#ifndef _RSM_ANNOTATE_H
#define _RSM_ANNOTATE_H

#ifdef __RSM_RACE__

#include <rsm/race.h>

/* Of librsm, which a program need not have. */
#pragma weak rsm_race_benign

#define RSM_ANNOTATE_BENIGN(address, bytes) \
    (rsm_race_benign ? rsm_race_benign((uintptr_t)(address), (size_t)(bytes)) : (void)0)

#else

#define RSM_ANNOTATE_BENIGN(address, bytes) ((void)sizeof(address), (void)sizeof(bytes))

#endif

#endif
