/*
 * annotated / A reader of a sequence lock reads what is being changed, and looks whether it was. Repaired, that is
 * said.
 */
#include "race.h"

static void reader(void)
{
    uint64_t before, after;
    do {
        before = ask(2, FLAG);
        CHECK(rsm_memseg_import_get(lobby[2], DATA, block, BYTES)); /* SITE */
        after = ask(2, FLAG);
    } while (before % 2 == 1 || before != after);
}

static void owner(void)
{
    uint64_t *const sequence = (uint64_t *)(void *)(mine + FLAG);
    if (good)
        RSM_ANNOTATE_BENIGN(mine + DATA, BYTES);
    for (int n = 0; n < 20; n++) {
        __atomic_fetch_add(sequence, 1, __ATOMIC_ACQ_REL);
        memset(mine + DATA, n, BYTES); /* SITE */
        __atomic_fetch_add(sequence, 1, __ATOMIC_ACQ_REL);
        spend(10);
    }
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
