/*
 * put, load / In C++: the owner of a segment adds up the numbers of an array that is put there.
 * Repaired, it waits for the word that says so.
 */
#include "race.h"

#include <array>

using Numbers = std::array<unsigned, BYTES / sizeof(unsigned)>;

static void writer()
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t to = open_to(2, &barrier);

    PUT(to, DATA, BYTES); /* SITE */
    CLOSE(barrier);
    tell(2, FLAG, 1);
}

static void owner()
{
    auto *const numbers = reinterpret_cast<const Numbers *>(mine + DATA);
    if (good)
        await(FLAG, 1);
    unsigned sum = 0;
    for (const unsigned number : *numbers)
        sum += number; /* SITE */
    sink = static_cast<char>(sum);
}

int main(int argc, char **argv)
{
    ready(argc, argv, 2);
    if (me == 1)
        writer();
    else
        owner();
    return finish();
}
