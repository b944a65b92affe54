/*
 * words / A word that another node puts is copied with memcpy. Repaired, it is loaded as what it is.
 */
#include "race.h"

static void writer(void)
{
    uint64_t value = 7;
    CHECK(rsm_memseg_import_put64(lobby[2], DATA, &value, 1)); /* SITE */
}

static void owner(void)
{
    uint64_t value;
    if (good)
        value = look(DATA);
    else
        memcpy(&value, mine + DATA, sizeof value); /* SITE */
    sink = (char)value;
}

int main(int argc, char **argv)
{
    start(argc, argv, 2, 1);
    if (me == 1)
        writer();
    else
        owner();
    return finish();
}
