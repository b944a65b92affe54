/*
 * many / Three nodes pass tokens, each for some bytes of one node's memory, and store there while nobody has given them one. Repaired, who
 * has the token stores: its owner by itself, and the others by puts. What is next, and how a token is passed on, is drawn from a number,
 * the same by all:
 *
 *     rsm-ctl run --race=pages -n 3 -- ./token bad|good [NUMBER]
 */
#include "aside.h"

enum { STEPS = 120, TOKENS = 9, BYTES_OF_ONE = 20, WORDS_OF = FLAG + 1024 };

/* How a token is passed on. */
enum { BY_WORD, BY_SIGNAL, BY_THIRD, BY_OWN, WAYS_TO_PASS };

static uint64_t number;
static rsm_node_id_t holder[TOKENS];
static char value[TOKENS];
static uint64_t passed[WAYS_TO_PASS][4][4];
static rsmapi_barrier_t barriers[4];
static rsm_memseg_import_handle_t imports[4];

static unsigned draw(unsigned below)
{
    number = number * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(number >> 33) % below;
}

static off_t word_of(unsigned way, rsm_node_id_t from, rsm_node_id_t to)
{
    return WORDS_OF + 8 * (16 * (off_t)way + 4 * (off_t)from + (off_t)to);
}

/* Side by side: some words have bytes of two. */
static off_t place_of(unsigned token)
{
    return DATA + BYTES_OF_ONE * (off_t)token;
}

static rsm_node_id_t owner_of(unsigned token)
{
    return 1 + token % 3;
}

static void store(unsigned token, char what, unsigned how)
{
    const rsm_node_id_t owner = owner_of(token);
    char bytes[BYTES_OF_ONE];
    memset(bytes, what, sizeof bytes);
    if (owner == me) {
        for (int i = 0; i < BYTES_OF_ONE; i++)
            if (good && mine[place_of(token) + i] != value[token])
                fail("token %u: byte %d is %d, and not %d", token, i, mine[place_of(token) + i], value[token]);
        memcpy(mine + place_of(token), bytes, sizeof bytes);
    } else if (how == 0) {
        CHECK(rsm_memseg_import_put(lobby[owner], place_of(token), bytes, sizeof bytes)); /* SITE */
    } else {
        CHECK(rsm_memseg_import_open_barrier(&barriers[owner]));
        CHECK(rsm_memseg_import_put(imports[owner], place_of(token), bytes, sizeof bytes)); /* SITE */
        CLOSE(barriers[owner]);
    }
}

static void pass(unsigned way, rsm_node_id_t to, uint64_t count)
{
    const off_t word = word_of(way, me, to);
    switch (way) {
    case BY_THIRD:
        tell(6 - me - to, word, count);
        break;
    case BY_OWN:
        __atomic_store_n((uint64_t *)(void *)(mine + word), count, __ATOMIC_RELEASE);
        break;
    default:
        tell(to, word, count);
        if (way == BY_SIGNAL)
            CHECK(rsm_intr_signal_post(imports[to], 0));
    }
}

static void take(unsigned way, rsm_node_id_t from, uint64_t count)
{
    const off_t word = word_of(way, from, me);
    const uint64_t deadline = milliseconds() + PATIENCE;
    if (way == BY_WORD)
        await(word, count);
    while (way == BY_SIGNAL && look(word) < count && milliseconds() < deadline)
        (void)rsm_intr_signal_wait(exported, 2);
    while (way == BY_THIRD && ask(6 - me - from, word) < count && milliseconds() < deadline)
        ;
    while (way == BY_OWN && ask(from, word) < count && milliseconds() < deadline)
        ;
    if (milliseconds() >= deadline)
        fail("node %u has waited for a token of node %u", (unsigned)me, (unsigned)from);
}

int main(int argc, char **argv)
{
    ready(argc, argv, 3);
    number = rounds;
    for (rsm_node_id_t node = 1; node <= 3; node++)
        if (node != me)
            imports[node] = way_to(node, &barriers[node]);
    for (unsigned token = 0; token < TOKENS; token++)
        holder[token] = owner_of(token);
    for (int step = 1; step <= STEPS; step++) {
        const unsigned token = draw(TOKENS), way = draw(WAYS_TO_PASS), how = draw(2), calls = draw(3);
        const rsm_node_id_t from = holder[token], to = 1 + draw(3);
        const char what = (char)(step % 127 + 1);
        if (from == me)
            store(token, what, how);
        value[token] = what;
        holder[token] = to;
        if (me == from && calls == 0)
            call();
        if (from == to)
            continue;
        const uint64_t count = ++passed[way][from][to];
        if (me == from)
            pass(way, to, count);
        else if (me == to && good)
            take(way, from, count);
        if (calls == 1)
            call();
    }
    return finish();
}
