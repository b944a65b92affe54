/*
 * rsm/annotate.h - what a program tells the race detector of rsm-ctl run --race.
 *
 * RSM_ANNOTATE_BENIGN(address, bytes)
 *     Accesses to these bytes, and to others in the same words of eight, are never reported, nor is a value that is lost there: the
 *     program knows of them, and makes sure by other means that what it read is whole, as with a sequence lock. They are memory of
 *     a segment that is published, or of a mapping; other memory is left out. What was annotated stays so as long as the segment
 *     is there. Say it before others reach these bytes: what has been found by then stays reported. It has to be one segment's
 *     or one mapping's memory; of bytes in several, those in one of them count.
 *
 * RSM_ANNOTATE_HAPPENS_BEFORE(token)
 * RSM_ANNOTATE_HAPPENS_AFTER(token)
 *     What this process has done so far comes before what others do behind the second with the same token: something orders
 *     them that is not seen. The token is a number of 64 bits that both name, or a pointer, which means the same in both.
 *     The first comes before what lets the other go on, the second behind what it was let go on by. Of what was put, that is part whose
 *     span was closed.
 *
 * All count in any program that has librsm, also in one that rsm-ctl cc did not build; a run without --race takes no notice.
 */
#ifndef _RSM_ANNOTATE_H
#define _RSM_ANNOTATE_H

#include <rsm/race.h>

/* Of librsm, which a program need not have. */
#pragma weak rsm_race_benign
#pragma weak rsm_race_happens

#define RSM_ANNOTATE_BENIGN(address, bytes) \
    (rsm_race_benign ? rsm_race_benign((uintptr_t)(address), (size_t)(bytes)) : (void)0)

#define RSM_ANNOTATE_HAPPENS_BEFORE(token) (rsm_race_happens ? rsm_race_happens((uint64_t)(token), 0) : (void)0)
#define RSM_ANNOTATE_HAPPENS_AFTER(token) (rsm_race_happens ? rsm_race_happens((uint64_t)(token), 1) : (void)0)

#endif
