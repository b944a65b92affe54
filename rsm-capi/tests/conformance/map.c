/* map and unmap. */
#define _GNU_SOURCE
#include "suite.h"

#include <setjmp.h>
#include <signal.h>

/* An address that a failed map must leave where it is. */
#define UNTOUCHED ((void *)(uintptr_t)0x5A5A000)

static void refused(int code, struct scene *s, rsm_attribute_t attribute, rsm_permission_t permission, off_t offset,
                    size_t length)
{
    void *address = UNTOUCHED;
    EXPECT(code, rsm_memseg_import_map(s->i, &address, attribute, permission, offset, length));
    CHECK(address == UNTOUCHED);
    /* Nothing is mapped, and no lock is left behind. */
    EXPECT(RSMERR_SEG_NOT_MAPPED, rsm_memseg_import_unmap(s->i));
}

static unsigned char *map(struct scene *s, rsm_permission_t permission, size_t offset, size_t length)
{
    void *address = NULL;
    OK(rsm_memseg_import_map(s->i, &address, RSM_MAP_NONE, permission, (off_t)offset, length));
    CHECK(address != NULL && (uintptr_t)address % P == 0);
    return address;
}

ASSERTION(178, ALL, "map of NULL, of what is no import, and without a place for the address")
{
    struct scene s;
    void *address = UNTOUCHED;
    stage(&s);
    EXPECT(RSMERR_BAD_SEG_HNDL, rsm_memseg_import_map(NULL, &address, RSM_MAP_NONE, RSM_PERM_RDWR, 0, P));
    EXPECT(RSMERR_BAD_SEG_HNDL, rsm_memseg_import_map(NULL, NULL, RSM_MAP_NONE, 0700, 1, 0));
    EXPECT(RSMERR_BAD_SEG_HNDL, rsm_memseg_import_map((rsm_memseg_import_handle_t)s.controller, &address, RSM_MAP_NONE,
                                                      RSM_PERM_RDWR, 0, P));
    EXPECT(RSMERR_BAD_ADDR, rsm_memseg_import_map(s.i, NULL, RSM_MAP_NONE, RSM_PERM_RDWR, 0, P));
    EXPECT(RSMERR_BAD_ADDR, rsm_memseg_import_map(s.i, NULL, RSM_MAP_NONE, 0700, 1, 0));
    CHECK(address == UNTOUCHED);
}

ASSERTION(179, ALL, "map of no bytes")
{
    struct scene s;
    stage(&s);
    refused(RSMERR_BAD_LENGTH, &s, RSM_MAP_NONE, RSM_PERM_RDWR, 0, 0);
    refused(RSMERR_BAD_LENGTH, &s, RSM_MAP_NONE, RSM_PERM_RDWR, 100, 0);
}

ASSERTION(180, ALL, "map beyond the end")
{
    struct scene s;
    stage(&s);
    refused(RSMERR_BAD_LENGTH, &s, RSM_MAP_NONE, RSM_PERM_RDWR, 0, SZ + 1);
    refused(RSMERR_BAD_LENGTH, &s, RSM_MAP_NONE, RSM_PERM_RDWR, (off_t)P, SZ);
    refused(RSMERR_BAD_LENGTH, &s, RSM_MAP_NONE, RSM_PERM_RDWR, (off_t)SZ, 1);
    refused(RSMERR_BAD_LENGTH, &s, RSM_MAP_NONE, RSM_PERM_RDWR, (off_t)P, SIZE_MAX);
    refused(RSMERR_BAD_LENGTH, &s, RSM_MAP_NONE, RSM_PERM_RDWR, INT64_MAX, SIZE_MAX);
    refused(RSMERR_BAD_LENGTH, &s, RSM_MAP_NONE, RSM_PERM_RDWR, 100, SZ);
}

ASSERTION(181, ALL, "the offset of a map is that of a page")
{
    struct scene s;
    stage(&s);
    refused(RSMERR_BAD_MEM_ALIGNMENT, &s, RSM_MAP_NONE, RSM_PERM_RDWR, 100, 100);
    refused(RSMERR_BAD_MEM_ALIGNMENT, &s, RSM_MAP_NONE, RSM_PERM_RDWR, (off_t)P + 8, P);
    /* The import can be used after that (D-44). */
    map_all(&s);
}

ASSERTION(182, ALL, "map with permissions that do not exist")
{
    struct scene s;
    stage(&s);
    refused(RSMERR_BAD_PERMS, &s, RSM_MAP_NONE, 0700, 0, P);
    refused(RSMERR_BAD_PERMS, &s, RSM_MAP_NONE, 0444, 0, P);
    refused(RSMERR_BAD_PERMS, &s, RSM_MAP_NONE, 0xFFFFFFFFu, 0, 0);
}

ASSERTION(183, ALL, "map with more permission than the import has")
{
    struct scene s;
    begin(&s);
    export_to(&s, 0, NULL, 0);
    import(&s, RSM_PERM_READ);
    refused(RSMERR_BAD_PERMS, &s, RSM_MAP_NONE, RSM_PERM_RDWR, 0, P);
    refused(RSMERR_BAD_PERMS, &s, RSM_MAP_NONE, RSM_PERM_WRITE, 0, P);
    map(&s, RSM_PERM_READ, 0, P);
    import(&s, RSM_PERM_WRITE);
    refused(RSMERR_BAD_PERMS, &s, RSM_MAP_NONE, RSM_PERM_READ, 0, P);
    map(&s, RSM_PERM_WRITE, 0, P)[3] = 3;
    import(&s, RSM_PERM_NONE);
    refused(RSMERR_BAD_PERMS, &s, RSM_MAP_NONE, RSM_PERM_READ, 0, P);
}

ASSERTION(184, ALL, "an import is mapped once")
{
    struct scene s;
    void *address = UNTOUCHED;
    stage(&s);
    map(&s, RSM_PERM_RDWR, 0, P);
    EXPECT(RSMERR_SEG_ALREADY_MAPPED, rsm_memseg_import_map(s.i, &address, RSM_MAP_NONE, RSM_PERM_RDWR, 0, P));
    EXPECT(RSMERR_SEG_ALREADY_MAPPED, rsm_memseg_import_map(s.i, &address, RSM_MAP_NONE, 0700, 1, 0));
    CHECK(address == UNTOUCHED);
}

ASSERTION(185, ALL, "an implicit mapping is one, too")
{
    struct scene s;
    void *address = UNTOUCHED;
    uint8_t byte = 1;
    stage(&s);
    OK(rsm_memseg_import_put8(s.i, 0, &byte, 1));
    EXPECT(RSMERR_SEG_ALREADY_MAPPED, rsm_memseg_import_map(s.i, &address, RSM_MAP_NONE, RSM_PERM_RDWR, 0, P));
    OK(rsm_memseg_import_unmap(s.i));
    CHECK(map_all(&s) != NULL);
}

ASSERTION(186, ALL, "a fixed mapping is where it is wanted, whatever was there")
{
    struct scene s;
    unsigned char *place = pages(PAGES + 2), byte = 0;
    stage(&s);
    memset(place, 0x77, (PAGES + 2) * P);
    void *address = place + P;
    OK(rsm_memseg_import_map(s.i, &address, RSM_MAP_FIXED, RSM_PERM_RDWR, 0, SZ));
    CHECK(address == place + P);
    FILLED(place + P, 0, SZ);
    CHECK(place[P - 1] == 0x77 && place[P + SZ] == 0x77);
    place[P + 5] = 5;
    arrive(&s);
    e_read(&s, 5, &byte, 1);
    CHECK(byte == 5);
    OK(rsm_memseg_import_unmap(s.i));
    CHECK(place[P - 1] == 0x77 && place[P + SZ] == 0x77);
}

ASSERTION(187, ALL, "a fixed mapping begins with a page")
{
    struct scene s;
    unsigned char *place = pages(PAGES + 1);
    stage(&s);
    void *address = place + 8;
    EXPECT(RSMERR_BAD_MEM_ALIGNMENT, rsm_memseg_import_map(s.i, &address, RSM_MAP_FIXED, RSM_PERM_RDWR, 0, P));
    CHECK(address == place + 8);
    FILLED(place, 0, P);
    map_all(&s);
}

ASSERTION(188, ALL, "the address means nothing otherwise")
{
    struct scene s;
    static const uintptr_t hints[] = {0, 0x1234567, 0xdeadbeefdeadbeef, 8, 0x1000, ~(uintptr_t)0xFFF};
    stage(&s);
    for (size_t k = 0; k < sizeof hints / sizeof *hints; k++) {
        void *address = (void *)hints[k];
        OK(rsm_memseg_import_map(s.i, &address, RSM_MAP_NONE, RSM_PERM_RDWR, 0, P));
        CHECK(address != NULL && (uintptr_t)address % P == 0);
        *(volatile char *)address = 1;
        OK(rsm_memseg_import_unmap(s.i));
    }
    /* An address that is in use is not taken. */
    unsigned char *mine = pages(1);
    void *address = mine;
    mine[0] = 0x66;
    OK(rsm_memseg_import_map(s.i, &address, RSM_MAP_NONE, RSM_PERM_RDWR, 0, P));
    CHECK(address != mine && mine[0] == 0x66);
    OK(rsm_memseg_import_unmap(s.i));
    /* Attributes without meaning are ignored (D-46). */
    OK(rsm_memseg_import_map(s.i, &address, RSM_MAP_RESERVED, RSM_PERM_RDWR, 0, P));
}

ASSERTION(189, ALL, "a mapping is the exporter's memory")
{
    struct scene s;
    stage(&s);
    unsigned char *mapping = map_all(&s), *copy = malloc(SZ);
    fill(mapping, 1, SZ);
    arrive(&s);
    e_read(&s, 0, copy, SZ);
    CHECK(is_pattern(copy, 1, SZ));
    fill(copy, 2, SZ);
    e_write(&s, 0, copy, SZ);
    /* Through a lens, when the library looks next. */
    EVENTUALLY(10000, is_pattern(mapping, 2, SZ));
}

ASSERTION(190, ALL, "transfers reach what is mapped")
{
    struct scene s;
    uint64_t data = 0x0807060504030201, seen = 0;
    stage(&s);
    unsigned char *mapping = map(&s, RSM_PERM_RDWR, P, P);
    OK(rsm_memseg_import_put64(s.i, (off_t)P, &data, 1));
    SAME(mapping, &data, 8);
    e_read(&s, P, &seen, 8);
    CHECK(seen == data);
    OK(rsm_memseg_import_put64(s.i, (off_t)(2 * P) - 8, &data, 1));
    EXPECT(RSMERR_BAD_OFFSET, rsm_memseg_import_put64(s.i, 0, &data, 1));
    EXPECT(RSMERR_BAD_OFFSET, rsm_memseg_import_put64(s.i, (off_t)P - 8, &data, 1));
    EXPECT(RSMERR_BAD_OFFSET, rsm_memseg_import_put64(s.i, (off_t)(2 * P), &data, 1));
    EXPECT(RSMERR_BAD_OFFSET, rsm_memseg_import_get(s.i, (off_t)(2 * P) - 4, &data, 8));
    OK(rsm_memseg_import_put(s.i, (off_t)(2 * P), &data, 0));
    EXPECT(RSMERR_BAD_OFFSET, rsm_memseg_import_put(s.i, 0, &data, 0));
    /* So do vectors. */
    rsm_iovec_t entry = {.io_type = RSM_VA_TYPE, .local = {.vaddr = (char *)&data}, .transfer_length = 8};
    rsm_scat_gath_t io = {.io_request_count = 1, .remote_handle = s.i, .iovec = &entry};
    EXPECT(RSMERR_BAD_OFFSET, rsm_memseg_import_putv(&io));
    entry.remote_offset = P + 16;
    OK(rsm_memseg_import_putv(&io));
    SAME(mapping + 16, &data, 8);
}

ASSERTION(191, ALL, "a failed map leaves the address as it is")
{
    struct scene s;
    stage(&s);
    refused(RSMERR_BAD_LENGTH, &s, RSM_MAP_NONE, RSM_PERM_RDWR, 0, 0);
    refused(RSMERR_BAD_MEM_ALIGNMENT, &s, RSM_MAP_NONE, RSM_PERM_RDWR, 1, 1);
    refused(RSMERR_BAD_PERMS, &s, RSM_MAP_NONE, 0700, 0, P);
    OK(e_unpublish(&s));
    refused(RSMERR_CONN_ABORTED, &s, RSM_MAP_NONE, RSM_PERM_RDWR, 0, P);
}

ASSERTION(192, ALL, "unmap of NULL, of what is no import, and of what is not mapped")
{
    struct scene s;
    stage(&s);
    EXPECT(RSMERR_BAD_SEG_HNDL, rsm_memseg_import_unmap(NULL));
    EXPECT(RSMERR_BAD_SEG_HNDL, rsm_memseg_import_unmap((rsm_memseg_import_handle_t)s.controller));
    EXPECT(RSMERR_SEG_NOT_MAPPED, rsm_memseg_import_unmap(s.i));
}

/* Other memory in the place of a page of a mapping, as a program gets it that unmapped the page itself. */
static void put_own_page(unsigned char *mapping, size_t page, unsigned char byte)
{
    unsigned char *place = mapping + page * P;
    CHECK(munmap(place, P) == 0);
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
    CHECK(mmap(place, P, PROT_READ | PROT_WRITE, flags, -1, 0) == place);
    memset(place, byte, P);
}

ASSERTION(193, ALL, "a mapped import is unmapped, then disconnected")
{
    struct scene s;
    stage(&s);
    map(&s, RSM_PERM_RDWR, 0, SZ);
    OK(rsm_memseg_import_unmap(s.i));
    EXPECT(RSMERR_SEG_NOT_MAPPED, rsm_memseg_import_unmap(s.i));
    OK(rsm_memseg_import_disconnect(s.i));
    /* What the program has put there itself meanwhile is the program's: unmap leaves it alone, and so does an abort. */
    OK(rsm_memseg_import_connect(s.controller, s.node, s.id, RSM_PERM_RDWR, &s.i));
    unsigned char *mapping = map_all(&s);
    put_own_page(mapping, 1, 0x5A);
    e_fill(&s, 0x11);
    OK(rsm_memseg_import_unmap(s.i));
    FILLED(mapping + P, 0x5A, P);
    OK(rsm_memseg_import_disconnect(s.i));
    FILLED(mapping + P, 0x5A, P);
    CHECK(munmap(mapping + P, P) == 0);
    OK(rsm_memseg_import_connect(s.controller, s.node, s.id, RSM_PERM_RDWR, &s.i));
    mapping = map_all(&s);
    put_own_page(mapping, 1, 0x5A);
    OK(e_unpublish(&s));
    put_own_page(mapping, 2, 0x5B);
    mapping[0] = mapping[3 * P] = 0x77;
    FILLED(mapping + P, 0x5A, P);
    CHECK(e_filled(&s, 0x11));
    OK(rsm_memseg_import_unmap(s.i));
    OK(rsm_memseg_import_disconnect(s.i));
    FILLED(mapping + P, 0x5A, P);
    FILLED(mapping + 2 * P, 0x5B, P);
}

static sigjmp_buf back;

static void on_fault(int signal)
{
    siglongjmp(back, signal);
}

ASSERTION(194, ALL, "a store to a mapping to read faults")
{
    struct scene s;
    uint8_t byte = 9;
    stage(&s);
    volatile unsigned char *mapping = map(&s, RSM_PERM_READ, 0, SZ);
    const struct sigaction action = {.sa_handler = on_fault};
    CHECK(mapping[0] == 0);
    sigaction(SIGSEGV, &action, NULL);
    const int signal = sigsetjmp(back, 1);
    if (signal == 0) {
        mapping[0] = 1;
        fail(__FILE__, __LINE__, "the store went through");
    }
    CHECK(signal == SIGSEGV);
    CHECK(e_filled(&s, 0));
    /* A put through it is refused instead (D-38). */
    EXPECT(RSMERR_PERM_DENIED, rsm_memseg_import_put8(s.i, 0, &byte, 1));
    OK(rsm_memseg_import_get8(s.i, 0, &byte, 1));
    CHECK(byte == 0);
}

ASSERTION(195, ALL, "a mapping of 3000 bytes")
{
    struct scene s;
    uint8_t byte = 1;
    stage(&s);
    unsigned char *mapping = map(&s, RSM_PERM_RDWR, P, 3000);
    mapping[2999] = 2;
    OK(rsm_memseg_import_put8(s.i, (off_t)P + 2999, &byte, 1));
    EXPECT(RSMERR_BAD_OFFSET, rsm_memseg_import_put8(s.i, (off_t)P + 3000, &byte, 1));
    CHECK(mapping[2999] == 1);
    OK(rsm_memseg_import_unmap(s.i));
}

ASSERTION(196, ALL, "map with no permission")
{
    struct scene s;
    stage(&s);
    refused(RSMERR_BAD_PERMS, &s, RSM_MAP_NONE, RSM_PERM_NONE, 0, P);
}

ASSERTION(197, ALL, "map before the beginning")
{
    struct scene s;
    stage(&s);
    refused(RSMERR_BAD_OFFSET, &s, RSM_MAP_NONE, RSM_PERM_RDWR, -(off_t)P, P);
    refused(RSMERR_BAD_OFFSET, &s, RSM_MAP_NONE, RSM_PERM_RDWR, -(off_t)P, 2 * P);
    refused(RSMERR_BAD_OFFSET, &s, RSM_MAP_NONE, RSM_PERM_RDWR, INT64_MIN, P);
}
