/*
 * Stands in for the race detector: prints what it is told, with places in the watched memory and in the program.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "recorder.h"

struct {
    _Atomic uintptr_t low, high;
} rsm_race_bounds;

static unsigned long told;

static unsigned long place(uintptr_t pc)
{
    Dl_info info;
    if (!dladdr((void *)(pc - 1), &info))
        return 0;
    /* A program that is loaded where it says has no other place. */
    const ElfW(Ehdr) *const file = info.dli_fbase;
    return pc - 1 - (file->e_type == ET_EXEC ? 0 : (uintptr_t)file);
}

void rsm_race_access(uintptr_t address, size_t length, unsigned kind, uintptr_t pc)
{
    told++;
    if (length > 0)
        printf("+%lu %zu %u @%lx\n", address - rsm_race_bounds.low, length, kind, place(pc));
}

void rsm_race_value(uintptr_t address, size_t length, uint64_t value, unsigned kind, uintptr_t pc)
{
    told++;
    printf("+%lu %zu %u=%llu @%lx\n", address - rsm_race_bounds.low, length, kind, (unsigned long long)value, place(pc));
}

void rsm_race_sees(unsigned what)
{
    printf("sees %u\n", what);
}

void rsm_race_benign(uintptr_t address, size_t length)
{
    printf("benign +%lu %zu\n", address - rsm_race_bounds.low, length);
}

void watch(void *start, size_t length)
{
    rsm_race_bounds.low = (uintptr_t)start;
    rsm_race_bounds.high = (uintptr_t)start + length;
}

unsigned long count(void)
{
    return told;
}
