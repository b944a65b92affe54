/*
 * What a PE does with its own memory, by loads and stores, beside what others put and get there. Where nothing orders PEs they wait
 * for each other by files, of which OpenSHMEM knows nothing: so none has been told by what comes later.
 *
 *     oshrun -n 2 --race ./touched PART bad|good FILES
 */
#include <fcntl.h>
#include <shmem.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { WORDS = 32 };

static long letter[WORDS], flag, number, signal_word, total;
static int is_good;

static const char *files;

static void name_of(int pe, char *name, size_t room)
{
    snprintf(name, room, "%s-%d", files, pe);
}

/* This PE has come to where it is. */
static void say(void)
{
    char name[4096];
    name_of(shmem_my_pe(), name, sizeof name);
    const int file = creat(name, 0600);
    if (file < 0)
        perror(name);
    close(file);
}

/* The other one has. The test ends a run that takes too long. */
static void await(int pe)
{
    char name[4096];
    name_of(pe, name, sizeof name);
    while (access(name, F_OK) != 0)
        usleep(1000);
}

/* PE 1 puts a letter, and a flag that stands for it; PE 0 reads it. Repaired, the one comes before the other. */
static void mail(void)
{
    long words[WORDS];
    if (shmem_my_pe() == 1) {
        for (int i = 0; i < WORDS; i++)
            words[i] = i;
        shmem_long_put(letter, words, WORDS, 0);
        if (is_good)
            shmem_fence();
        shmem_long_p(&flag, 1, 0);
        /* All of it is complete when that has been read, and not before. */
        shmem_long_wait_until(&flag, SHMEM_CMP_EQ, 1);
        shmem_quiet();
    } else {
        shmem_long_wait_until(&flag, SHMEM_CMP_EQ, 1);
        number = letter[7];
        shmem_long_p(&flag, 1, 1);
    }
}

/* PE 1 gets what PE 0 changes. Repaired, when that has been done. */
static void change(void)
{
    if (shmem_my_pe() == 0) {
        letter[5] = 5;
        if (is_good)
            shmem_sync_all();
        say();
        await(1);
    } else {
        long words[WORDS];
        if (is_good)
            shmem_sync_all();
        await(0);
        shmem_getmem(words, letter, sizeof letter, 0);
        number = words[5];
        say();
    }
}

/* Everything that orders: nobody is to be told of anything. */
static void turns(void)
{
    const int me = shmem_my_pe(), other = 1 - me;
    static long lock, box, sums[2], parts[2];
    long *const heap = shmem_malloc(WORDS * sizeof *heap);
    for (int turn = 1; turn <= 20; turn++) {
        /* A barrier. */
        letter[turn % WORDS] = turn;
        shmem_barrier_all();
        long got[WORDS];
        shmem_long_get(got, letter, WORDS, other);
        shmem_sync_all();
        memset(letter, turn, sizeof letter);
        /* A signal, and memory of the heap. */
        long words[WORDS];
        memset(words, turn, sizeof words);
        shmem_barrier_all();
        shmem_long_put_signal(heap, words, WORDS, (uint64_t *)&signal_word, turn, SHMEM_SIGNAL_SET, other);
        shmem_signal_wait_until((uint64_t *)&signal_word, SHMEM_CMP_EQ, turn);
        number += heap[3];
        /* A word that the other one tests. */
        shmem_barrier_all();
        if (me == 0) {
            box = turn;
            shmem_quiet();
            shmem_long_p(&flag, 100 + turn, other);
        } else {
            while (!shmem_long_test(&flag, SHMEM_CMP_EQ, 100 + turn))
                ;
            number += shmem_long_g(&box, other);
        }
        shmem_barrier_all();
        /* An atomic operation, upon whose value the other waits. */
        if (me == 0) {
            shmem_long_put(letter, words, WORDS, other);
            shmem_quiet();
            shmem_long_atomic_inc(&total, other);
        } else {
            shmem_long_wait_until(&total, SHMEM_CMP_EQ, turn);
            number += letter[2];
        }
        shmem_barrier_all();
        /* One that is complete, and then a sync: its word is anybody's. */
        (void)shmem_long_atomic_fetch_add(&parts[0], 1, 0);
        shmem_sync_all();
        if (me == 0)
            parts[0] = 0;
        /* A lock around what both change. */
        shmem_barrier_all();
        shmem_set_lock(&lock);
        const long before = shmem_long_g(&sums[0], 0);
        shmem_long_p(&sums[0], before + 1, 0);
        shmem_quiet();
        shmem_clear_lock(&lock);
        /* What is reduced, gathered and broadcast, and used at once. */
        parts[1] = turn;
        shmem_barrier_all();
        shmem_long_sum_reduce(SHMEM_TEAM_WORLD, &number, &parts[1], 1);
        parts[1] = number;
        shmem_long_broadcast(SHMEM_TEAM_WORLD, &total, &total, 1, 1);
        shmem_barrier_all();
    }
    shmem_free(heap);
    if (me == 0 && sums[0] != 40)
        printf("%ld\n", sums[0]);
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    files = argv[3];
    is_good = strcmp(argv[2], "good") == 0;
    shmem_init();
    if (strcmp(argv[1], "mail") == 0)
        mail();
    else if (strcmp(argv[1], "change") == 0)
        change();
    else
        turns();
    shmem_finalize();
    return 0;
}
