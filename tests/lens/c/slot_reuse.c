/*
 * reuse / a slot written over before it was read. A ring of four slots; node 2 tells how many records it has taken.
 *
 * Record n goes where record n - 4 was, so that one has to be taken. With one too many under way all is well for as long as
 * node 2 is never late, and it is late when a close takes its time.
 */
#include "litmus.h"

#define SLOTS 4
enum { RECORDS = ROOM, NUMBERS = RECORDS + SLOTS * 8 * WORDS, TAKEN = ROOM };

static void writer(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t ring = import_from(2, RSM_BARRIER_SEGMENT, &barrier);
    uint64_t record[WORDS];

    meet();
    for (uint64_t n = 1; n <= rounds; n++) {
        const uint64_t under_way = good ? SLOTS : SLOTS + 1;
        if (n > under_way)
            await(TAKEN, n - under_way);
        fill(record, n);
        CHECK(rsm_memseg_import_open_barrier(&barrier));
        CHECK(rsm_memseg_import_put(ring, (off_t)(RECORDS + n % SLOTS * sizeof record), record, sizeof record)); /* SITE */
        CHECK(rsm_memseg_import_order_barrier(&barrier));
        CHECK(rsm_memseg_import_put64(ring, (off_t)(NUMBERS + 8 * (n % SLOTS)), &n, 1));
        CHECK(rsm_memseg_import_close_barrier(&barrier));
        spend(1000); /* on the next record */
    }
}

static void reader(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t back = import_from(1, RSM_BARRIER_SEGMENT, &barrier);

    meet();
    for (uint64_t n = 1; n <= rounds; n++) {
        await(NUMBERS + 8 * (n % SLOTS), n);
        expect(RECORDS + n % SLOTS * 8 * WORDS, n);
        CHECK(rsm_memseg_import_open_barrier(&barrier));
        CHECK(rsm_memseg_import_put64(back, TAKEN, &n, 1));
        CHECK(rsm_memseg_import_close_barrier(&barrier));
    }
}

int main(int argc, char **argv)
{
    start(argc, argv, 2, 200);
    if (me == 1)
        writer();
    else
        reader();
    return finish();
}
