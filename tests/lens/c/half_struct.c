/*
 * sharing / half a structure. Node 1 keeps a structure in node 2's memory up to date; node 2 reads it when it likes.
 *
 * Two words arrive one by one. A reader that does not look at the sequence number before and after, which is odd while the
 * structure changes, reads some of the old one and some of the new.
 */
#include "litmus.h"

#include <rsm/annotate.h>

struct account {
    uint64_t paid, spent; /* the same, so that the reader can tell */
};
enum { SEQUENCE = ROOM, ACCOUNT = ROOM + 64 };

static void writer(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t board = import_from(2, RSM_BARRIER_SEGMENT, &barrier);

    for (uint64_t n = 1; n <= rounds; n++) {
        struct account now = {n, n};
        uint64_t odd = 2 * n - 1, even = 2 * n;
        CHECK(rsm_memseg_import_open_barrier(&barrier));
        CHECK(rsm_memseg_import_put64(board, SEQUENCE, &odd, 1));
        CHECK(rsm_memseg_import_order_barrier(&barrier));
        CHECK(rsm_memseg_import_put(board, ACCOUNT, &now, sizeof now)); /* SITE */
        CHECK(rsm_memseg_import_order_barrier(&barrier));
        CHECK(rsm_memseg_import_put64(board, SEQUENCE, &even, 1));
        CHECK(rsm_memseg_import_close_barrier(&barrier));
        spend(100);
    }
}

static void reader(void)
{
    struct account a;
    uint64_t before;

    if (good) /* what is read meanwhile is read again */
        RSM_ANNOTATE_BENIGN(mine + ACCOUNT, sizeof a);
    do {
        spend(20);
        do {
            before = look(SEQUENCE);
            memcpy(&a, mine + ACCOUNT, sizeof a); /* SITE */
            __atomic_thread_fence(__ATOMIC_ACQUIRE);
        } while (good && (before % 2 == 1 || look(SEQUENCE) != before));
        if (a.paid != a.spent)
            fail("of %llu paid %llu are spent", (unsigned long long)a.paid, (unsigned long long)a.spent);
    } while (a.spent < rounds);
}

int main(int argc, char **argv)
{
    start(argc, argv, 2, 500);
    if (me == 1)
        writer();
    else
        reader();
    return finish();
}
