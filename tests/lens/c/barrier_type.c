/*
 * order / a barrier of too narrow a type. As `two_imports`, with a barrier that could order both.
 *
 * A barrier of type NODE is about all stores to the node since it was opened, through whichever import; one of type
 * SEGMENT about those of its own import. The type is the only difference between the two programs.
 */
#include "litmus.h"

enum { RECORD = ROOM, FLAG = ROOM + 1024, ACKNOWLEDGED = ROOM };

static void writer(void)
{
    rsmapi_barrier_t of_records, barrier;
    const rsm_memseg_import_handle_t records = import_from(2, RSM_BARRIER_SEGMENT, &of_records);
    const rsm_memseg_import_handle_t flags = import_from(2, good ? RSM_BARRIER_NODE : RSM_BARRIER_SEGMENT, &barrier);
    uint64_t record[WORDS];

    for (uint64_t n = 1; n <= rounds; n++) {
        fill(record, n);
        CHECK(rsm_memseg_import_open_barrier(&barrier));
        CHECK(rsm_memseg_import_open_barrier(&of_records));
        CHECK(rsm_memseg_import_put(records, RECORD, record, sizeof record)); /* SITE */
        CHECK(rsm_memseg_import_order_barrier(&barrier));
        CHECK(rsm_memseg_import_put64(flags, FLAG, &n, 1));
        CHECK(rsm_memseg_import_close_barrier(&barrier));
        CHECK(rsm_memseg_import_close_barrier(&of_records));
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
