/*
 * One access of each kind. A comment says what the detector is to be told on the line: place, bytes and kind of each
 * access, with `=` and its value where it is a word (kinds: 1 a write, 2 atomic or volatile, 4 an update, 8 one that was made).
 * What was exchanged is told again afterwards: the same value may have come anew before.
 */
#include <rsm/annotate.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include "recorder.h"

struct record {
    char bytes[40];
};

static _Alignas(64) char memory[4096];
static uint64_t elsewhere;
static __int128 wide;
/* The middle of it is in no granule with anything else. */
static struct {
    char before[1 << 17];
    uint64_t words[4];
    char behind[1 << 17];
} distant;
#define AT(type, offset) ((type *)(void *)(memory + (offset)))

__attribute__((noinline)) static void plain(void)
{
    *AT(int, 4) = 1; /* sees: +4 4 1 */
    elsewhere = *AT(uint16_t, 8); /* sees: +8 2 0 */
    *AT(char, 11) = 1; /* sees: +11 1 1 */
    (void)*AT(volatile long, 16); /* sees: +16 8 2 */
    *AT(volatile char, 24) = 1; /* sees: +24 1 3 */
}

__attribute__((noinline)) static int words(long large)
{
    uint64_t *const word = AT(uint64_t, 32);
    uint64_t wanted = 11;
    __atomic_store_n(word, 7, __ATOMIC_RELEASE); /* sees: +32 8 3=7 */
    int right = __atomic_load_n(AT(uint32_t, 32), __ATOMIC_ACQUIRE) == 7; /* sees: +32 4 2=7 */
    right &= __atomic_fetch_add(word, 5, __ATOMIC_ACQ_REL) == 7; /* sees: +32 8 2=7, +32 8 7=12, +32 8 10=7 */
    right &= !__atomic_compare_exchange_n(word, &wanted, 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); /* sees: +32 8 2=12 */
    right &= wanted == 12;
    right &= __atomic_compare_exchange_n(word, &wanted, 6, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); /* sees: +32 8 2=12, +32 8 7=6, +32 8 10=12 */
    right &= __atomic_fetch_sub(word, 2, __ATOMIC_RELAXED) == 6; /* sees: +32 8 2=6, +32 8 7=4, +32 8 10=6 */
    right &= __atomic_fetch_or(word, 3, __ATOMIC_RELAXED) == 4; /* sees: +32 8 2=4, +32 8 7=7, +32 8 10=4 */
    right &= __atomic_fetch_and(word, 5, __ATOMIC_RELAXED) == 7; /* sees: +32 8 2=7, +32 8 7=5, +32 8 10=7 */
    right &= __atomic_fetch_xor(word, 1, __ATOMIC_RELAXED) == 5; /* sees: +32 8 2=5, +32 8 7=4, +32 8 10=5 */
    right &= __atomic_fetch_nand(AT(uint8_t, 32), 4, __ATOMIC_RELAXED) == 4; /* sees: +32 1 2=4, +32 1 7=251, +32 1 10=4 */
    right &= __atomic_exchange_n(AT(uint16_t, 32), 9, __ATOMIC_RELAXED) == 251; /* sees: +32 2 2=251, +32 2 7=9, +32 2 10=251 */
    /* Of what is passed, the bits above mean nothing. */
    __atomic_store_n(AT(uint8_t, 48), (uint8_t)large, __ATOMIC_RELAXED); /* sees: +48 1 3=52 */
    right &= __atomic_fetch_add(AT(uint16_t, 50), (uint16_t)large, __ATOMIC_RELAXED) == 0; /* sees: +50 2 2=0, +50 2 7=4660, +50 2 10=0 */
    right &= __atomic_exchange_n(AT(uint8_t, 48), (uint8_t)(large + 1), __ATOMIC_RELAXED) == 52; /* sees: +48 1 2=52, +48 1 7=53, +48 1 10=52 */
    return right;
}

/* Somebody else stores once it is told what is about to be: it is made anew, or not at all, and only what was made is said to be. */
__attribute__((noinline)) static int disturbed(void)
{
    uint64_t *const word = AT(uint64_t, 56);
    __int128 *const place = AT(__int128, 288);
    uint64_t wanted = 21;
    __int128 wide_wanted = 0;
    disturb(word, 20);
    int right = __atomic_fetch_add(word, 1, __ATOMIC_SEQ_CST) == 20; /* sees: +56 8 2=0, +56 8 7=1, +56 8 2=20, +56 8 7=21, +56 8 10=20 */
    disturb(word, 30);
    right &= !__atomic_compare_exchange_n(word, &wanted, 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); /* sees: +56 8 2=21, +56 8 7=1, +56 8 2=30 */
    disturb(place, 40);
    right &= !__atomic_compare_exchange_n(place, &wide_wanted, 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); /* sees: +288 8 7, +296 8 7, +288 8 2, +296 8 2 */
    right &= wanted == 30 && wide_wanted == 40;
    right &= __atomic_fetch_add(place, 2, __ATOMIC_SEQ_CST) == 40; /* sees: +288 8 7, +296 8 7, +288 8 2, +296 8 2, +288 16 10 */
    return right;
}

__attribute__((noinline)) static void blocks(void)
{
    char other[64];
    memset(other, 3, sizeof other);
    memcpy(memory + 64, other, 32); /* sees: +64 32 1 */
    memcpy(other, memory + 64, sizeof other); /* sees: +64 64 0 */
    memset(memory + 128, 0, 16); /* sees: +128 16 1 */
    memmove(memory + 1, memory, 8); /* sees: +0 8 0, +1 8 1 */
    elsewhere = (uint64_t)memcmp(other, memory + 128, 8); /* sees: +128 8 0 */
    memcpy(memory + 2, other, 0);
    *AT(struct record, 200) = *(struct record *)(void *)other; /* sees: +200 40 1 */
}

__attribute__((noinline)) static int sixteen(void)
{
    __int128 *const place = AT(__int128, 256);
    const __int128 value = (__int128)3 << 64 | 9;
    __int128 wanted = value;
    __atomic_store_n(place, value, __ATOMIC_SEQ_CST); /* sees: +256 8 7, +264 8 7, +256 8 2, +264 8 2 */
    int right = __atomic_load_n(place, __ATOMIC_SEQ_CST) == value; /* sees: +256 8 2, +264 8 2 */
    right &= __atomic_compare_exchange_n(place, &wanted, 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); /* sees: +256 8 7, +264 8 7, +256 8 2, +264 8 2, +256 16 10 */
    right &= !__atomic_compare_exchange_n(place, &wanted, 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); /* sees: +256 8 2, +264 8 2, +256 8 2, +264 8 2 */
    right &= wanted == 1;
    right &= __atomic_fetch_add(&wide, value, __ATOMIC_SEQ_CST) == 0 && wide == value;
    right &= __atomic_exchange_n(&wide, 4, __ATOMIC_SEQ_CST) == value && wide == 4;
    return right;
}

__attribute__((noinline)) static int apart(uint64_t *words)
{
    words[0] = 3;
    __atomic_fetch_add(&words[1], 1, __ATOMIC_SEQ_CST);
    *(volatile uint64_t *)&words[2] = 5;
    words[3] = words[0] + words[1] + words[2];
    memmove(words, words + 1, 3 * sizeof words[0]);
    return words[0] == 1 && words[2] == 9;
}

int main(void)
{
    watch(memory, sizeof memory);
    plain();
    volatile long start = 0x1234;
    const long large = start;
    const int right = words(large) & sixteen() & disturbed();
    blocks();
    RSM_ANNOTATE_BENIGN(memory + 8, 16);
    /* What is not watched is carried out all the same; what is not near anything that is, is told to nobody. */
    __atomic_fetch_add(&elsewhere, 1, __ATOMIC_SEQ_CST);
    elsewhere++;
    const unsigned long before = count();
    const int is_apart = apart(distant.words);
    printf("%s\n", right && is_apart && count() == before ? "right" : "wrong");
    return 0;
}
