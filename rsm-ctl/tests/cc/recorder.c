/*
 * Stands in for the race detector: prints what it is told, with places in the watched memory and in the program.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unwind.h>
#include "recorder.h"

_Atomic unsigned char rsm_race_granules[65536];

/* Of what is watched. */
static uintptr_t low, high;
static unsigned long told;

/* What is stored by somebody else next, and where. */
static unsigned long *disturbed, disturbance;

static void meet(uintptr_t address, unsigned kind)
{
    if ((kind & 1) && address == (uintptr_t)disturbed) {
        *disturbed = disturbance;
        disturbed = NULL;
    }
}

static unsigned long place(uintptr_t pc)
{
    Dl_info info;
    if (!dladdr((void *)(pc - 1), &info))
        return 0;
    /* A program that is loaded where it says has no other place. */
    const ElfW(Ehdr) *const file = info.dli_fbase;
    return pc - 1 - (file->e_type == ET_EXEC ? 0 : (uintptr_t)file);
}

static _Unwind_Reason_Code look_for(struct _Unwind_Context *context, void *pc)
{
    uintptr_t *const wanted = pc;
    if (_Unwind_GetIP(context) == *wanted)
        *wanted = 0;
    return _URC_NO_REASON;
}

/* Whether it is watched; what is told of may be near that. Where it was made is to be found on the stack as well. */
static int is_watched(uintptr_t address, size_t length, uintptr_t pc)
{
    const uintptr_t place = pc;
    told++;
    if (address >= high || address + length <= low)
        return 0;
    _Unwind_Backtrace(look_for, &pc);
    if (pc != 0)
        printf("not on the stack: %lx\n", place);
    return 1;
}

void rsm_race_access(uintptr_t address, size_t length, unsigned kind, uintptr_t pc)
{
    if (is_watched(address, length, pc) && length > 0)
        printf("+%lu %zu %u @%lx\n", address - low, length, kind, place(pc));
    meet(address, kind);
}

void rsm_race_value(uintptr_t address, size_t length, uint64_t value, unsigned kind, uintptr_t pc)
{
    if (is_watched(address, length, pc))
        printf("+%lu %zu %u=%llu @%lx\n", address - low, length, kind, (unsigned long long)value, place(pc));
    meet(address, kind);
}

void rsm_race_sees(unsigned what)
{
    printf("sees %u\n", what);
}

void rsm_race_benign(uintptr_t address, size_t length)
{
    printf("benign +%lu %zu\n", address - low, length);
}

void watch(void *start, size_t length)
{
    low = (uintptr_t)start;
    high = low + length;
    for (uintptr_t granule = low >> 16; granule <= (high - 1) >> 16; granule++)
        rsm_race_granules[granule & 0xffff] = 1;
}

void disturb(void *word, unsigned long value)
{
    disturbed = word;
    disturbance = value;
}

unsigned long count(void)
{
    return told;
}
