/* barriers and modes. */
#include "suite.h"

static void init(struct scene *s, rsmapi_barrier_t *barrier, int type)
{
    memset(barrier, 0, sizeof *barrier);
    OK(rsm_memseg_import_init_barrier(s->i, (rsm_barrier_type_t)type, barrier));
}

ASSERTION(198, ALL, "init_barrier of NULL, of what is no import, and without a barrier")
{
    struct scene s;
    rsmapi_barrier_t barrier = {0};
    stage(&s);
    EXPECT(RSMERR_BAD_SEG_HNDL, rsm_memseg_import_init_barrier(NULL, RSM_BARRIER_NODE, &barrier));
    EXPECT(RSMERR_BAD_SEG_HNDL, rsm_memseg_import_init_barrier(NULL, RSM_BARRIER_NODE, NULL));
    EXPECT(RSMERR_BAD_SEG_HNDL,
           rsm_memseg_import_init_barrier((rsm_memseg_import_handle_t)s.controller, RSM_BARRIER_NODE, &barrier));
    EXPECT(RSMERR_BAD_BARRIER_PTR, rsm_memseg_import_init_barrier(s.i, RSM_BARRIER_NODE, NULL));
    EXPECT(RSMERR_BARRIER_UNINITIALIZED, rsm_memseg_import_open_barrier(&barrier));
}

ASSERTION(199, ONCE, "barrier calls of NULL")
{
    EXPECT(RSMERR_BAD_BARRIER_PTR, rsm_memseg_import_open_barrier(NULL));
    EXPECT(RSMERR_BAD_BARRIER_PTR, rsm_memseg_import_order_barrier(NULL));
    EXPECT(RSMERR_BAD_BARRIER_PTR, rsm_memseg_import_close_barrier(NULL));
    EXPECT(RSMERR_BAD_BARRIER_PTR, rsm_memseg_import_destroy_barrier(NULL));
}

ASSERTION(200, ONCE, "barrier calls of storage that is zero")
{
    rsmapi_barrier_t barrier;
    memset(&barrier, 0, sizeof barrier);
    EXPECT(RSMERR_BARRIER_UNINITIALIZED, rsm_memseg_import_open_barrier(&barrier));
    EXPECT(RSMERR_BARRIER_UNINITIALIZED, rsm_memseg_import_order_barrier(&barrier));
    EXPECT(RSMERR_BARRIER_UNINITIALIZED, rsm_memseg_import_close_barrier(&barrier));
    EXPECT(RSMERR_BARRIER_UNINITIALIZED, rsm_memseg_import_destroy_barrier(&barrier));
}

ASSERTION(201, ALL, "open, put, order, put, close")
{
    struct scene s;
    uint64_t data = 1, flag = 2, seen[2];
    stage(&s);
    explicit_mode(&s);
    OK(rsm_memseg_import_open_barrier(&s.b));
    OK(rsm_memseg_import_put64(s.i, 0, &data, 1));
    OK(rsm_memseg_import_order_barrier(&s.b));
    OK(rsm_memseg_import_put64(s.i, 8, &flag, 1));
    OK(rsm_memseg_import_close_barrier(&s.b));
    e_read(&s, 0, seen, sizeof seen);
    CHECK(seen[0] == 1 && seen[1] == 2);
}

ASSERTION(202, ALL, "spans follow each other; opening an open one starts it anew")
{
    struct scene s;
    stage(&s);
    for (int k = 0; k < 1000; k++) {
        OK(rsm_memseg_import_open_barrier(&s.b));
        if (k % 3 == 0)
            OK(rsm_memseg_import_open_barrier(&s.b));
        for (int order = 0; order < k % 4; order++)
            OK(rsm_memseg_import_order_barrier(&s.b));
        OK(rsm_memseg_import_close_barrier(&s.b));
    }
}

ASSERTION(203, ALL, "a barrier that is not open is neither closed nor ordered")
{
    struct scene s;
    stage(&s);
    EXPECT(RSMERR_BARRIER_NOT_OPENED, rsm_memseg_import_close_barrier(&s.b));
    EXPECT(RSMERR_BARRIER_NOT_OPENED, rsm_memseg_import_order_barrier(&s.b));
}

ASSERTION(204, ALL, "a barrier is closed once")
{
    struct scene s;
    stage(&s);
    OK(rsm_memseg_import_open_barrier(&s.b));
    OK(rsm_memseg_import_close_barrier(&s.b));
    EXPECT(RSMERR_BARRIER_NOT_OPENED, rsm_memseg_import_close_barrier(&s.b));
    EXPECT(RSMERR_BARRIER_NOT_OPENED, rsm_memseg_import_order_barrier(&s.b));
}

ASSERTION(205, ALL, "barriers of every type")
{
    struct scene s;
    static const int types[] = {RSM_BARRIER_SEGMENT, RSM_BARRIER_NODE, RSM_BARRIER_SEGMENT_THREAD,
                                RSM_BARRIER_NODE_THREAD, RSM_BAR_DEFAULT, 0, 0x7FFFFFFF};
    stage(&s);
    for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
        rsmapi_barrier_t barrier;
        uint8_t byte = (uint8_t)k;
        init(&s, &barrier, types[k]);
        OK(rsm_memseg_import_put8(s.i, 0, &byte, 1));
        OK(rsm_memseg_import_open_barrier(&barrier));
        OK(rsm_memseg_import_order_barrier(&barrier));
        OK(rsm_memseg_import_close_barrier(&barrier));
        OK(rsm_memseg_import_destroy_barrier(&barrier));
    }
}

ASSERTION(206, ALL, "two barriers of one import")
{
    struct scene s;
    rsmapi_barrier_t other;
    stage(&s);
    init(&s, &other, RSM_BARRIER_SEGMENT_THREAD);
    OK(rsm_memseg_import_open_barrier(&s.b));
    OK(rsm_memseg_import_open_barrier(&other));
    OK(rsm_memseg_import_close_barrier(&s.b));
    OK(rsm_memseg_import_order_barrier(&other));
    EXPECT(RSMERR_BARRIER_NOT_OPENED, rsm_memseg_import_order_barrier(&s.b));
    OK(rsm_memseg_import_close_barrier(&other));
}

ASSERTION(207, ALL, "without its barrier an import does not put in implicit mode")
{
    struct scene s;
    rsmapi_barrier_t other;
    uint8_t byte = 1;
    stage(&s);
    OK(rsm_memseg_import_put8(s.i, 0, &byte, 1));
    OK(rsm_memseg_import_destroy_barrier(&s.b));
    EXPECT(RSMERR_BARRIER_UNINITIALIZED, rsm_memseg_import_put8(s.i, 0, &byte, 1));
    /* The last one initialised counts; destroying another changes nothing (D-51). */
    init(&s, &s.b, RSM_BARRIER_NODE);
    init(&s, &other, RSM_BARRIER_NODE);
    OK(rsm_memseg_import_destroy_barrier(&s.b));
    OK(rsm_memseg_import_put8(s.i, 0, &byte, 1));
    OK(rsm_memseg_import_destroy_barrier(&other));
    EXPECT(RSMERR_BARRIER_UNINITIALIZED, rsm_memseg_import_put8(s.i, 0, &byte, 1));
}

ASSERTION(208, ALL, "a destroyed barrier is none")
{
    struct scene s;
    stage(&s);
    OK(rsm_memseg_import_open_barrier(&s.b));
    OK(rsm_memseg_import_destroy_barrier(&s.b));
    CHECK(s.b.seg == NULL && s.b.gnum == 0 && s.b.privdata == NULL);
    EXPECT(RSMERR_BARRIER_UNINITIALIZED, rsm_memseg_import_open_barrier(&s.b));
    EXPECT(RSMERR_BARRIER_UNINITIALIZED, rsm_memseg_import_close_barrier(&s.b));
    EXPECT(RSMERR_BARRIER_UNINITIALIZED, rsm_memseg_import_destroy_barrier(&s.b));
    /* Nor is the barrier of an import that has been disconnected (D-53). */
    init(&s, &s.b, RSM_BARRIER_SEGMENT);
    OK(rsm_memseg_import_open_barrier(&s.b));
    OK(rsm_memseg_import_disconnect(s.i));
    EXPECT(RSMERR_BAD_SEG_HNDL, rsm_memseg_import_open_barrier(&s.b));
    EXPECT(RSMERR_BAD_SEG_HNDL, rsm_memseg_import_order_barrier(&s.b));
    EXPECT(RSMERR_BAD_SEG_HNDL, rsm_memseg_import_close_barrier(&s.b));
    OK(rsm_memseg_import_destroy_barrier(&s.b));
    CHECK(s.b.seg == NULL && s.b.gnum == 0 && s.b.privdata == NULL);
}

ASSERTION(209, ALL, "the mode is what it was set to")
{
    struct scene s;
    stage(&s);
    for (int k = 0; k < 4; k++) {
        const rsm_barrier_mode_t wanted = k % 2 ? RSM_BARRIER_MODE_IMPLICIT : RSM_BARRIER_MODE_EXPLICIT;
        rsm_barrier_mode_t mode = k % 2 ? RSM_BARRIER_MODE_EXPLICIT : RSM_BARRIER_MODE_IMPLICIT;
        OK(rsm_memseg_import_set_mode(s.i, wanted));
        OK(rsm_memseg_import_get_mode(s.i, &mode));
        CHECK(mode == wanted);
    }
}

ASSERTION(210, ALL, "a mode that does not exist")
{
    struct scene s;
    rsm_barrier_mode_t mode;
    stage(&s);
    explicit_mode(&s);
    EXPECT(RSMERR_BAD_MODE, rsm_memseg_import_set_mode(s.i, (rsm_barrier_mode_t)2));
    EXPECT(RSMERR_BAD_MODE, rsm_memseg_import_set_mode(s.i, (rsm_barrier_mode_t)-1));
    OK(rsm_memseg_import_get_mode(s.i, &mode));
    CHECK(mode == RSM_BARRIER_MODE_EXPLICIT);
}

ASSERTION(211, ALL, "modes of NULL, and of what is no import")
{
    struct scene s;
    rsm_barrier_mode_t mode;
    stage(&s);
    EXPECT(RSMERR_BAD_SEG_HNDL, rsm_memseg_import_set_mode(NULL, RSM_BARRIER_MODE_IMPLICIT));
    EXPECT(RSMERR_BAD_SEG_HNDL, rsm_memseg_import_set_mode(NULL, (rsm_barrier_mode_t)2));
    EXPECT(RSMERR_BAD_SEG_HNDL, rsm_memseg_import_get_mode(NULL, &mode));
    EXPECT(RSMERR_BAD_SEG_HNDL, rsm_memseg_import_get_mode(NULL, NULL));
    EXPECT(RSMERR_BAD_SEG_HNDL, rsm_memseg_import_get_mode((rsm_memseg_import_handle_t)s.controller, &mode));
}

ASSERTION(212, ALL, "get_mode wants a place")
{
    struct scene s;
    stage(&s);
    EXPECT(RSMERR_BAD_ADDR, rsm_memseg_import_get_mode(s.i, NULL));
}
