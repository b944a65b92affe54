/*
 * no race / What owners and others rightly do with one memory, in ways that could be taken for a race: each part is told by something
 * that the RSMAPI vouches for. It has no bug.
 */
#include "aside.h"

enum { TIMES = 20, BELL = FLAG + 64, COUNT = FLAG + 72, TAKEN = FLAG + 128, TOLD = FLAG + 256, SLOTS = DATA + 1024 };

static rsmapi_barrier_t barrier;
static rsm_memseg_import_handle_t to;

/* A span of one put. */
static void put_there(off_t offset, int value, size_t bytes)
{
    memset(block, value, sizeof block);
    CHECK(rsm_memseg_import_open_barrier(&barrier));
    CHECK(rsm_memseg_import_put(to, offset, block, bytes));
    CLOSE(barrier);
}

/* A bell is rung whether it was heard or not, and is silenced before it is looked what there is to do. */
static void bells(void)
{
    for (uint64_t n = 1; me == 1 && n <= TIMES; n++) {
        tell(2, COUNT, n);
        tell(2, BELL, 1);
    }
    while (me == 2 && look(COUNT) < TIMES) {
        if (look(BELL))
            __atomic_store_n((uint64_t *)(void *)(mine + BELL), 0, __ATOMIC_SEQ_CST);
        call();
    }
}

/* Others use other bytes of the same words, at the same time. */
static void beside(void)
{
    for (int n = 1; n <= TIMES; n++) {
        for (int word = 0; me == 1 && word < 4; word++)
            put_there(DATA + 8 * word + 1, n, 3);
        for (int word = 0; me == 2 && word < 4; word++)
            memset(mine + DATA + 8 * word + 4, n, 4);
        if (me == 2)
            call();
    }
}

/* A slot is free when a word of its owner's memory says so. */
static void slots(void)
{
    for (uint64_t n = 1; me == 1 && n <= TIMES; n++) {
        while (n > 2 && ask(2, TAKEN) < n - 2)
            ;
        put_there(SLOTS + (off_t)(n % 2) * BYTES, (int)n, BYTES);
        tell(2, TOLD, n);
    }
    for (uint64_t n = 1; me == 2 && n <= TIMES; n++) {
        await(TOLD, n);
        memset(mine + SLOTS + (n % 2) * BYTES, 0, BYTES);
        __atomic_store_n((uint64_t *)(void *)(mine + TAKEN), n, __ATOMIC_RELEASE);
        if (n % 3 == 0)
            call();
    }
}

/* The word of the owner goes through a third node: into its memory; or out of its own, where that node finds it. */
static void third(int asks)
{
    const off_t base = DATA + 2048 + 512 * asks;
    for (uint64_t n = 1; n <= TIMES; n++) {
        const uint64_t now = TIMES * (uint64_t)asks + n;
        if (me == 2) {
            memset(mine + base, (int)n, BYTES);
            if (n % 2)
                call();
            if (asks)
                __atomic_store_n((uint64_t *)(void *)(mine + TAKEN + 8), n, __ATOMIC_RELEASE);
            else
                tell(3, TOLD + 8, now);
            await(TOLD + 16, now);
        } else if (me == 3) {
            if (asks)
                while (ask(2, TAKEN + 8) < n)
                    ;
            else
                await(TOLD + 8, now);
            tell(1, TOLD + 8, now);
        } else {
            await(TOLD + 8, now);
            put_there(base, -(int)n, BYTES);
            tell(2, TOLD + 16, now);
        }
    }
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static volatile uint64_t stored;

static void *store_too(void *unused)
{
    (void)unused;
    for (uint64_t n = 1; n <= TIMES; n++) {
        await(TOLD + 24, n);
        pthread_mutex_lock(&lock);
        memset(mine + DATA + 3072, (int)n, BYTES);
        stored = n;
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

/* One thread of the owner stores, and another one says so, and calls all the while. */
static void threads(void)
{
    pthread_t other;
    if (me == 2)
        check(pthread_create(&other, NULL, store_too, NULL), "pthread_create");
    for (uint64_t n = 1; n <= TIMES; n++) {
        if (me == 1) {
            put_there(DATA + 3072, -(int)n, BYTES);
            tell(2, TOLD + 24, n);
            await(TOLD + 32, n);
        } else if (me == 2) {
            for (uint64_t now = 0; now < n;) {
                call();
                pthread_mutex_lock(&lock);
                now = stored;
                pthread_mutex_unlock(&lock);
            }
            tell(1, TOLD + 32, n);
        }
    }
    if (me == 2)
        pthread_join(other, NULL);
}

static void *put_too(void *unused)
{
    (void)unused;
    rsmapi_barrier_t own;
    memset(&own, 0, sizeof own);
    CHECK(rsm_memseg_import_init_barrier(to, RSM_BARRIER_SEGMENT, &own));
    for (int n = 1; n <= TIMES; n++) {
        CHECK(rsm_memseg_import_open_barrier(&own));
        PUT(to, DATA + 3584, BYTES);
        CLOSE(own);
    }
    return NULL;
}

/* Two threads share an import, each with spans of its own. */
static void spans(void)
{
    pthread_t other;
    if (me == 1) {
        check(pthread_create(&other, NULL, put_too, NULL), "pthread_create");
        for (int n = 1; n <= TIMES; n++) {
            CHECK(rsm_memseg_import_open_barrier(&barrier));
            PUT(to, DATA + 3712, BYTES);
            CLOSE(barrier);
        }
        pthread_join(other, NULL);
        tell(2, TOLD + 40, 1);
    } else if (me == 2) {
        for (int n = 1; look(TOLD + 40) < 1; n++) {
            memset(mine + DATA + 3648, n, BYTES);
            call();
        }
        memset(mine + DATA + 3584, 0, 4 * BYTES);
        call();
        tell(1, TOLD + 40, 1);
    }
    if (me == 1) {
        await(TOLD + 40, 1);
        put_there(DATA + 3584, 9, BYTES);
    }
}

/* Memory is taken back, changed, and given out again. */
static void again(void)
{
    for (int n = 1; n <= 3; n++) {
        if (me == 2) {
            meet();
            CHECK(rsm_memseg_export_unpublish(exported));
            memset(mine + DATA, n, 4096);
            memset(mine, 0, DATA);
            check(publish(), "rsm_memseg_export_publish");
            memset(mine + DATA + 4096, n, 512);
            tell(1, TOLD + 48, (uint64_t)n);
            tell(3, TOLD + 48, (uint64_t)n);
            await(TOLD + 56, (uint64_t)n);
        } else {
            meet();
            await(TOLD + 48, (uint64_t)n);
            lobby[2] = connect_to(2);
            static rsmapi_barrier_t barriers[4];
            memset(&barriers[n], 0, sizeof barriers[n]);
            CHECK(rsm_memseg_import_init_barrier(lobby[2], RSM_BARRIER_NODE, &barriers[n]));
            if (me == 1) {
                to = connect_to(2);
                CHECK(rsm_memseg_import_set_mode(to, RSM_BARRIER_MODE_EXPLICIT));
                memset(&barrier, 0, sizeof barrier);
                CHECK(rsm_memseg_import_init_barrier(to, RSM_BARRIER_SEGMENT, &barrier));
                put_there(DATA, n + 10, BYTES);
                put_there(DATA + 4096, n + 10, BYTES);
                tell(2, TOLD + 56, (uint64_t)n);
            }
        }
    }
}

/* What is mapped is stored to by others as well. */
static void mapped_too(void)
{
    if (me == 3) {
        rsmapi_barrier_t own;
        const rsm_memseg_import_handle_t import = way_of(2, RSM_BARRIER_SEGMENT, &own);
        CHECK(rsm_memseg_import_open_barrier(&own));
        memset(mapped(import) + DATA + 256, 5, BYTES);
        CLOSE(own);
        tell(2, TOLD + 64, 1);
    } else if (me == 2) {
        await(TOLD + 64, 1);
        memset(mine + DATA + 256, 6, BYTES);
        call();
        memset(mine + DATA + 512, 6, BYTES);
        tell(1, TOLD + 64, 1);
    } else {
        await(TOLD + 64, 1);
        put_there(DATA + 256, 3, BYTES);
        put_there(DATA + 512, 3, BYTES);
    }
}

int main(int argc, char **argv)
{
    ready(argc, argv, 3);
    if (me == 1)
        to = way_to(2, &barrier);
    bells();
    meet();
    beside();
    meet();
    slots();
    meet();
    third(0);
    meet();
    third(1);
    meet();
    threads();
    meet();
    spans();
    meet();
    mapped_too();
    again();
    return finish();
}
