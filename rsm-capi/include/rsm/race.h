/*
 * What instrumented programs tell the race detector of `rsm-ctl run --race`. Compilers have them called; a program itself
 * needs none of it. Without --race nothing of it does anything.
 */
#ifndef RSM_RACE_H
#define RSM_RACE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* All memory of segments that is looked at lies between these addresses; both are 0 before there is any. They may change at any
 * time: load each atomically. Accesses elsewhere need not be told. */
struct rsm_race_bounds {
    uintptr_t low, high;
};
extern struct rsm_race_bounds rsm_race_bounds;

/* Bits of a kind. A read has none. */
#define RSM_RACE_WRITE 1  /* a write, which is told before it is made; a read is told after it */
#define RSM_RACE_WORD 2   /* of one word, atomic or volatile */
#define RSM_RACE_UPDATE 4 /* read, changed and written, atomically */

/* Before the program joins a cluster: with 1, that it tells of all its accesses to memory of segments. What a program that
 * does not say so may have done with memory is taken into account, and fewer races are found. */
void rsm_race_sees(unsigned what);

/* An access to memory: plain, or a word whose value is not known. `pc` is the return address of who asks. */
void rsm_race_access(uintptr_t address, size_t length, unsigned kind, uintptr_t pc);

/* An access to a word of 1, 2, 4 or 8 bytes, atomic or volatile, with the value that was read or is about to be written. */
void rsm_race_value(uintptr_t address, size_t length, uint64_t value, unsigned kind, uintptr_t pc);

/* Nobody wants to hear of races in the lines of eight bytes that these bytes lie in, which are memory of a segment. */
void rsm_race_benign(uintptr_t address, size_t length);

#ifdef __cplusplus
}
#endif

#endif
