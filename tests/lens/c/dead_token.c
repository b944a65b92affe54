/*
 * failure / the token's holder dies. Node 1 lends a token to nodes 2 and 3 in turns; who has it may count in node 1's memory.
 *
 * Nobody signals on behalf of a node that died, so a wait for it never ends. What tells is the connection: transfers to a
 * segment whose exporter is gone are RSMERR_CONN_ABORTED. So wait in steps, and look whether there is anybody to wait for.
 *
 *     rsm-ctl run -n 3 --keep-going -- ./dead_token bad 10000      and then, from elsewhere: rsm-ctl node kill 2
 */
#include "litmus.h"

enum { HELLO = ROOM, BACK = ROOM + 512, COUNT = ROOM + 520, TOKEN = ROOM };

/* Whether the worker's segment is out of reach. */
static int is_cut(rsm_node_id_t worker)
{
    uint64_t word;
    return rsm_memseg_import_get64(lobby[worker], TOKEN, &word, 1) == RSMERR_CONN_ABORTED;
}

/* Lends the token until it is back, or nobody is there to give it back: 0. */
static int lend(rsm_node_id_t worker, uint64_t number)
{
    const uint64_t deadline = milliseconds() + (good ? PATIENCE : PATIENCE / 4);
    if (try_tell(worker, TOKEN, number) != RSM_SUCCESS || rsm_intr_signal_post(lobby[worker], 0) != RSM_SUCCESS)
        return 0;
    while (look(BACK) < number) {
        (void)rsm_intr_signal_wait(exported, 20);
        if (good && is_cut(worker) && look(BACK) < number)
            return 0;
        if (milliseconds() > deadline)
            fail("node %u has the token and does not give it back", (unsigned)worker);
    }
    return 1;
}

/* Whether a worker has come, and its segment can be reached. */
static int has_come(rsm_node_id_t worker)
{
    static rsmapi_barrier_t barriers[64];
    if (look(HELLO + 8 * worker) == 0
        || rsm_memseg_import_connect(controller, worker, SEGMENT_ID, RSM_PERM_RDWR, &lobby[worker]) != RSM_SUCCESS)
        return 0;
    CHECK(rsm_memseg_import_init_barrier(lobby[worker], RSM_BARRIER_NODE, &barriers[worker]));
    return 1;
}

/* Waits for a worker; not for one that dies before it has come. */
static int await_worker(rsm_node_id_t worker)
{
    const uint64_t began = milliseconds();
    for (int seen = 0;; spend(500)) {
        const int there = is_there(worker);
        if (has_come(worker))
            return 1;
        seen |= there;
        if ((seen && !there) || milliseconds() > began + PATIENCE / 2)
            return 0;
    }
}

static void keeper(void)
{
    uint64_t number = 0, back = 0, died = 0, turns[4] = {0, 0, 0, 0};
    const int came[4] = {0, 0, await_worker(2), await_worker(3)};
    int there[4] = {0, 0, came[2], came[3]};

    while (there[2] || there[3])
        for (rsm_node_id_t worker = 2; worker <= 3; worker++) {
            if (!there[worker])
                continue;
            if (!lend(worker, ++number)) {
                there[worker] = 0;
                died++;
            } else {
                back++;
                there[worker] = ++turns[worker] < rounds;
            }
        }
    if (look(COUNT) < back || look(COUNT) > back + died)
        fail("%llu were counted in %llu turns", (unsigned long long)look(COUNT), (unsigned long long)back);
    /* Their last words are still to be told that they came. */
    const uint64_t deadline = milliseconds() + PATIENCE;
    for (rsm_node_id_t worker = 2; worker <= 3; worker++)
        for (; came[worker] && !is_cut(worker); spend(500))
            if (milliseconds() > deadline)
                fail("node %u does not end", (unsigned)worker);
}

static void work(void)
{
    visit(1);
    tell(1, HELLO + 8 * me, 1);
    for (uint64_t turn = 1, had = 0; turn <= rounds; turn++) {
        while (look(TOKEN) == had)
            await_signal(exported);
        had = look(TOKEN);
        const uint64_t count = ask(1, COUNT);
        spend(200);
        tell(1, COUNT, count + 1);
        tell(1, BACK, had);
        CHECK(rsm_intr_signal_post(lobby[1], 0));
    }
}

int main(int argc, char **argv)
{
    begin(argc, argv, 3, 50);
    if (me == 1)
        keeper();
    else
        work();
    return 0;
}
