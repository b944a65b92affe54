/*
 * order / message passing by mapped stores. As `message`, but through a mapping: a record, and a flag behind it.
 *
 * What makes a mapping fast is that stores through it are combined and posted. Neither the order of the statements nor
 * `volatile` is an order of their arrival; an order barrier is.
 */
#include "litmus.h"

enum { RECORD = ROOM, FLAG = ROOM + 1024, ACKNOWLEDGED = ROOM };

static void writer(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t box = import_from(2, RSM_BARRIER_SEGMENT, &barrier);
    void *map;

    CHECK(rsm_memseg_import_map(box, &map, RSM_MAP_NONE, RSM_PERM_RDWR, 0, SEGMENT));
    volatile uint64_t *const record = (volatile uint64_t *)((char *)map + RECORD);
    volatile uint64_t *const flag = (volatile uint64_t *)((char *)map + FLAG);
    for (uint64_t n = 1; n <= rounds; n++) {
        CHECK(rsm_memseg_import_open_barrier(&barrier));
        for (int i = 0; i < WORDS; i++)
            record[i] = n;
        if (good)
            CHECK(rsm_memseg_import_order_barrier(&barrier));
        *flag = n;
        CHECK(rsm_memseg_import_close_barrier(&barrier));
        await(ACKNOWLEDGED, n);
    }
}

static void reader(void)
{
    for (uint64_t n = 1; n <= rounds; n++) {
        await(FLAG, n);
        expect(RECORD, n);
        tell(1, ACKNOWLEDGED, n);
    }
}

int main(int argc, char **argv)
{
    start(argc, argv, 2, 300);
    if (me == 1)
        writer();
    else
        reader();
    return finish();
}
