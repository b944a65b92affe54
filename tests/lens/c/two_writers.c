/*
 * sharing / two writers to one box. Nodes 1 and 2 leave messages with node 3, which empties the box after each.
 *
 * To look whether a box is empty and then to write into it is two steps: the other may have looked meanwhile, all the more
 * since neither sees what the other has under way. A box for each writer needs no luck.
 */
#include "litmus.h"

enum { TEXT = 0, STATE = 512, BOX = 1024 };

/* What a word of message `number` of a node is. */
static uint64_t word_of(uint64_t number, rsm_node_id_t node) { return number * 64 + node; }

static void writer(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t office = import_from(3, RSM_BARRIER_SEGMENT, &barrier);
    const off_t box = ROOM + BOX * (good ? me : 1);
    uint64_t text[WORDS];

    srand(me);
    for (uint64_t n = 1; n <= rounds; n++) {
        do
            spend(500 + (unsigned)rand() % 2000);
        while (ask(3, box + STATE) != 0);
        uint64_t state = word_of(n, me);
        fill(text, state);
        CHECK(rsm_memseg_import_open_barrier(&barrier));
        CHECK(rsm_memseg_import_put(office, box + TEXT, text, sizeof text)); /* SITE */
        CHECK(rsm_memseg_import_order_barrier(&barrier));
        CHECK(rsm_memseg_import_put64(office, box + STATE, &state, 1)); /* SITE */
        CHECK(rsm_memseg_import_close_barrier(&barrier));
    }
}

static void owner(void)
{
    uint64_t taken[3] = {0, 0, 0}, text[WORDS];
    uint64_t deadline = milliseconds() + PATIENCE;

    while (taken[1] < rounds || taken[2] < rounds) {
        for (rsm_node_id_t of = 1; of <= 2; of++) {
            const size_t box = ROOM + BOX * of;
            const uint64_t state = look(box + STATE);
            if (state == 0)
                continue;
            const rsm_node_id_t from = (rsm_node_id_t)(state % 64);
            memcpy(text, mine + box + TEXT, sizeof text); /* SITE */
            for (int i = 0; i < WORDS; i++)
                if (text[i] != state)
                    fail("message %llu of node %u has a word of message %llu of node %u",
                         (unsigned long long)(state / 64), from, (unsigned long long)(text[i] / 64),
                         (unsigned)(text[i] % 64));
            if (state != word_of(taken[from] + 1, from))
                fail("message %llu of node %u is lost", (unsigned long long)(taken[from] + 1), from);
            taken[from]++;
            __atomic_store_n((uint64_t *)(void *)(mine + box + STATE), 0, __ATOMIC_RELEASE); /* SITE */
            deadline = milliseconds() + PATIENCE;
        }
        if (milliseconds() > deadline)
            fail("a message is lost: %llu and %llu have come", (unsigned long long)taken[1],
                 (unsigned long long)taken[2]);
        spend(50);
    }
}

int main(int argc, char **argv)
{
    start(argc, argv, 3, 60);
    if (me == 3)
        owner();
    else
        writer();
    return finish();
}
