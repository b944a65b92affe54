/*
 * order / the last word is the flag. A record carries its number in its last word, and node 2 polls that.
 *
 * A put is not a store: it is taken apart and may arrive in any order of its parts, its end before its beginning.
 */
#include "litmus.h"

enum { RECORD = ROOM, LAST = RECORD + 8 * (WORDS - 1), ACKNOWLEDGED = ROOM };

static void writer(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t box = import_from(2, RSM_BARRIER_SEGMENT, &barrier);
    uint64_t record[WORDS];

    for (uint64_t n = 1; n <= rounds; n++) {
        fill(record, n);
        CHECK(rsm_memseg_import_open_barrier(&barrier));
        if (good) {
            CHECK(rsm_memseg_import_put(box, RECORD, record, sizeof record - 8));
            CHECK(rsm_memseg_import_order_barrier(&barrier));
            CHECK(rsm_memseg_import_put64(box, LAST, &n, 1));
        } else {
            CHECK(rsm_memseg_import_put(box, RECORD, record, sizeof record)); /* SITE */
        }
        CHECK(rsm_memseg_import_close_barrier(&barrier));
        await(ACKNOWLEDGED, n);
    }
}

static void reader(void)
{
    for (uint64_t n = 1; n <= rounds; n++) {
        await(LAST, n);
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
