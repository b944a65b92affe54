/* rebind. */
#include "suite.h"

/* A bound segment of PAGES pages. */
static rsm_memseg_export_handle_t bound(unsigned char *memory, unsigned flags)
{
    rsm_memseg_export_handle_t e = NULL;
    OK(rsm_memseg_export_create(open_controller(), &e, memory, SZ, flags));
    return e;
}

ASSERTION(110, LOCAL, "rebind of NULL, and of what is no export")
{
    open_controller();
    EXPECT(RSMERR_BAD_SEG_HNDL, rsm_memseg_export_rebind(NULL, pages(PAGES), 0, SZ));
    EXPECT(RSMERR_BAD_SEG_HNDL, rsm_memseg_export_rebind(NULL, NULL, 0, 0));
    EXPECT(RSMERR_BAD_SEG_HNDL,
           rsm_memseg_export_rebind((rsm_memseg_export_handle_t)open_controller(), pages(PAGES), 0, SZ));
}

ASSERTION(111, LOCAL, "rebind to no address")
{
    EXPECT(RSMERR_BAD_ADDR, rsm_memseg_export_rebind(bound(pages(PAGES), RSM_ALLOW_REBIND), NULL, 0, SZ));
    EXPECT(RSMERR_BAD_ADDR, rsm_memseg_export_rebind(bound(pages(PAGES), 0), NULL, 0, 1));
}

ASSERTION(112, LOCAL, "rebind has to be allowed at create")
{
    unsigned char *memory = pages(PAGES);
    const rsm_memseg_export_handle_t e = bound(memory, 0);
    EXPECT(RSMERR_REBIND_NOT_ALLOWED, rsm_memseg_export_rebind(e, pages(PAGES), 0, SZ));
    EXPECT(RSMERR_REBIND_NOT_ALLOWED, rsm_memseg_export_rebind(e, memory, 0, SZ));
    EXPECT(RSMERR_REBIND_NOT_ALLOWED, rsm_memseg_export_rebind(e, pages(PAGES) + 1, 0, 5));
}

ASSERTION(113, LOCAL, "rebind to another length")
{
    const rsm_memseg_export_handle_t e = bound(pages(PAGES), RSM_ALLOW_REBIND);
    unsigned char *memory = pages(PAGES + 1);
    EXPECT(RSMERR_BAD_LENGTH, rsm_memseg_export_rebind(e, memory, 0, SZ - P));
    EXPECT(RSMERR_BAD_LENGTH, rsm_memseg_export_rebind(e, memory, 0, SZ + P));
    EXPECT(RSMERR_BAD_LENGTH, rsm_memseg_export_rebind(e, memory, 0, 0));
    EXPECT(RSMERR_BAD_LENGTH, rsm_memseg_export_rebind(e, memory + 1, 0, SZ - 1));
    OK(rsm_memseg_export_rebind(e, memory, 0, SZ));
}

ASSERTION(114, LOCAL, "rebind to where it is does nothing")
{
    unsigned char *memory = pages(PAGES);
    fill(memory, 1, SZ);
    const rsm_memseg_export_handle_t e = bound(memory, RSM_ALLOW_REBIND);
    OK(rsm_memseg_export_rebind(e, memory, 0, SZ));
    CHECK(is_pattern(memory, 1, SZ));
}

ASSERTION(115, LOCAL, "rebind to a misaligned address, or to no memory")
{
    unsigned char *memory = pages(PAGES), *gone = pages(PAGES);
    fill(memory, 2, SZ);
    const rsm_memseg_export_handle_t e = bound(memory, RSM_ALLOW_REBIND);
    EXPECT(RSMERR_BAD_ADDR, rsm_memseg_export_rebind(e, pages(PAGES + 1) + 1, 0, SZ));
    CHECK(munmap(gone, SZ) == 0);
    EXPECT(RSMERR_BAD_ADDR, rsm_memseg_export_rebind(e, gone, 0, SZ));
    CHECK(is_pattern(memory, 2, SZ));
}

ASSERTION(116, ALL, "a bound segment is rebound; who connects later sees the new memory")
{
    struct scene s;
    begin(&s);
    export_to(&s, RSM_ALLOW_REBIND, NULL, 0);
    OK(e_unpublish(&s));
    OK(e_rebind(&s, 0x77));
    OK(e_publish(&s, ID, NULL, 0));
    import(&s, RSM_PERM_RDWR);
    unsigned char *copy = malloc(SZ);
    OK(rsm_memseg_import_get(s.i, 0, copy, SZ));
    FILLED(copy, 0x77, SZ);
    memset(copy, 0x78, SZ);
    OK(rsm_memseg_import_put(s.i, 0, copy, SZ));
    CHECK(e_filled(&s, 0x78));
}

ASSERTION(117, ALL, "a mapping there is sees the new memory after a rebind")
{
    struct scene s;
    stage(&s);
    e_fill(&s, 0x11);
    volatile unsigned char *mapping = map_all(&s);
    FILLED(mapping, 0x11, SZ);
    OK(e_rebind(&s, 0x22));
    /* Through a lens, when the library looks next. */
    EVENTUALLY(10000, is_filled((unsigned char *)mapping, 0x22, SZ));
    for (size_t k = 0; k < SZ; k++)
        mapping[k] = 0x33;
    arrive(&s);
    CHECK(e_filled(&s, 0x33));
    OK(e_rebind(&s, 0x44));
    EVENTUALLY(10000, is_filled((unsigned char *)mapping, 0x44, SZ));
}

ASSERTION(118, ALL, "the old memory is the exporter's alone after a rebind, with its last contents")
{
    struct scene s;
    stage(&s);
    unsigned char *mapping = map_all(&s), *copy = malloc(SZ);
    memset(mapping, 0x11, SZ);
    arrive(&s);
    OK(e_rebind(&s, 0x22));
    memset(mapping, 0x33, SZ);
    OK(rsm_memseg_import_put8(s.i, 3, (uint8_t[]){0x33}, 1));
    e_read_old(&s, 0, copy, SZ);
    FILLED(copy, 0x11, SZ);
    CHECK(e_filled(&s, 0x33));
}

ASSERTION(119, ALL, "a rebind does not abort imports")
{
    struct scene s;
    uint64_t value = 5;
    stage(&s);
    OK(rsm_memseg_import_put64(s.i, 0, &value, 1));
    OK(e_rebind(&s, 0));
    OK(rsm_memseg_import_put64(s.i, 0, &value, 1));
    explicit_mode(&s);
    /* What a span does is in the old range or in the new; of one that a rebind meets nobody knows: to be done again. */
    OK(rsm_memseg_import_open_barrier(&s.b));
    OK(e_rebind(&s, 0));
    OK(rsm_memseg_import_put64(s.i, 16, &value, 1));
    EXPECT(RSMERR_BARRIER_FAILURE, rsm_memseg_import_close_barrier(&s.b));
    OK(rsm_memseg_import_open_barrier(&s.b));
    OK(rsm_memseg_import_put64(s.i, 16, &value, 1));
    OK(rsm_memseg_import_close_barrier(&s.b));
    OK(rsm_intr_signal_post(s.i, 0));
    OK(e_wait(&s, 5000));
}

ASSERTION(120, LOCAL, "the offset of a rebind does nothing")
{
    static const offset_t offsets[] = {1, 4096, -1, INT64_MAX, INT64_MIN};
    struct scene s;
    stage(&s);
    for (size_t k = 0; k < sizeof offsets / sizeof *offsets; k++) {
        unsigned char *memory = pages(PAGES), byte = 0;
        memset(memory, (int)k + 1, SZ);
        OK(rsm_memseg_export_rebind(s.e, memory, offsets[k], SZ));
        OK(rsm_memseg_import_get8(s.i, 0, &byte, 1));
        CHECK(byte == k + 1);
    }
}

ASSERTION(121, LOCAL, "a forked child may not rebind")
{
    struct scene s;
    stage(&s);
    const pid_t child = fork_child();
    if (child == 0) {
        EXPECT(RSMERR_NOT_CREATOR, rsm_memseg_export_rebind(s.e, pages(PAGES), 0, SZ));
        _exit(0);
    }
    join_child(child);
    OK(e_rebind(&s, 1));
}
