/*
 * signals / posted before the close. Node 1 puts a record and signals node 2 that it is there.
 *
 * A signal goes its own way: it may be there before what was put and not closed. Close, look at what it says, then post.
 *
 * That a wake may mean nothing is the matter of `stale_wake`. Here node 2 asks whether node 1 has posted for this record.
 */
#include "litmus.h"

enum { RECORD = ROOM, POSTED = ROOM, ACKNOWLEDGED = ROOM + 64 };

static void post(rsm_memseg_import_handle_t box, uint64_t number)
{
    __atomic_store_n((uint64_t *)(void *)(mine + POSTED), number, __ATOMIC_RELEASE);
    CHECK(rsm_intr_signal_post(box, 0));
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
        if (!good)
            post(box, n);
        CHECK(rsm_memseg_import_close_barrier(&barrier));
        if (good)
            post(box, n);
        await(ACKNOWLEDGED, n);
    }
}

static void reader(void)
{
    for (uint64_t n = 1; n <= rounds; n++) {
        do
            await_signal(exported);
        while (ask(1, POSTED) < n);
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
