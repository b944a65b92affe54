/*
 * order / read back. Node 1 puts a record, gets its words back until they are the new ones, and takes that for their arrival.
 *
 * Where a load pushes the stores before it that is so: PCIe is built like this. RSMAPI does not promise it: a load may be
 * answered by what is still on its way. A barrier orders everywhere.
 */
#include "litmus.h"

enum { RECORD = ROOM, FLAG = ROOM + 1024, ACKNOWLEDGED = ROOM };

static int came_back(rsm_memseg_import_handle_t box, uint64_t number)
{
    uint64_t words[WORDS];
    CHECK(rsm_memseg_import_get64(box, RECORD, words, WORDS));
    for (int i = 0; i < WORDS; i++)
        if (words[i] != number)
            return 0;
    return 1;
}

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
        else
            while (!came_back(box, n))
                continue;
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
