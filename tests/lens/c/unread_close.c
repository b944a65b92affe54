/*
 * failure / the result of a close not looked at. Node 1 puts a record and tells node 2 that it is there.
 *
 * RSMERR_BARRIER_FAILURE says that the link had an error while the span was open: some of its stores may not have
 * happened, and which is not known. The span is to be done again, from its opening.
 */
#include "litmus.h"

enum { RECORD = ROOM, READY = ROOM + 1024, ACKNOWLEDGED = ROOM };

static void writer(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t box = import_from(2, RSM_BARRIER_SEGMENT, &barrier);
    uint64_t record[WORDS];
    int error;

    for (uint64_t n = 1; n <= rounds; n++) {
        fill(record, n);
        do {
            CHECK(rsm_memseg_import_open_barrier(&barrier));
            CHECK(rsm_memseg_import_put(box, RECORD, record, sizeof record));
            error = rsm_memseg_import_close_barrier(&barrier);
        } while (good && error == RSMERR_BARRIER_FAILURE);
        if (good)
            CHECK(error);
        tell(2, READY, n);
        await(ACKNOWLEDGED, n);
    }
}

static void reader(void)
{
    for (uint64_t n = 1; n <= rounds; n++) {
        await(READY, n);
        expect(RECORD, n);
        tell(1, ACKNOWLEDGED, n);
    }
}

int main(int argc, char **argv)
{
    start(argc, argv, 2, 500);
    if (me == 1)
        writer();
    else
        reader();
    return finish();
}
