/*
 * threads of C++ / The owner reads what it was told of by nobody. Repaired, it waits. Its threads use a locale with a facet of its own,
 * which the last of them destroys, whichever that is: so they are not told apart.
 */
#include "race.h"

#include <locale>
#include <thread>

struct Facet : std::locale::facet {
    static std::locale::id id;
    ~Facet()
    {
        mine[DATA + BYTES] = mine[DATA + BYTES + 1] = 2;
    }
};
std::locale::id Facet::id;

static void use(std::locale locale, int at)
{
    mine[DATA + BYTES + at] = std::has_facet<Facet>(locale);
}

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
    std::locale locale(std::locale(), new Facet);
    std::thread other(use, locale, 0);
    use(std::move(locale), 1);
    locale = std::locale();
    other.join();
    if (good)
        await(FLAG, 1);
    sink = mine[DATA]; /* SITE */
    if (!good)
        await(FLAG, 1);
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
