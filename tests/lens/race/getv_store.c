/*
 * get, store / As get_store, with a getv.
 */
#include "race.h"

static void reader(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t to = open_to(2, &barrier);
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
    tell(2, FLAG, 1);
}

static void owner(void)
{
    if (good)
        await(FLAG, 1);
    mine[DATA + 9] = 1; /* SITE */
}

int main(int argc, char **argv)
{
    ready(argc, argv, 2);
    if (me == 1)
        reader();
    else
        owner();
    return finish();
}
