/*
 * get, put / A node puts where another one gets with getv. Repaired, the reader has read before.
 */
#include "race.h"

static void writer(void)
{
    rsmapi_barrier_t barrier;

    if (good)
        await(FLAG, 1);
    const rsm_memseg_import_handle_t to = open_to(3, &barrier);
    PUT(to, DATA, BYTES); /* SITE */
    CLOSE(barrier);
}

static void reader(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t to = open_to(3, &barrier);
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

    CHECK(rsm_memseg_import_getv(&request)); /* SITE */
    CLOSE(barrier);
    tell(1, FLAG, 1);
}

int main(int argc, char **argv)
{
    ready(argc, argv, 3);
    if (me == 1)
        writer();
    else if (me == 2)
        reader();
    return finish();
}
