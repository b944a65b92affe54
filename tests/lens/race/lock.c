/*
 * atomics / Two nodes put to one place under a lock, which they give back before their spans are closed. Repaired,
 * behind that.
 */
#include "race.h"

static void writer(void)
{
    rsmapi_barrier_t barrier, of_lock;
    const rsm_memseg_import_handle_t to = open_to(3, &barrier);
    const rsm_memseg_import_handle_t locking = open_to(3, &of_lock);
    uint64_t *const lock = (uint64_t *)(void *)(mapped(locking) + FLAG);
    for (;;) {
        uint64_t free = 0;
        if (__atomic_compare_exchange_n(lock, &free, me, 0, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE))
            break;
        spend(10);
    }
    PUT(to, DATA, BYTES); /* SITE */
    if (good)
        CLOSE(barrier);
    __atomic_store_n(lock, 0, __ATOMIC_RELEASE);
    CLOSE(of_lock);
    if (!good)
        CLOSE(barrier);
}

int main(int argc, char **argv)
{
    ready(argc, argv, 3);
    if (me != 3)
        writer();
    return finish();
}
