/*
 * order / two imports. Node 1 has one import for records and another for flags.
 *
 * A barrier of type SEGMENT is one import's. To order a store of another import behind this one's there is only the
 * close, which says that they have arrived.
 */
#include "litmus.h"

enum { RECORD = ROOM, FLAG = ROOM + 1024, ACKNOWLEDGED = ROOM };

static void writer(void)
{
    rsmapi_barrier_t of_records, of_flags;
    const rsm_memseg_import_handle_t records = import_from(2, RSM_BARRIER_SEGMENT, &of_records);
    const rsm_memseg_import_handle_t flags = import_from(2, RSM_BARRIER_SEGMENT, &of_flags);
    uint64_t record[WORDS];

    for (uint64_t n = 1; n <= rounds; n++) {
        fill(record, n);
        CHECK(rsm_memseg_import_open_barrier(&of_records));
        CHECK(rsm_memseg_import_open_barrier(&of_flags));
        CHECK(rsm_memseg_import_put(records, RECORD, record, sizeof record)); /* SITE */
        if (good)
            CHECK(rsm_memseg_import_close_barrier(&of_records));
        else
            CHECK(rsm_memseg_import_order_barrier(&of_flags));
        CHECK(rsm_memseg_import_put64(flags, FLAG, &n, 1));
        CHECK(rsm_memseg_import_close_barrier(&of_flags));
        if (!good)
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
