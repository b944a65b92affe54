/*
 * put, put / As put_put, a putv and a put.
 */
#include "race.h"

static void scatterer(void)
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

    CHECK(rsm_memseg_import_putv(&request)); /* SITE */
    CLOSE(barrier);
}

static void putter(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t to = open_to(3, &barrier);

    PUT(to, DATA + (good ? BYTES : BYTES - 4), BYTES); /* SITE */
    CLOSE(barrier);
}

int main(int argc, char **argv)
{
    ready(argc, argv, 3);
    if (me == 1)
        scatterer();
    else if (me == 2)
        putter();
    return finish();
}
