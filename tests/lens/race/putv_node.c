/*
 * local / The source of a putv is changed behind the end of another import's span, which is of type SEGMENT. Repaired, of type NODE,
 * so that it is the end of both.
 */
#include "race.h"

static void writer(void)
{
    rsmapi_barrier_t barrier, other;
    const rsm_memseg_import_handle_t to = open_to(2, &barrier);
    const rsm_memseg_import_handle_t beside = way_of(2, good ? RSM_BARRIER_NODE : RSM_BARRIER_SEGMENT, &other);
    rsm_iovec_t entry;
    rsm_scat_gath_t request;
    memset(&entry, 0, sizeof entry);
    memset(&request, 0, sizeof request);
    entry.io_type = RSM_VA_TYPE;
    entry.local.vaddr = block;
    entry.remote_offset = DATA;
    entry.transfer_length = BYTES;
    request.io_request_count = 1;
    request.remote_handle = to;
    request.iovec = &entry;

    CHECK(rsm_memseg_import_open_barrier(&other));
    PUT(beside, FLAG, 8);
    CHECK(rsm_memseg_import_putv(&request)); /* SITE */
    CLOSE(other);
    block[5] = 1; /* SITE */
    CLOSE(barrier);
}

int main(int argc, char **argv)
{
    ready(argc, argv, 2);
    if (me == 1)
        writer();
    return finish();
}
