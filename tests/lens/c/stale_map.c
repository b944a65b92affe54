/*
 * failure / a mapping used after its connection was cut. Node 1 stores records through a mapping of node 2's segment.
 *
 * It puts their numbers, too. RSMERR_CONN_ABORTED says that node 2's segment was taken back. Node 2 publishes it again and
 * node 1 connects again; but a mapping is its connection's. The old one stays where it is, stores through it go nowhere,
 * and the barriers of the new connection know nothing of them.
 */
#include "litmus.h"

enum { RECORD = ROOM, NUMBER = ROOM + 512, READY = ROOM + 1024, ACKNOWLEDGED = ROOM, LEAVE = ROOM + 1032 };

/* Whoever may disturb a cluster may take segments back. This has the own one published all the same. */
static void renew(void)
{
    static uint64_t next;
    if (milliseconds() < next)
        return;
    next = milliseconds() + 5;
    const int error = publish();
    if (error != RSMERR_SEG_ALREADY_PUBLISHED && error != RSMERR_INSUFFICIENT_RESOURCES)
        check(error, "rsm_memseg_export_publish");
}

static void tell_at_last(rsm_node_id_t node, off_t offset, uint64_t value)
{
    int error;
    while ((error = try_tell(node, offset, value)) == RSMERR_CONN_ABORTED) {
        (void)rsm_memseg_import_disconnect(lobby[node]);
        visit(node);
    }
    check(error, "rsm_memseg_import_put64");
}

static volatile uint64_t *map_record(rsm_memseg_import_handle_t box)
{
    void *map = NULL;
    const int error = rsm_memseg_import_map(box, &map, RSM_MAP_NONE, RSM_PERM_RDWR, 0, SEGMENT);
    /* Cut again: there will be another connection. */
    if (error == RSMERR_CONN_ABORTED)
        return NULL;
    check(error, "rsm_memseg_import_map");
    return (volatile uint64_t *)((char *)map + RECORD);
}

/* Tells node 2 that it may end, until it has. This node's segment has to be there for as long. */
static void dismiss(void)
{
    const uint64_t deadline = milliseconds() + PATIENCE;
    for (; is_there(2); spend(1000)) {
        rsm_memseg_import_handle_t import;
        rsmapi_barrier_t barrier;
        uint64_t one = 1;
        renew();
        if (milliseconds() > deadline)
            fail("node 2 does not end");
        if (rsm_memseg_import_connect(controller, 2, SEGMENT_ID, RSM_PERM_RDWR, &import) != RSM_SUCCESS)
            continue;
        CHECK(rsm_memseg_import_init_barrier(import, RSM_BARRIER_SEGMENT, &barrier));
        (void)rsm_memseg_import_put64(import, LEAVE, &one, 1);
        CHECK(rsm_memseg_import_disconnect(import));
    }
}

static void writer(void)
{
    rsmapi_barrier_t barrier;
    rsm_memseg_import_handle_t box = import_from(2, RSM_BARRIER_SEGMENT, &barrier);
    volatile uint64_t *record = map_record(box);

    for (uint64_t n = 1; n <= rounds; n++) {
        for (int error = -1; error != RSM_SUCCESS;) {
            CHECK(rsm_memseg_import_open_barrier(&barrier));
            for (int i = 0; record && i < WORDS; i++)
                record[i] = n;
            (void)rsm_memseg_import_put64(box, NUMBER, &n, 1); /* what becomes of it the close says, too */
            error = rsm_memseg_import_close_barrier(&barrier);
            if (error == RSMERR_CONN_ABORTED) {
                box = import_from(2, RSM_BARRIER_SEGMENT, &barrier);
                if (good)
                    record = map_record(box);
            } else if (error != RSMERR_BARRIER_FAILURE) {
                CHECK(error);
            }
        }
        tell_at_last(2, READY, n);
        await(ACKNOWLEDGED, n);
    }
    dismiss();
}

static void reader(void)
{
    for (uint64_t n = 1; n <= rounds; n++) {
        await(READY, n);
        expect(RECORD, n);
        tell_at_last(1, ACKNOWLEDGED, n);
    }
    await(LEAVE, 1);
}

int main(int argc, char **argv)
{
    meanwhile = renew;
    start(argc, argv, 2, 1000);
    if (me == 1)
        writer();
    else
        reader();
    return 0;
}
