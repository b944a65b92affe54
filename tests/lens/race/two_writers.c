/*
 * words / Two nodes store to one word. Repaired, each has a word of its own.
 */
#include "race.h"

static void writer(void)
{
    uint64_t value = me;
    CHECK(rsm_memseg_import_put64(lobby[3], DATA + (good ? 8 * me : 0), &value, 1)); /* SITE */
}

int main(int argc, char **argv)
{
    ready(argc, argv, 3);
    if (me != 3)
        writer();
    return finish();
}
