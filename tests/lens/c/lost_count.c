/*
 * sharing / an increment made of get and put. Nodes 1 and 2 count into node 3's memory.
 *
 * Between the get and the arrival of the put the other node gets the same number, and one count is lost. Each node has a
 * word of its own, and node 3 adds.
 */
#include "litmus.h"

enum { COUNT = ROOM, DONE = ROOM + 1024 };

static void worker(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t board = import_from(3, RSM_BARRIER_SEGMENT, &barrier);
    const off_t mine_of_it = COUNT + 8 * (good ? me : 1);
    uint64_t count;

    srand(me);
    for (uint64_t n = 1; n <= rounds; n++) {
        spend(500 + (unsigned)rand() % 2000);
        CHECK(rsm_memseg_import_open_barrier(&barrier));
        CHECK(rsm_memseg_import_get64(board, mine_of_it, &count, 1));
        count++;
        CHECK(rsm_memseg_import_put64(board, mine_of_it, &count, 1));
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
