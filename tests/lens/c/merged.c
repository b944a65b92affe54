/*
 * signals / two that merge. Node 1 puts records and posts a signal for each, unless one is pending; node 2 takes them.
 *
 * Posted with RSM_SIGPOST_NO_ACCUMULATE, a signal says that there is something, not how much. Who takes one record for each
 * signal is left with records for which no signal will ever come. Count what is there.
 */
#include "litmus.h"

#define SLOTS 3
enum { RECORDS = ROOM, WRITTEN = ROOM + SLOTS * 8 * WORDS, TAKEN = ROOM };

static size_t slot(uint64_t number) { return RECORDS + number % SLOTS * 8 * WORDS; }

static void writer(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t box = import_from(2, RSM_BARRIER_SEGMENT, &barrier);
    uint64_t record[WORDS];

    for (uint64_t n = 1; n <= rounds; n++) {
        if (n > SLOTS)
            await(TAKEN, n - SLOTS);
        fill(record, n);
        CHECK(rsm_memseg_import_open_barrier(&barrier));
        CHECK(rsm_memseg_import_put(box, (off_t)slot(n), record, sizeof record));
        CHECK(rsm_memseg_import_order_barrier(&barrier));
        CHECK(rsm_memseg_import_put64(box, WRITTEN, &n, 1));
        CHECK(rsm_memseg_import_close_barrier(&barrier));
        CHECK(rsm_intr_signal_post(box, RSM_SIGPOST_NO_ACCUMULATE));
        spend(2500);
    }
}

static void reader(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t back = import_from(1, RSM_BARRIER_SEGMENT, &barrier);

    for (uint64_t n = 1; n <= rounds; n++) {
        if (good)
            while (look(WRITTEN) < n)
                await_signal(exported);
        else if (rsm_intr_signal_wait(exported, 500) != RSM_SUCCESS)
            fail("%llu records were written, and %llu signals came", (unsigned long long)look(WRITTEN),
                 (unsigned long long)(n - 1));
        expect(slot(n), n);
        CHECK(rsm_memseg_import_open_barrier(&barrier));
        CHECK(rsm_memseg_import_put64(back, TAKEN, &n, 1));
        CHECK(rsm_memseg_import_close_barrier(&barrier));
    }
}

int main(int argc, char **argv)
{
    start(argc, argv, 2, 100);
    if (me == 1)
        writer();
    else
        reader();
    return finish();
}
