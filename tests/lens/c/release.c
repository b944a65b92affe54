/*
 * order / a release store. As `mapped`, with a flag that is stored as one passes it between threads.
 *
 * A release store orders what this processor's memory sees. On the other side of an interconnect it is a store like any
 * other: only a barrier orders arrivals, and only a close says that there were any.
 */
#include "litmus.h"

enum { RECORD = ROOM, FLAG = ROOM + 1024, ACKNOWLEDGED = ROOM };

static void writer(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t box = import_from(2, RSM_BARRIER_SEGMENT, &barrier);
    void *map;

    CHECK(rsm_memseg_import_map(box, &map, RSM_MAP_NONE, RSM_PERM_RDWR, 0, SEGMENT));
    volatile uint64_t *const record = (volatile uint64_t *)((char *)map + RECORD);
    uint64_t *const flag = (uint64_t *)(void *)((char *)map + FLAG);
    for (uint64_t n = 1; n <= rounds; n++) {
        CHECK(rsm_memseg_import_open_barrier(&barrier));
        for (int i = 0; i < WORDS; i++)
            record[i] = n;
        if (good) {
            CHECK(rsm_memseg_import_close_barrier(&barrier));
            CHECK(rsm_memseg_import_open_barrier(&barrier));
        }
        __atomic_store_n(flag, n, __ATOMIC_RELEASE);
        CHECK(rsm_memseg_import_close_barrier(&barrier));
        await(ACKNOWLEDGED, n);
    }
}

static void reader(void)
{
    for (uint64_t n = 1; n <= rounds; n++) {
        await(FLAG, n);
        expect(RECORD, n);
        tell(1, ACKNOWLEDGED, n);
    }
}

int main(int argc, char **argv)
{
    start(argc, argv, 2, 300);
    if (me == 1)
        writer();
    else
        reader();
    return finish();
}
