/*
 * local / The source of a putv is changed before its span is closed. Repaired, behind that.
 */
#include "race.h"

static void writer(void)
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

    CHECK(rsm_memseg_import_putv(&request)); /* SITE */
    if (!good)
        block[3] = 1; /* SITE */
    CLOSE(barrier);
    if (good)
        block[3] = 1;
}

int main(int argc, char **argv)
{
    ready(argc, argv, 2);
    if (me == 1)
        writer();
    return finish();
}
