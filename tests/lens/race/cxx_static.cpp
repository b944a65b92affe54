/*
 * threads of C++ / A thread reads what another one makes, without waiting for it. Repaired, both come to the variable, which is made
 * once.
 */
#include "race.h"

#include <thread>

struct Table {
    Table()
    {
        memset(mine + DATA, 1, BYTES); /* SITE */
    }
};

static void use(bool makes)
{
    if (good)
        static const Table table;
    else if (makes)
        const Table table;
    sink = mine[DATA]; /* SITE */
}

static void owner()
{
    std::thread other(use, false);
    use(true);
    other.join();
}

int main(int argc, char **argv)
{
    ready(argc, argv, 2);
    if (me == 1)
        owner();
    return finish();
}
