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

/* Where memory of segments is that is looked at: granule G is all addresses A with (A >> 16 & 65535) == G. Its byte is not 0 if any such
 * memory is in it, or an access of up to 16 bytes may begin there that reaches some. Bytes may change at any time: load each
 * atomically. Accesses to granules whose bytes are all 0 need not be told. */
extern unsigned char rsm_race_granules[65536];

/* Bits of a kind. A read has none. */
#define RSM_RACE_WRITE 1  /* a write, which is told before it is made; a read is told after it */
#define RSM_RACE_WORD 2   /* of one word, atomic or volatile */
#define RSM_RACE_UPDATE 4 /* read, changed and written, atomically */
#define RSM_RACE_UPDATED 8 /* with the value that an update read, or with no value and by itself: it has been made */

/* Before the program joins a cluster: with 1, that it tells of all its accesses to memory of segments. What a program that
 * does not say so may have done with memory is taken into account, and fewer races are found. */
void rsm_race_sees(unsigned what);

/* An access to memory: plain, or a word whose value is not known. `pc` is the return address of who asks. */
void rsm_race_access(uintptr_t address, size_t length, unsigned kind, uintptr_t pc);

/* An access to a word of 1, 2, 4 or 8 bytes, atomic or volatile, with the value that was read or is about to be written. */
void rsm_race_value(uintptr_t address, size_t length, uint64_t value, unsigned kind, uintptr_t pc);

/* Nobody wants to hear of races in the lines of eight bytes that these bytes lie in, which are memory of a segment. */
void rsm_race_benign(uintptr_t address, size_t length);

/* What this process has done so far comes before what any process of the cluster does that says so afterwards with the same token, a
 * number of the program's: `after` 0, and then 1. Any program may say it, also one that tells of no accesses. */
void rsm_race_happens(uint64_t token, unsigned after);

/* Threads. While this is not 0, what they do is to be told: from when a process that has joined a cluster creates its first
 * one, if all modules that are loaded have said that they tell it. After anything of which it is not known what it orders,
 * it is 0 for good, and the threads of the process are taken for one. */
extern unsigned rsm_race_threads;

/* Before the program joins a cluster: the module that this address lies in tells all that its threads do. */
void rsm_race_module(uintptr_t address);

/* Likewise, a list of functions, calls of which that module makes lead to others, which tell what they order. Of each it has three
 * addresses: of its name, of the other one, and of a function without arguments that says, as uintptr_t, where that goes on to: 0 is
 * nowhere. If the module is the program, calls that libstdc++ makes of them are led there too, from when the program joins a
 * cluster in which races are looked for. The list stays as it is. */
void rsm_race_leads(const void *list, size_t count);

/* A thread is about to be created, and gets a name; 0: none. The new thread says then that it has begun, and its creator that it
 * was created, or that it was not (`well` is 0); both with what pthread_self says. */
unsigned rsm_race_thread_creates(void);
void rsm_race_thread_begins(unsigned name, uintptr_t thread);
void rsm_race_thread_created(unsigned name, uintptr_t thread, unsigned well);

/* Asked before a thread is waited for: its name, 0 for one that has none; and told when it has ended. */
unsigned rsm_race_thread_named(uintptr_t thread);
void rsm_race_thread_joined(unsigned name);

/* This thread does something with one or two objects, such as locks: before it does. What it tells, who learns by the object
 * later knows; what it learns, it knows with the next thing that it tells of. Addresses are names and nothing else. */
#define RSM_RACE_TELLS_A 1
#define RSM_RACE_LEARNS_A 2
#define RSM_RACE_TELLS_B 4
#define RSM_RACE_LEARNS_B 8
#define RSM_RACE_ANYTHING 16   /* the object is whatever threads may tell each other anything by */
#define RSM_RACE_UNKNOWN 32    /* what comes of it is not known: threads are one from now on */
#define RSM_RACE_INTERRUPTS 64 /* with ANYTHING: another thread may do something in between, as a signal handler */
void rsm_race_thread_does(unsigned what, uintptr_t a, uintptr_t b);

#ifdef __cplusplus
}
#endif

#endif
