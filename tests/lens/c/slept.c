/*
 * signals / a wait left out. Node 1 asks node 2 for a square, and sleeps for as long as the answer always took.
 *
 * Nothing says how long a store or a signal is under way. A time that is long enough on one machine is a bug on another.
 */
#include "litmus.h"

enum { QUESTION = ROOM, ANSWER = ROOM + 8, NUMBER = ROOM + 16 };

/* Puts two words of which the second says that the first is there, and signals. */
static void send(rsm_memseg_import_handle_t to, rsmapi_barrier_t *barrier, off_t offset, uint64_t word, uint64_t number)
{
    CHECK(rsm_memseg_import_open_barrier(barrier));
    CHECK(rsm_memseg_import_put64(to, offset, &word, 1));
    CHECK(rsm_memseg_import_order_barrier(barrier));
    CHECK(rsm_memseg_import_put64(to, NUMBER, &number, 1));
    CHECK(rsm_memseg_import_close_barrier(barrier));
    CHECK(rsm_intr_signal_post(to, 0));
}

static void client(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t server = import_from(2, RSM_BARRIER_SEGMENT, &barrier);

    for (uint64_t n = 1; n <= rounds; n++) {
        send(server, &barrier, QUESTION, n, n);
        if (good)
            while (look(NUMBER) < n)
                await_signal(exported);
        else
            spend(6000);
        if (look(ANSWER) != n * n)
            fail("the square of %llu is not %llu", (unsigned long long)n, (unsigned long long)look(ANSWER));
    }
}

static void serve(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t client = import_from(1, RSM_BARRIER_SEGMENT, &barrier);

    for (uint64_t n = 1; n <= rounds; n++) {
        while (look(NUMBER) < n)
            await_signal(exported);
        send(client, &barrier, ANSWER, look(QUESTION) * look(QUESTION), n);
    }
}

int main(int argc, char **argv)
{
    start(argc, argv, 2, 80);
    if (me == 1)
        client();
    else
        serve();
    return finish();
}
