/*
 * local / The source of a putv is filled anew before its span is closed. Repaired, with what it holds already.
 */
#include "race.h"

static void writer(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t to = open_to(2, &barrier);
    rsm_iovec_t entries[2];
    rsm_scat_gath_t request;
    memset(entries, 0, sizeof entries);
    memset(&request, 0, sizeof request);
    for (int i = 0; i < 2; i++) {
        entries[i].io_type = RSM_VA_TYPE;
        entries[i].local.vaddr = block + i * BYTES;
        entries[i].remote_offset = DATA + i * BYTES;
        entries[i].transfer_length = BYTES;
    }
    request.io_request_count = 2;
    request.remote_handle = to;
    request.iovec = entries;

    memset(block, 7, sizeof block);
    CHECK(rsm_memseg_import_putv(&request)); /* SITE */
    memset(block + BYTES, good ? 7 : 8, BYTES); /* SITE */
    CLOSE(barrier);
    memset(block, 9, sizeof block);
}

int main(int argc, char **argv)
{
    ready(argc, argv, 2);
    if (me == 1)
        writer();
    return finish();
}
