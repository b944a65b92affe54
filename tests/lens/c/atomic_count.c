/*
 * sharing / an atomic update through a mapping. As `lost_count`, with fetch_add.
 *
 * An atomic update is atomic among those who share a cache. attr_atomic_sizes of the controller says for which widths it
 * is so between nodes; where it is 0 it is a load, and a store that arrives later.
 */
#include "litmus.h"

enum { COUNT = ROOM, DONE = ROOM + 1024 };

static void worker(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t board = import_from(3, RSM_BARRIER_SEGMENT, &barrier);
    void *map;

    CHECK(rsm_memseg_import_map(board, &map, RSM_MAP_NONE, RSM_PERM_RDWR, 0, SEGMENT));
    uint64_t *const count = (uint64_t *)(void *)((char *)map + COUNT) + (good ? me : 1);
    srand(me);
    for (uint64_t n = 1; n <= rounds; n++) {
        spend(100 + (unsigned)rand() % 400);
        CHECK(rsm_memseg_import_open_barrier(&barrier));
        __atomic_fetch_add(count, 1, __ATOMIC_ACQ_REL);
        CHECK(rsm_memseg_import_close_barrier(&barrier));
    }
    tell(3, DONE + 8 * me, 1);
}

static void owner(void)
{
    await(DONE + 8 * 1, 1);
    await(DONE + 8 * 2, 1);
    const uint64_t count = look(COUNT + 8 * 1) + look(COUNT + 8 * 2);
    if (count != 2 * rounds)
        fail("%llu were counted of %llu", (unsigned long long)count, (unsigned long long)(2 * rounds));
}

int main(int argc, char **argv)
{
    start(argc, argv, 3, 60);
    if (me == 3)
        owner();
    else
        worker();
    return finish();
}
