/*
 * rsmtest: two nodes, one segment.
 *
 *     cc -o rsmtest rsmtest.c $(pkg-config --cflags --libs rsm)
 *
 *     rsmtest -e -n 2        on node 1: exports a segment to node 2
 *     rsmtest -i -n 1        on node 2: imports it from node 1
 *
 * With rsm-ctl, on one machine:
 *
 *     rsm-ctl run -n 2 -- sh -c 'if [ $RSM_NODE_ID = 1 ]; then ./rsmtest -e -n 2; else ./rsmtest -i -n 1; fi'
 *
 * The importer writes a message in two ways, by put and through a mapping, each within a barrier, and signals. The
 * exporter checks what has arrived, answers in its own memory, and signals back.
 */
#define _POSIX_C_SOURCE 200809L

#include <rsmapi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SEGMENT_ID 0x400000
#define SEGMENT_PAGES 16

/* What is where in the segment. */
#define PUT_PART 0       /* written by put */
#define PUT_DONE 1024    /* then this word says so */
#define MAPPED_PART 4096 /* written through the mapping */
#define ANSWER_PART 8192 /* written by the exporter */

#define TIMEOUT 20000 /* milliseconds, for the other side to do its part */

static const char put_message[] = "put, by the importer";
static const char mapped_message[] = "stored through a mapping, by the importer";
static const char answer[] = "read, by the exporter";

/* Ends the program unless a call has succeeded. */
static void check(int error, const char *call)
{
    if (error == RSM_SUCCESS)
        return;
    fprintf(stderr, "rsmtest: %s: error %d\n", call, error);
    exit(1);
}
#define CHECK(call) check((call), #call)

static void require(int condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "rsmtest: %s\n", what);
    exit(1);
}

static void rest(void)
{
    struct timespec pause = {0, 10 * 1000 * 1000};
    nanosleep(&pause, NULL);
}

/*
 * Finds a controller that reaches `remote`, and says which node this is. The other node may not be up yet: the path
 * to it is active from its first process on.
 */
static int find_controller(rsm_node_id_t remote, char name[MAXNAMELEN], rsm_node_id_t *local)
{
    rsm_topology_t *topology;
    int found = 0;

    CHECK(rsm_get_interconnect_topology(&topology));
    *local = topology->topology_hdr.local_nodeid;
    for (unsigned i = 0; !found && i < topology->topology_hdr.local_cntlr_count; i++) {
        rsm_connections_t *connections = topology->connections[i];
        for (int j = 0; !found && j < connections->hdr.remote_cntlr_count; j++) {
            const rsm_remote_cntlr_t *path = &connections->remote_cntlr[j];
            if (path->remote_nodeid == remote && path->connection_state == RSM_CONNECTION_ACTIVE) {
                memcpy(name, connections->hdr.cntlr_name, MAXNAMELEN);
                found = 1;
            }
        }
    }
    rsm_free_interconnect_topology(topology);
    return found;
}

static rsmapi_controller_handle_t open_controller(rsm_node_id_t remote, rsm_node_id_t *local)
{
    rsmapi_controller_handle_t controller;
    rsmapi_controller_attr_t attributes;
    char name[MAXNAMELEN];

    for (int tries = 0; !find_controller(remote, name, local); tries++) {
        require(tries < TIMEOUT / 10, "there is no path to the other node");
        rest();
    }
    CHECK(rsm_get_controller(name, &controller));
    CHECK(rsm_get_controller_attr(controller, &attributes));
    printf("node %u reaches node %u by %s (segments of up to %zu bytes)\n", (unsigned)*local, (unsigned)remote, name,
           attributes.attr_max_export_segment_size);
    return controller;
}

static void export_segment(rsm_node_id_t importer)
{
    rsm_node_id_t local;
    const rsmapi_controller_handle_t controller = open_controller(importer, &local);
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), length = SEGMENT_PAGES * page;
    rsm_memseg_export_handle_t segment;
    rsm_memseg_id_t id = SEGMENT_ID;
    void *memory = NULL;

    require(posix_memalign(&memory, page, length) == 0, "no memory");
    memset(memory, 0, length);
    CHECK(rsm_memseg_export_create(controller, &segment, memory, length, RSM_ALLOW_REBIND));

    /* This node may read; the importer's may do both. */
    rsmapi_access_entry_t access[2] = {{0, 0}, {0, 0}};
    access[0].ae_node = local;
    access[0].ae_permission = RSM_ACCESS_READ;
    access[1].ae_node = importer;
    access[1].ae_permission = RSM_ACCESS_TRUSTED;
    CHECK(rsm_memseg_export_publish(segment, &id, access, 2));

    /* The importer signals when everything is there. */
    CHECK(rsm_intr_signal_wait(segment, TIMEOUT));
    const char *bytes = memory;
    require(strcmp(bytes + PUT_PART, put_message) == 0, "what was put has not arrived");
    require(*(const uint64_t *)(const void *)(bytes + PUT_DONE) == sizeof put_message, "nor has its length");
    require(strcmp(bytes + MAPPED_PART, mapped_message) == 0, "what was stored has not arrived");
    printf("node %u was sent: \"%s\" and \"%s\"\n", (unsigned)local, bytes + PUT_PART, bytes + MAPPED_PART);

    memcpy((char *)memory + ANSWER_PART, answer, sizeof answer);
    CHECK(rsm_intr_signal_post(segment, 0));

    /* It signals again when it has read the answer. */
    CHECK(rsm_intr_signal_wait(segment, TIMEOUT));
    CHECK(rsm_memseg_export_unpublish(segment));
    CHECK(rsm_memseg_export_destroy(segment));
    free(memory);
    CHECK(rsm_release_controller(controller));
    printf("node %u: exporter passed\n", (unsigned)local);
}

/* Connect does not wait for a segment to be published. */
static rsm_memseg_import_handle_t connect_segment(rsmapi_controller_handle_t controller, rsm_node_id_t exporter)
{
    rsm_memseg_import_handle_t segment;

    for (int tries = 0; tries < TIMEOUT / 10; tries++) {
        const int error = rsm_memseg_import_connect(controller, exporter, SEGMENT_ID, RSM_PERM_RDWR, &segment);
        if (error == RSM_SUCCESS)
            return segment;
        if (error != RSMERR_SEG_NOT_PUBLISHED && error != RSMERR_INTERRUPTED)
            check(error, "rsm_memseg_import_connect");
        rest();
    }
    require(0, "nothing is published");
    return NULL;
}

static void import_segment(rsm_node_id_t exporter)
{
    rsm_node_id_t local;
    const rsmapi_controller_handle_t controller = open_controller(exporter, &local);
    const rsm_memseg_import_handle_t segment = connect_segment(controller, exporter);
    rsmapi_barrier_t barrier;
    void *mapping = NULL;
    char received[sizeof answer];

    memset(&barrier, 0, sizeof barrier);
    CHECK(rsm_memseg_import_init_barrier(segment, RSM_BARRIER_NODE, &barrier));
    CHECK(rsm_memseg_import_set_mode(segment, RSM_BARRIER_MODE_EXPLICIT));

    /* The message is there before the word that says so; and that both are there, the close says. */
    uint64_t done = sizeof put_message;
    CHECK(rsm_memseg_import_open_barrier(&barrier));
    CHECK(rsm_memseg_import_put(segment, PUT_PART, (void *)put_message, sizeof put_message));
    CHECK(rsm_memseg_import_order_barrier(&barrier));
    CHECK(rsm_memseg_import_put64(segment, PUT_DONE, &done, 1));
    CHECK(rsm_memseg_import_close_barrier(&barrier));

    /* The puts have mapped the segment for themselves, and it is mapped once. */
    CHECK(rsm_memseg_import_unmap(segment));
    CHECK(rsm_memseg_import_map(segment, &mapping, RSM_MAP_NONE, RSM_PERM_RDWR, 0,
                                SEGMENT_PAGES * (size_t)sysconf(_SC_PAGESIZE)));
    CHECK(rsm_memseg_import_open_barrier(&barrier));
    memcpy((char *)mapping + MAPPED_PART, mapped_message, sizeof mapped_message);
    CHECK(rsm_memseg_import_close_barrier(&barrier));

    CHECK(rsm_intr_signal_post(segment, 0));
    CHECK(rsm_intr_signal_wait(segment, TIMEOUT));
    CHECK(rsm_memseg_import_open_barrier(&barrier));
    CHECK(rsm_memseg_import_get(segment, ANSWER_PART, received, sizeof received));
    CHECK(rsm_memseg_import_close_barrier(&barrier));
    require(memcmp(received, answer, sizeof answer) == 0, "the answer is another one");
    printf("node %u was answered: \"%s\"\n", (unsigned)local, received);

    /* From this signal on the exporter may take the segment back. */
    CHECK(rsm_intr_signal_post(segment, 0));
    CHECK(rsm_memseg_import_destroy_barrier(&barrier));
    CHECK(rsm_memseg_import_unmap(segment));
    CHECK(rsm_memseg_import_disconnect(segment));
    CHECK(rsm_release_controller(controller));
    printf("node %u: importer passed\n", (unsigned)local);
}

static int usage(void)
{
    fprintf(stderr, "usage: rsmtest -e -n NODE    export to NODE\n"
                    "       rsmtest -i -n NODE    import from NODE\n");
    return 2;
}

int main(int argc, char **argv)
{
    int option, role = 0;
    long node = -1;

    while ((option = getopt(argc, argv, "ein:")) != -1) {
        char *end = NULL;
        switch (option) {
        case 'e':
        case 'i':
            role = option;
            break;
        case 'n':
            node = strtol(optarg, &end, 10);
            if (end == optarg || *end != 0)
                return usage();
            break;
        default:
            return usage();
        }
    }
    if (role == 0 || node < 0 || optind != argc)
        return usage();
    if (role == 'e')
        export_segment((rsm_node_id_t)node);
    else
        import_segment((rsm_node_id_t)node);
    return 0;
}
