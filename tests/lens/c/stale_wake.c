/*
 * signals / a wake that means nothing. Node 2 sleeps until node 1 has put a record.
 *
 * A wait may end without the signal one thinks of: by one that was posted for something else, by one that is left from
 * before, or by nothing. What has happened, memory says.
 */
#include "litmus.h"

enum { RECORD = ROOM, NUMBER = ROOM + 1024, ACKNOWLEDGED = ROOM };

static void writer(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t box = import_from(2, RSM_BARRIER_SEGMENT, &barrier);
    uint64_t record[WORDS];

    for (uint64_t n = 1; n <= rounds; n++) {
        spend(100);
        fill(record, n);
        CHECK(rsm_memseg_import_open_barrier(&barrier));
        CHECK(rsm_memseg_import_put(box, RECORD, record, sizeof record));
        CHECK(rsm_memseg_import_order_barrier(&barrier));
        CHECK(rsm_memseg_import_put64(box, NUMBER, &n, 1));
        CHECK(rsm_memseg_import_close_barrier(&barrier));
        CHECK(rsm_intr_signal_post(box, 0));
        await(ACKNOWLEDGED, n);
    }
}

static void reader(void)
{
    for (uint64_t n = 1; n <= rounds; n++) {
        do
            await_signal(exported);
        while (good && look(NUMBER) < n);
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
