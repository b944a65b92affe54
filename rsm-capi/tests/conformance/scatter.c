/* putv and getv. */
#include "suite.h"

enum { PIECE = 256 };

/* A list over local memory of its own. */
struct gather {
    rsm_scat_gath_t io;
    rsm_iovec_t entries[RSM_MAX_SGIOREQS + 1];
    unsigned char *local; /* of one page and a bit more than each entry needs */
};

/* `count` entries: piece k of the local memory, and place k of the segment. */
static void gather(struct gather *g, struct scene *s, unsigned long count)
{
    memset(g, 0, sizeof *g);
    g->local = pages(2);
    fill(g->local, 1, 2 * P);
    g->io = (rsm_scat_gath_t){0, count, 12345, 0, s->i, g->entries};
    for (unsigned long k = 0; k < count; k++) {
        g->entries[k].io_type = RSM_VA_TYPE;
        g->entries[k].local.vaddr = (char *)g->local + k * PIECE;
        g->entries[k].remote_offset = 3 + k * 2 * PIECE;
        g->entries[k].transfer_length = PIECE;
    }
}

/* Whether what entry k says has been done to the segment. */
static bool done(struct gather *g, struct scene *s, unsigned long k)
{
    unsigned char copy[PIECE];
    e_read(s, 3 + k * 2 * PIECE, copy, PIECE);
    return memcmp(copy, g->local + k * PIECE, PIECE) == 0;
}

ASSERTION(163, ONCE, "putv and getv of NULL")
{
    EXPECT(RSMERR_BAD_SGIO, rsm_memseg_import_putv(NULL));
    EXPECT(RSMERR_BAD_SGIO, rsm_memseg_import_getv(NULL));
}

ASSERTION(164, ALL, "putv and getv without an import, and with what is none")
{
    struct scene s;
    struct gather g;
    stage(&s);
    gather(&g, &s, 0);
    const rsm_memseg_import_handle_t no_imports[] = {NULL, (rsm_memseg_import_handle_t)s.controller,
                                                     (rsm_memseg_import_handle_t)&s};
    for (size_t k = 0; k < sizeof no_imports / sizeof *no_imports; k++) {
        g.io.remote_handle = no_imports[k];
        EXPECT(RSMERR_BAD_SEG_HNDL, rsm_memseg_import_putv(&g.io));
        EXPECT(RSMERR_BAD_SEG_HNDL, rsm_memseg_import_getv(&g.io));
        CHECK(g.io.io_residual_count == 12345);
    }
}

ASSERTION(165, ALL, "putv and getv of no entry, and of too many")
{
    struct scene s;
    struct gather g;
    stage(&s);
    gather(&g, &s, RSM_MAX_SGIOREQS);
    static const unsigned long counts[] = {0, 17, 1000000, (unsigned long)-1};
    for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) {
        g.io.io_request_count = counts[k];
        EXPECT(RSMERR_BAD_SGIO, rsm_memseg_import_putv(&g.io));
        EXPECT(RSMERR_BAD_SGIO, rsm_memseg_import_getv(&g.io));
        CHECK(g.io.io_residual_count == 12345);
    }
    CHECK(e_filled(&s, 0));
}

ASSERTION(166, ALL, "sixteen entries")
{
    struct scene s;
    struct gather g;
    stage(&s);
    gather(&g, &s, 16);
    OK(rsm_memseg_import_putv(&g.io));
    CHECK(g.io.io_residual_count == 0);
    for (unsigned long k = 0; k < 16; k++)
        CHECK(done(&g, &s, k));
    memset(g.local, 0, 16 * PIECE);
    g.io.io_residual_count = 12345;
    OK(rsm_memseg_import_getv(&g.io));
    CHECK(g.io.io_residual_count == 0);
    CHECK(is_pattern(g.local, 1, 16 * PIECE));
}

ASSERTION(167, ALL, "the local offset is added")
{
    struct scene s;
    struct gather g;
    unsigned char copy[PIECE];
    stage(&s);
    gather(&g, &s, 1);
    g.entries[0].local_offset = 77;
    OK(rsm_memseg_import_putv(&g.io));
    e_read(&s, 3, copy, PIECE);
    SAME(copy, g.local + 77, PIECE);
    memset(g.local, 0, P);
    OK(rsm_memseg_import_getv(&g.io));
    SAME(copy, g.local + 77, PIECE);
    FILLED(g.local, 0, 77);
    FILLED(g.local + 77 + PIECE, 0, P - 77 - PIECE);
}

/* Names local memory by a handle, which begins where it does. */
static rsm_localmemory_handle_t handle_of(struct scene *s, unsigned char *memory, size_t length)
{
    rsm_localmemory_handle_t handle = NULL;
    OK(rsm_create_localmemory_handle(s->controller, &handle, (char *)memory, length));
    CHECK(handle != NULL);
    return handle;
}

static void name_by_handle(struct gather *g, unsigned long k, rsm_localmemory_handle_t handle)
{
    g->entries[k].io_type = RSM_HANDLE_TYPE;
    g->entries[k].local.handle = handle;
    g->entries[k].local_offset = k * PIECE;
}

ASSERTION(168, ALL, "entries that name local memory by a handle")
{
    struct scene s;
    struct gather g;
    stage(&s);
    gather(&g, &s, 8);
    const rsm_localmemory_handle_t handle = handle_of(&s, g.local, P);
    for (unsigned long k = 0; k < 8; k++)
        name_by_handle(&g, k, handle);
    OK(rsm_memseg_import_putv(&g.io));
    CHECK(g.io.io_residual_count == 0);
    for (unsigned long k = 0; k < 8; k++)
        CHECK(done(&g, &s, k));
    memset(g.local, 0, P);
    OK(rsm_memseg_import_getv(&g.io));
    CHECK(is_pattern(g.local, 1, 8 * PIECE));
    OK(rsm_free_localmemory_handle(s.controller, handle));
}

ASSERTION(169, ALL, "entries of both kinds in one list")
{
    struct scene s;
    struct gather g;
    stage(&s);
    gather(&g, &s, 6);
    const rsm_localmemory_handle_t handle = handle_of(&s, g.local, P);
    for (unsigned long k = 0; k < 6; k += 2)
        name_by_handle(&g, k, handle);
    OK(rsm_memseg_import_putv(&g.io));
    for (unsigned long k = 0; k < 6; k++)
        CHECK(done(&g, &s, k));
}

ASSERTION(170, ALL, "a signal is posted when asked for, once, for putv and getv, and after success only")
{
    struct scene s;
    struct gather g;
    stage(&s);
    gather(&g, &s, 4);
    g.io.flags = RSM_IMPLICIT_SIGPOST;
    OK(rsm_memseg_import_putv(&g.io));
    OK(e_wait(&s, 5000));
    EXPECT(RSMERR_TIMEOUT, e_wait(&s, 0));
    OK(rsm_memseg_import_getv(&g.io));
    OK(e_wait(&s, 5000));
    EXPECT(RSMERR_TIMEOUT, e_wait(&s, 0));
    /* Two that do not accumulate are one, if they are pending at the same time, and between hosts they need not be. */
    g.io.flags = RSM_IMPLICIT_SIGPOST | RSM_SIGPOST_NO_ACCUMULATE;
    if (!signals_are_late()) {
        OK(rsm_memseg_import_putv(&g.io));
        OK(rsm_memseg_import_putv(&g.io));
        OK(e_wait(&s, 5000));
        EXPECT(RSMERR_TIMEOUT, e_wait(&s, 0));
    }
    g.entries[3].remote_offset = SZ;
    EXPECT(RSMERR_BAD_OFFSET, rsm_memseg_import_putv(&g.io));
    EXPECT(RSMERR_TIMEOUT, e_wait(&s, 0));
}

ASSERTION(171, ALL, "no signal is posted when none is asked for")
{
    struct scene s;
    struct gather g;
    stage(&s);
    gather(&g, &s, 4);
    OK(rsm_memseg_import_putv(&g.io));
    g.io.flags = RSM_SIGPOST_NO_ACCUMULATE;
    OK(rsm_memseg_import_putv(&g.io));
    EXPECT(RSMERR_TIMEOUT, e_wait(&s, 0));
}

ASSERTION(172, ALL, "the request is not changed but for the residual count")
{
    struct scene s;
    struct gather g, before;
    stage(&s);
    gather(&g, &s, 5);
    g.io.flags = RSM_IMPLICIT_SIGPOST | RSM_SIGPOST_NO_ACCUMULATE;
    g.io.local_nodeid = 4711;
    before = g;
    OK(rsm_memseg_import_putv(&g.io));
    CHECK(g.io.flags == before.io.flags && g.io.iovec == g.entries && g.io.io_request_count == 5);
    CHECK(g.io.remote_handle == s.i && g.io.local_nodeid == 4711);
    SAME(g.entries, before.entries, sizeof g.entries);
    g.entries[4].remote_offset = SZ;
    EXPECT(RSMERR_BAD_OFFSET, rsm_memseg_import_putv(&g.io));
    CHECK(g.io.flags == before.io.flags && g.io.iovec == g.entries && g.io.io_request_count == 5);
}

ASSERTION(173, ALL, "an entry out of range stops the list and is counted")
{
    struct scene s;
    struct gather g;
    stage(&s);
    for (unsigned long bad = 0; bad < 5; bad++) {
        static const size_t offsets[] = {0, 1, (size_t)-1, (size_t)-PIECE, (size_t)1 << 63};
        for (size_t k = 0; k < sizeof offsets / sizeof *offsets; k++) {
            gather(&g, &s, 5);
            g.entries[bad].remote_offset = k < 2 ? SZ + 1 - PIECE + offsets[k] : offsets[k];
            e_fill(&s, 0);
            EXPECT(RSMERR_BAD_OFFSET, rsm_memseg_import_putv(&g.io));
            CHECK(g.io.io_residual_count == 5 - bad);
            for (unsigned long entry = 0; entry < 5; entry++)
                CHECK(done(&g, &s, entry) == (entry < bad));
            EXPECT(RSMERR_BAD_OFFSET, rsm_memseg_import_getv(&g.io));
            CHECK(g.io.io_residual_count == 5 - bad);
        }
    }
    gather(&g, &s, 2);
    g.entries[1].transfer_length = SIZE_MAX;
    EXPECT(RSMERR_BAD_OFFSET, rsm_memseg_import_putv(&g.io));
    CHECK(g.io.io_residual_count == 1);
}

/* Entry 2 of 4 fails with `code`, and the two before it are done. */
static void fails(int code, struct gather *g)
{
    g->io.io_residual_count = 12345;
    EXPECT(code, rsm_memseg_import_putv(&g->io));
    CHECK(g->io.io_residual_count == 2);
    g->io.io_residual_count = 12345;
    EXPECT(code, rsm_memseg_import_getv(&g->io));
    CHECK(g->io.io_residual_count == 2);
}

ASSERTION(174, ALL, "an entry of no kind, and other bad entries, in order of the checks")
{
    struct scene s;
    struct gather g;
    stage(&s);
    static const int types[] = {3, 0, -1, 0x7FFFFFFF};
    for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
        gather(&g, &s, 4);
        g.entries[2].io_type = types[k];
        g.entries[2].local.vaddr = NULL;
        fails(RSMERR_BAD_SGIO, &g);
        CHECK(done(&g, &s, 1) && !done(&g, &s, 2));
    }
    g.io.io_residual_count = 12345;
    g.io.iovec = NULL;
    EXPECT(RSMERR_BAD_SGIO, rsm_memseg_import_putv(&g.io));
    CHECK(g.io.io_residual_count == 12345);

    gather(&g, &s, 4);
    g.entries[2].local.vaddr = NULL;
    g.entries[2].remote_offset = SZ;
    fails(RSMERR_BAD_ADDR, &g);

    gather(&g, &s, 4);
    name_by_handle(&g, 2, NULL);
    fails(RSMERR_BAD_LOCALMEM_HNDL, &g);
    name_by_handle(&g, 2, (rsm_localmemory_handle_t)(void *)g.local);
    fails(RSMERR_BAD_LOCALMEM_HNDL, &g);

    const rsm_localmemory_handle_t handle = handle_of(&s, g.local, 3 * PIECE);
    name_by_handle(&g, 2, handle);
    OK(rsm_memseg_import_putv(&g.io));
    g.entries[2].local_offset++;
    fails(RSMERR_BAD_LENGTH, &g);
    g.entries[2].local_offset = SIZE_MAX;
    g.entries[2].remote_offset = SZ;
    fails(RSMERR_BAD_LENGTH, &g);
    OK(rsm_free_localmemory_handle(s.controller, handle));
    fails(RSMERR_BAD_LOCALMEM_HNDL, &g);
}

ASSERTION(175, ALL, "an import to read gets vectors and does not put them")
{
    struct scene s;
    struct gather g;
    begin(&s);
    export_to(&s, 0, NULL, 0);
    import(&s, RSM_PERM_READ);
    gather(&g, &s, 3);
    EXPECT(RSMERR_PERM_DENIED, rsm_memseg_import_putv(&g.io));
    CHECK(g.io.io_residual_count == 3);
    OK(rsm_memseg_import_getv(&g.io));
    FILLED(g.local, 0, 3 * PIECE);
    import(&s, RSM_PERM_WRITE);
    gather(&g, &s, 3);
    EXPECT(RSMERR_PERM_DENIED, rsm_memseg_import_getv(&g.io));
    OK(rsm_memseg_import_putv(&g.io));
}

ASSERTION(176, ALL, "an entry of no bytes")
{
    struct scene s;
    struct gather g;
    stage(&s);
    gather(&g, &s, 3);
    g.entries[1].transfer_length = 0;
    g.entries[1].remote_offset = SZ;
    OK(rsm_memseg_import_putv(&g.io));
    CHECK(g.io.io_residual_count == 0);
    CHECK(done(&g, &s, 0) && !done(&g, &s, 1) && done(&g, &s, 2));
    OK(rsm_memseg_import_getv(&g.io));
}

ASSERTION(177, ALL, "no barrier is needed in implicit mode, and an aborted import tells")
{
    struct scene s;
    struct gather g;
    begin(&s);
    export_to(&s, 0, NULL, 0);
    OK(rsm_memseg_import_connect(s.controller, s.node, s.id, RSM_PERM_RDWR, &s.i));
    gather(&g, &s, 3);
    OK(rsm_memseg_import_putv(&g.io));
    OK(rsm_memseg_import_getv(&g.io));
    OK(e_unpublish(&s));
    EXPECT(RSMERR_CONN_ABORTED, rsm_memseg_import_putv(&g.io));
    CHECK(g.io.io_residual_count == 3);
    EXPECT(RSMERR_CONN_ABORTED, rsm_memseg_import_getv(&g.io));
}
