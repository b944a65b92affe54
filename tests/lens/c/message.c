/*
 * order / message passing. Node 1 puts a record into node 2's memory, and then a flag that says that it is there.
 *
 * Without a barrier between them nothing keeps the flag behind the record: stores that were posted may arrive in any
 * order, and node 2 finds the flag of this record beside words of the last one.
 */
#include "litmus.h"

enum { RECORD = ROOM, FLAG = ROOM + 1024, ACKNOWLEDGED = ROOM };

static void writer(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t box = import_from(2, RSM_BARRIER_SEGMENT, &barrier);
    uint64_t record[WORDS];

    for (uint64_t n = 1; n <= rounds; n++) {
        fill(record, n);
        CHECK(rsm_memseg_import_open_barrier(&barrier));
        CHECK(rsm_memseg_import_put(box, RECORD, record, sizeof record)); /* SITE */
        if (good)
            CHECK(rsm_memseg_import_order_barrier(&barrier));
        CHECK(rsm_memseg_import_put64(box, FLAG, &n, 1));
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
