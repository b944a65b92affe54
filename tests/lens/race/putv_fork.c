/*
 * local / A child is forked while the source of a putv is the library's. What the child writes is a copy of its own, and nothing that
 * anybody hears of; that it cannot tell who it is ends no looking for races. Then the process itself changes the source, before the
 * end of the span. Repaired, behind it.
 */
#include "race.h"
#include <sys/wait.h>

__attribute__((noinline)) static void fill_block(char with)
{
    for (unsigned i = 0; i < sizeof block; i++)
        block[i] = with;
}

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
    const pid_t child = fork();
    if (child == 0) {
        fill_block(5);
        _exit(block[3] == 5 ? 0 : 1);
    }
    int status = -1;
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
        abort();
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
