/*
 * reuse / acknowledged before it was read. Node 2 tells node 1 that it has taken a record, and then copies it.
 *
 * The acknowledgement may be there long before its close returns, and the next record over this one. What one
 * acknowledges one has no right to any more.
 */
#include "litmus.h"

enum { RECORD = ROOM, NUMBER = ROOM + 1024, ACKNOWLEDGED = ROOM };

static void writer(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t box = import_from(2, RSM_BARRIER_SEGMENT, &barrier);
    uint64_t record[WORDS];

    for (uint64_t n = 1; n <= rounds; n++) {
        await(ACKNOWLEDGED, n - 1);
        spend(50);
        fill(record, n);
        CHECK(rsm_memseg_import_open_barrier(&barrier));
        CHECK(rsm_memseg_import_put(box, RECORD, record, sizeof record)); /* SITE */
        CHECK(rsm_memseg_import_order_barrier(&barrier));
        CHECK(rsm_memseg_import_put64(box, NUMBER, &n, 1));
        CHECK(rsm_memseg_import_close_barrier(&barrier));
    }
}

static void acknowledge(rsm_memseg_import_handle_t back, rsmapi_barrier_t *barrier, uint64_t number)
{
    CHECK(rsm_memseg_import_open_barrier(barrier));
    CHECK(rsm_memseg_import_put64(back, ACKNOWLEDGED, &number, 1));
    CHECK(rsm_memseg_import_close_barrier(barrier));
}

static void reader(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t back = import_from(1, RSM_BARRIER_SEGMENT, &barrier);

    for (uint64_t n = 1; n <= rounds; n++) {
        await(NUMBER, n);
        if (!good)
            acknowledge(back, &barrier, n);
        expect(RECORD, n);
        if (good)
            acknowledge(back, &barrier, n);
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
