/* put and get. */
#include "suite.h"

/* Bytes of the exporter's memory. */
static bool e_is(struct scene *s, size_t offset, const void *bytes, size_t length)
{
    unsigned char copy[4096];
    CHECK(length <= sizeof copy);
    e_read(s, offset, copy, length);
    return memcmp(copy, bytes, length) == 0;
}

ASSERTION(141, ALL, "a new import is in implicit mode")
{
    struct scene s;
    rsm_barrier_mode_t mode = RSM_BARRIER_MODE_EXPLICIT;
    stage(&s);
    OK(rsm_memseg_import_get_mode(s.i, &mode));
    CHECK(mode == RSM_BARRIER_MODE_IMPLICIT);
}

/* An import without a barrier. */
static void stage_without_barrier(struct scene *s)
{
    begin(s);
    export_to(s, 0, NULL, 0);
    OK(rsm_memseg_import_connect(s->controller, s->node, s->id, RSM_PERM_RDWR, &s->i));
}

ASSERTION(142, ALL, "implicit mode needs a barrier")
{
    struct scene s;
    uint8_t byte = 1;
    stage_without_barrier(&s);
    EXPECT(RSMERR_BARRIER_UNINITIALIZED, rsm_memseg_import_put8(s.i, 0, &byte, 1));
    EXPECT(RSMERR_BARRIER_UNINITIALIZED, rsm_memseg_import_get8(s.i, 0, &byte, 1));
    EXPECT(RSMERR_BARRIER_UNINITIALIZED, rsm_memseg_import_put(s.i, 0, &byte, 0));
    /* It is looked for after the range, and the failed call has mapped the segment (D-37). */
    EXPECT(RSMERR_BAD_OFFSET, rsm_memseg_import_put8(s.i, (off_t)SZ, &byte, 1));
    OK(rsm_memseg_import_unmap(s.i));
    CHECK(e_filled(&s, 0));
}

ASSERTION(143, ALL, "explicit mode needs no barrier")
{
    struct scene s;
    uint8_t byte = 1;
    stage_without_barrier(&s);
    explicit_mode(&s);
    OK(rsm_memseg_import_put8(s.i, 0, &byte, 1));
    /* Nobody has to see it before a span closes that it is in. */
    OK(rsm_memseg_import_init_barrier(s.i, RSM_BARRIER_SEGMENT, &s.b));
    OK(rsm_memseg_import_open_barrier(&s.b));
    OK(rsm_memseg_import_put8(s.i, 0, &byte, 1));
    OK(rsm_memseg_import_close_barrier(&s.b));
    CHECK(e_is(&s, 0, &byte, 1));
}

ASSERTION(144, ALL, "implicit mode with a barrier")
{
    struct scene s;
    uint8_t byte = 1;
    stage(&s);
    OK(rsm_memseg_import_put8(s.i, 0, &byte, 1));
    CHECK(e_is(&s, 0, &byte, 1));
}

ASSERTION(145, ALL, "elements of every width arrive in host order")
{
    struct scene s;
    uint8_t a[13], a2[13];
    uint16_t b[13], b2[13];
    uint32_t c[13], c2[13];
    uint64_t d[13], d2[13];
    unsigned char back[sizeof d];
    stage(&s);
    for (int mode = 0; mode < 2; mode++) {
        OK(rsm_memseg_import_set_mode(s.i, mode ? RSM_BARRIER_MODE_EXPLICIT : RSM_BARRIER_MODE_IMPLICIT));
        fill(a, 1 + (uint32_t)mode, sizeof a), fill(b, 3, sizeof b), fill(c, 5, sizeof c), fill(d, 7, sizeof d);
#define ROUND(width, put_from, get_to, offset)                                                                         \
    OK(rsm_memseg_import_put##width(s.i, (offset), put_from, 13));                                                     \
    OK(rsm_memseg_import_get(s.i, (offset), back, sizeof put_from));                                                   \
    SAME(back, put_from, sizeof put_from);                                                                             \
    if (mode)                                                                                                          \
        arrive(&s);                                                                                                    \
    CHECK(e_is(&s, (offset), put_from, sizeof put_from));                                                              \
    OK(rsm_memseg_import_get##width(s.i, (offset), get_to, 13));                                                       \
    SAME(get_to, put_from, sizeof put_from);
        ROUND(8, a, a2, 7)
        ROUND(16, b, b2, 130)
        ROUND(32, c, c2, (off_t)P - 12)
        ROUND(64, d, d2, (off_t)P * 2 - 16)
    }
}

ASSERTION(146, ALL, "an odd number of bytes at an odd place, and nothing beside it")
{
    static const struct {
        size_t offset, length;
    } cases[] = {{1, 1}, {3, 7}, {13, 101}, {4093, 9}, {4095, 4099}};
    struct scene s;
    unsigned char *bytes = malloc(SZ), *image = malloc(SZ), *copy = malloc(SZ);
    stage(&s);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        e_fill(&s, 0xEE);
        memset(image, 0xEE, SZ);
        fill(bytes, (uint32_t)k, cases[k].length);
        memcpy(image + cases[k].offset, bytes, cases[k].length);
        OK(rsm_memseg_import_put(s.i, (off_t)cases[k].offset, bytes, cases[k].length));
        e_read(&s, 0, copy, SZ);
        SAME(copy, image, SZ);
        memset(copy, 0xCC, SZ);
        OK(rsm_memseg_import_get(s.i, (off_t)cases[k].offset, copy + 1, cases[k].length));
        SAME(copy + 1, bytes, cases[k].length);
        CHECK(copy[0] == 0xCC && copy[1 + cases[k].length] == 0xCC);
    }
}

/* Every transfer, with the same arguments. */
#define EVERY_PUT(code, i, offset, data, count)                                                                        \
    EXPECT(code, rsm_memseg_import_put8(i, offset, (uint8_t *)(data), count));                                         \
    EXPECT(code, rsm_memseg_import_put16(i, offset, (uint16_t *)(data), count));                                       \
    EXPECT(code, rsm_memseg_import_put32(i, offset, (uint32_t *)(data), count));                                       \
    EXPECT(code, rsm_memseg_import_put64(i, offset, (uint64_t *)(data), count));                                       \
    EXPECT(code, rsm_memseg_import_put(i, offset, data, count))
#define EVERY_GET(code, i, offset, data, count)                                                                        \
    EXPECT(code, rsm_memseg_import_get8(i, offset, (uint8_t *)(data), count));                                         \
    EXPECT(code, rsm_memseg_import_get16(i, offset, (uint16_t *)(data), count));                                       \
    EXPECT(code, rsm_memseg_import_get32(i, offset, (uint32_t *)(data), count));                                       \
    EXPECT(code, rsm_memseg_import_get64(i, offset, (uint64_t *)(data), count));                                       \
    EXPECT(code, rsm_memseg_import_get(i, offset, data, count))

ASSERTION(147, LOCAL, "transfers of NULL, and of what is no import")
{
    struct scene s;
    uint64_t data[2] = {0};
    stage(&s);
    EVERY_PUT(RSMERR_BAD_SEG_HNDL, NULL, 0, data, 1);
    EVERY_GET(RSMERR_BAD_SEG_HNDL, NULL, 0, data, 1);
    EVERY_PUT(RSMERR_BAD_SEG_HNDL, NULL, 1, NULL, 1);
    const rsm_memseg_import_handle_t no_imports[] = {(rsm_memseg_import_handle_t)s.e,
                                                     (rsm_memseg_import_handle_t)s.controller,
                                                     (rsm_memseg_import_handle_t)&s,
                                                     (rsm_memseg_import_handle_t)UINTPTR_MAX,
                                                     (rsm_memseg_import_handle_t)(uintptr_t)1};
    for (size_t k = 0; k < sizeof no_imports / sizeof *no_imports; k++) {
        EVERY_PUT(RSMERR_BAD_SEG_HNDL, no_imports[k], 0, data, 1);
        EVERY_GET(RSMERR_BAD_SEG_HNDL, no_imports[k], 0, data, 1);
    }
    OK(rsm_memseg_import_disconnect(s.i));
    EVERY_PUT(RSMERR_BAD_SEG_HNDL, s.i, 0, data, 1);
    EVERY_GET(RSMERR_BAD_SEG_HNDL, s.i, 0, data, 1);
}

ASSERTION(148, ALL, "transfers without data, even of nothing")
{
    struct scene s;
    stage(&s);
    EVERY_PUT(RSMERR_BAD_ADDR, s.i, 0, NULL, 1);
    EVERY_GET(RSMERR_BAD_ADDR, s.i, 0, NULL, 1);
    EVERY_PUT(RSMERR_BAD_ADDR, s.i, 0, NULL, 0);
    EVERY_GET(RSMERR_BAD_ADDR, s.i, 1, NULL, 0);
}

ASSERTION(149, ALL, "offsets are multiples of the width")
{
    struct scene s;
    uint64_t data[2] = {0};
    stage(&s);
    EXPECT(RSMERR_BAD_MEM_ALIGNMENT, rsm_memseg_import_put16(s.i, 1, (uint16_t *)data, 1));
    EXPECT(RSMERR_BAD_MEM_ALIGNMENT, rsm_memseg_import_get16(s.i, 1, (uint16_t *)data, 1));
    EXPECT(RSMERR_BAD_MEM_ALIGNMENT, rsm_memseg_import_put32(s.i, 2, (uint32_t *)data, 1));
    EXPECT(RSMERR_BAD_MEM_ALIGNMENT, rsm_memseg_import_get32(s.i, 2, (uint32_t *)data, 1));
    EXPECT(RSMERR_BAD_MEM_ALIGNMENT, rsm_memseg_import_put64(s.i, 4, data, 1));
    EXPECT(RSMERR_BAD_MEM_ALIGNMENT, rsm_memseg_import_get64(s.i, 4, data, 1));
    /* Before the range, and of nothing, too. */
    EXPECT(RSMERR_BAD_MEM_ALIGNMENT, rsm_memseg_import_put64(s.i, (off_t)SZ + 4, data, 1));
    EXPECT(RSMERR_BAD_MEM_ALIGNMENT, rsm_memseg_import_put16(s.i, 1, (uint16_t *)data, 0));
    EXPECT(RSMERR_BAD_MEM_ALIGNMENT, rsm_memseg_import_get16(s.i, -1, (uint16_t *)data, 1));
}

ASSERTION(150, ALL, "data is aligned to the width")
{
    struct scene s;
    uint64_t data[2] = {0};
    char *bytes = (char *)data;
    stage(&s);
    EXPECT(RSMERR_BAD_MEM_ALIGNMENT, rsm_memseg_import_put16(s.i, 0, (uint16_t *)(void *)(bytes + 1), 1));
    EXPECT(RSMERR_BAD_MEM_ALIGNMENT, rsm_memseg_import_put32(s.i, 0, (uint32_t *)(void *)(bytes + 2), 1));
    EXPECT(RSMERR_BAD_MEM_ALIGNMENT, rsm_memseg_import_put64(s.i, 0, (uint64_t *)(void *)(bytes + 4), 1));
    EXPECT(RSMERR_BAD_MEM_ALIGNMENT, rsm_memseg_import_get16(s.i, 0, (uint16_t *)(void *)(bytes + 1), 1));
    EXPECT(RSMERR_BAD_MEM_ALIGNMENT, rsm_memseg_import_get32(s.i, 0, (uint32_t *)(void *)(bytes + 2), 1));
    EXPECT(RSMERR_BAD_MEM_ALIGNMENT, rsm_memseg_import_get64(s.i, 0, (uint64_t *)(void *)(bytes + 4), 1));
}

ASSERTION(151, ALL, "the last byte")
{
    struct scene s;
    uint8_t byte = 0x5A, back = 0;
    stage(&s);
    OK(rsm_memseg_import_put8(s.i, (off_t)SZ - 1, &byte, 1));
    OK(rsm_memseg_import_get8(s.i, (off_t)SZ - 1, &back, 1));
    CHECK(back == byte && e_is(&s, SZ - 1, &byte, 1));
}

ASSERTION(152, ALL, "the byte behind the last, and before the first")
{
    struct scene s;
    uint64_t data = 0;
    stage(&s);
    EVERY_PUT(RSMERR_BAD_OFFSET, s.i, (off_t)SZ, &data, 1);
    EVERY_GET(RSMERR_BAD_OFFSET, s.i, (off_t)SZ, &data, 1);
    EVERY_PUT(RSMERR_BAD_OFFSET, s.i, -8, &data, 1);
    EVERY_GET(RSMERR_BAD_OFFSET, s.i, -8, &data, 1);
    EVERY_PUT(RSMERR_BAD_OFFSET, s.i, INT64_MAX - 7, &data, 1);
    EVERY_PUT(RSMERR_BAD_OFFSET, s.i, INT64_MIN, &data, 1);
    EVERY_PUT(RSMERR_BAD_OFFSET, s.i, INT64_MIN, &data, 0);
}

ASSERTION(153, ALL, "the whole segment, and a byte more")
{
    struct scene s;
    unsigned char *bytes = malloc(SZ + 1);
    uint64_t *words = (uint64_t *)(void *)bytes;
    stage(&s);
    memset(bytes, 0x3C, SZ + 1);
    OK(rsm_memseg_import_put(s.i, 0, bytes, SZ));
    CHECK(e_filled(&s, 0x3C));
    memset(bytes, 0x3D, SZ + 1);
    EXPECT(RSMERR_BAD_OFFSET, rsm_memseg_import_put(s.i, 0, bytes, SZ + 1));
    EXPECT(RSMERR_BAD_OFFSET, rsm_memseg_import_get(s.i, 0, bytes, SZ + 1));
    OK(rsm_memseg_import_put64(s.i, 0, words, 0));
    EXPECT(RSMERR_BAD_OFFSET, rsm_memseg_import_put64(s.i, 0, words, SZ / 8 + 1));
    /* Lengths and counts that overflow. */
    EVERY_PUT(RSMERR_BAD_OFFSET, s.i, 0, bytes, SIZE_MAX);
    EVERY_GET(RSMERR_BAD_OFFSET, s.i, 8, bytes, SIZE_MAX);
    EVERY_PUT(RSMERR_BAD_OFFSET, s.i, 8, bytes, SIZE_MAX - 7);
    EXPECT(RSMERR_BAD_OFFSET, rsm_memseg_import_put16(s.i, 0, (uint16_t *)(void *)bytes, SIZE_MAX / 2 + 2));
    EXPECT(RSMERR_BAD_OFFSET, rsm_memseg_import_put32(s.i, 0, (uint32_t *)(void *)bytes, SIZE_MAX / 4 + 2));
    EXPECT(RSMERR_BAD_OFFSET, rsm_memseg_import_get64(s.i, 0, words, SIZE_MAX / 8 + 2));
    CHECK(e_filled(&s, 0x3C));
}

ASSERTION(154, ALL, "nothing at the end")
{
    struct scene s;
    uint64_t data = 0;
    stage(&s);
    EVERY_PUT(RSM_SUCCESS, s.i, (off_t)SZ, &data, 0);
    EVERY_GET(RSM_SUCCESS, s.i, (off_t)SZ, &data, 0);
}

ASSERTION(155, ALL, "nothing behind the end")
{
    struct scene s;
    uint64_t data = 0;
    stage(&s);
    EXPECT(RSMERR_BAD_OFFSET, rsm_memseg_import_put(s.i, (off_t)SZ + 1, &data, 0));
    EXPECT(RSMERR_BAD_OFFSET, rsm_memseg_import_get(s.i, (off_t)SZ + 1, &data, 0));
    EVERY_PUT(RSMERR_BAD_OFFSET, s.i, (off_t)SZ + 8, &data, 0);
}

static void stage_with(struct scene *s, rsm_permission_t permission)
{
    begin(s);
    export_to(s, 0, NULL, 0);
    e_fill(s, 0x21);
    import(s, permission);
}

ASSERTION(156, ALL, "an import to read does not put")
{
    struct scene s;
    uint64_t data = 0;
    stage_with(&s, RSM_PERM_READ);
    EVERY_PUT(RSMERR_PERM_DENIED, s.i, 0, &data, 1);
    /* Before the range is looked at. */
    EVERY_PUT(RSMERR_PERM_DENIED, s.i, (off_t)SZ, &data, 1);
    CHECK(e_filled(&s, 0x21));
}

ASSERTION(157, ALL, "an import to read gets")
{
    struct scene s;
    uint64_t data = 0;
    stage_with(&s, RSM_PERM_READ);
    EVERY_GET(RSM_SUCCESS, s.i, 0, &data, 1);
    CHECK((data & 0xFF) == 0x21);
}

ASSERTION(158, ALL, "an import to write puts and does not get; one to do nothing does neither")
{
    struct scene s;
    uint64_t data = 0x2121212121212121;
    stage_with(&s, RSM_PERM_WRITE);
    EVERY_GET(RSMERR_PERM_DENIED, s.i, 0, &data, 1);
    EVERY_PUT(RSM_SUCCESS, s.i, 0, &data, 1);
    import(&s, RSM_PERM_NONE);
    EVERY_GET(RSMERR_PERM_DENIED, s.i, 0, &data, 1);
    EVERY_PUT(RSMERR_PERM_DENIED, s.i, 0, &data, 1);
}

ASSERTION(159, ALL, "what has been put is in the exporter's memory")
{
    struct scene s;
    stage(&s);
    for (uint64_t round = 1; round <= 100; round++) {
        OK(rsm_memseg_import_set_mode(s.i, round % 2 ? RSM_BARRIER_MODE_IMPLICIT : RSM_BARRIER_MODE_EXPLICIT));
        if (round % 2 == 0)
            OK(rsm_memseg_import_open_barrier(&s.b));
        OK(rsm_memseg_import_put64(s.i, (off_t)(round * 8), &round, 1));
        if (round % 2 == 0)
            OK(rsm_memseg_import_close_barrier(&s.b));
        CHECK(e_is(&s, round * 8, &round, 8));
    }
}

ASSERTION(160, ALL, "what the exporter stores is what an importer gets")
{
    struct scene s;
    stage(&s);
    for (uint64_t round = 1; round <= 100; round++) {
        uint64_t seen = 0;
        e_write(&s, round * 8, &round, 8);
        OK(rsm_memseg_import_get64(s.i, (off_t)(round * 8), &seen, 1));
        CHECK(seen == round);
    }
}

struct writer {
    rsm_memseg_import_handle_t i;
    uint64_t rounds;
    int code;
};

/* Puts words whose halves agree. */
static void *put_words(void *argument)
{
    struct writer *writer = argument;
    for (uint64_t k = 1; k <= writer->rounds && writer->code == RSM_SUCCESS; k++) {
        const uint64_t half = k * 0x9E3779B9u & 0xFFFFFFFF;
        uint64_t words[2] = {half << 32 | half, half << 32 | half};
        writer->code = rsm_memseg_import_put64(writer->i, 64, words, 2);
    }
    return NULL;
}

ASSERTION(161, ALL, "words of 64 bits are put and got whole")
{
    struct scene s;
    struct writer writer = {NULL, (uint64_t)turns(200000), 0};
    rsmapi_barrier_t barrier = {0};
    pthread_t thread;
    stage(&s);
    OK(rsm_memseg_import_connect(s.controller, s.node, s.id, RSM_PERM_RDWR, &writer.i));
    OK(rsm_memseg_import_init_barrier(writer.i, RSM_BARRIER_SEGMENT, &barrier));
    start(put_words, &writer, &thread);
    for (uint64_t k = 0; k < writer.rounds; k++) {
        uint64_t words[2];
        OK(rsm_memseg_import_get64(s.i, 64, words, 2));
        CHECK(words[0] >> 32 == (words[0] & 0xFFFFFFFF));
        CHECK(words[1] >> 32 == (words[1] & 0xFFFFFFFF));
    }
    pthread_join(thread, NULL);
    OK(writer.code);
}

struct half {
    rsm_memseg_import_handle_t i;
    off_t offset;
    unsigned char bytes[1000];
    int code;
};

static void *put_half(void *argument)
{
    struct half *half = argument;
    for (uint32_t round = 0; round < 2000 && half->code == RSM_SUCCESS; round++) {
        fill(half->bytes, round + (uint32_t)half->offset, sizeof half->bytes);
        half->code = rsm_memseg_import_put(half->i, half->offset, half->bytes, sizeof half->bytes);
    }
    return NULL;
}

ASSERTION(162, ALL, "two threads put through one import")
{
    struct scene s;
    pthread_t threads[2];
    stage(&s);
    struct half halves[2] = {{s.i, 0, {0}, 0}, {s.i, 1000, {0}, 0}};
    for (int k = 0; k < 2; k++)
        start(put_half, &halves[k], &threads[k]);
    for (int k = 0; k < 2; k++) {
        pthread_join(threads[k], NULL);
        OK(halves[k].code);
        CHECK(e_is(&s, (size_t)halves[k].offset, halves[k].bytes, sizeof halves[k].bytes));
    }
}
