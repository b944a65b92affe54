/*
 * Atomic updates, of another node's memory or of one's own; nothing of it races. It is told which.
 *
 *     rsm-ctl run --race --profile dolphin-ntb -n 2 -- ./updates over|own|words|benign
 */
#include "../race.h"

__attribute__((noinline)) static void adds(uint64_t *word)
{
    __atomic_fetch_add(word, 1, __ATOMIC_RELAXED); /* SITE */
}

__attribute__((noinline)) static void exchanges(uint64_t *word)
{
    __atomic_exchange_n(word, 7, __ATOMIC_ACQ_REL); /* SITE */
}

__attribute__((noinline)) static void compares(uint32_t *word)
{
    uint32_t from = 0;
    __atomic_compare_exchange_n(word, &from, 7, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); /* SITE */
}

/* Of sixteen bytes. Where nobody looks at the program, a library would be called for it. */
#ifdef __SANITIZE_THREAD__
__attribute__((noinline)) static void wide(__int128 *words)
{
    __int128 from = 1;
    __atomic_store_n(words, __atomic_load_n(words, __ATOMIC_ACQUIRE) + 2, __ATOMIC_RELEASE);
    __atomic_compare_exchange_n(words, &from, 7, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(words, 7, __ATOMIC_SEQ_CST); /* SITE */
}
#else
#define wide(words) ((void)(words))
#endif

static void all(char *memory)
{
    uint64_t *const words = (uint64_t *)(void *)(memory + DATA);
    for (int i = 0; i < 3; i++)
        adds(&words[0]);
    exchanges(&words[1]);
    compares((uint32_t *)&words[2]);
    wide((__int128 *)&words[4]);
}

static void over(const char *what)
{
    rsmapi_barrier_t barrier;
    char *const memory = mapped(open_to(2, &barrier));
    uint64_t *const words = (uint64_t *)(void *)(memory + DATA);
    if (strcmp(what, "words") == 0) {
        __atomic_store_n(&words[0], __atomic_load_n(&words[0], __ATOMIC_ACQUIRE) + 1, __ATOMIC_RELEASE);
#ifdef __SANITIZE_THREAD__
        __atomic_store_n((__int128 *)&words[4], 5, __ATOMIC_RELEASE);
#endif
    } else {
        if (strcmp(what, "benign") == 0)
            RSM_ANNOTATE_BENIGN(words, 6 * sizeof *words);
        all(memory);
    }
    CLOSE(barrier);
}

/* By its addresses, and through an import of its own. */
static void own(void)
{
    const rsm_memseg_import_handle_t import = connect_to(me);
    rsmapi_barrier_t barrier;
    memset(&barrier, 0, sizeof barrier);
    CHECK(rsm_memseg_import_set_mode(import, RSM_BARRIER_MODE_EXPLICIT));
    CHECK(rsm_memseg_import_init_barrier(import, RSM_BARRIER_SEGMENT, &barrier));
    all((char *)mine);
    CHECK(rsm_memseg_import_open_barrier(&barrier));
    all(mapped(import));
    CLOSE(barrier);
}

int main(int argc, char **argv)
{
    const char *const what = argc > 1 ? argv[1] : "";
    char word[] = "good";
    char *words[] = {argv[0], word, NULL};
    ready(2, words, 2);
    if (strcmp(what, "own") == 0 && me == 2)
        own();
    if (strcmp(what, "own") != 0 && me == 1)
        over(what);
    return finish();
}
