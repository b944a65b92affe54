/*
 * reuse / the source of a putv, changed before the close. Node 1 sends records from one buffer.
 *
 * A putv begins its transfers; in explicit mode only the close says that they are over. Until then what it was given is
 * read, by the adapter, when it comes to it. In Rust the buffer is borrowed for the call alone, and there is no such bug.
 */
#include "litmus.h"

enum { RECORD = ROOM, READY = ROOM + 1024, ACKNOWLEDGED = ROOM };

static void writer(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t box = import_from(2, RSM_BARRIER_SEGMENT, &barrier);
    uint64_t record[WORDS];
    rsm_iovec_t halves[2];
    rsm_scat_gath_t request;

    memset(halves, 0, sizeof halves);
    memset(&request, 0, sizeof request);
    for (int half = 0; half < 2; half++) {
        halves[half].io_type = RSM_VA_TYPE;
        halves[half].local.vaddr = (char *)record;
        halves[half].local_offset = half * sizeof record / 2;
        halves[half].remote_offset = RECORD + half * sizeof record / 2;
        halves[half].transfer_length = sizeof record / 2;
    }
    request.io_request_count = 2;
    request.remote_handle = box;
    request.iovec = halves;
    fill(record, 1);
    for (uint64_t n = 1; n <= rounds; n++) {
        CHECK(rsm_memseg_import_open_barrier(&barrier));
        CHECK(rsm_memseg_import_putv(&request)); /* SITE */
        if (!good)
            fill(record, n + 1); /* there is time for the next one */
        CHECK(rsm_memseg_import_close_barrier(&barrier));
        if (good)
            fill(record, n + 1);
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
    start(argc, argv, 2, 300);
    if (me == 1)
        writer();
    else
        reader();
    return finish();
}
