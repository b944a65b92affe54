/* connect and disconnect. */
#include "suite.h"

#include <sys/stat.h>

/* A handle that nobody has given out. */
static const uintptr_t GARBAGE = 0x1234;

static int try_connect(struct scene *s, rsm_permission_t permission)
{
    rsm_memseg_import_handle_t i = (rsm_memseg_import_handle_t)GARBAGE;
    const int code = rsm_memseg_import_connect(s->controller, s->node, s->id, permission, &i);
    if (code == RSM_SUCCESS)
        OK(rsm_memseg_import_disconnect(i));
    else
        CHECK(i == NULL);
    return code;
}

ASSERTION(122, ALL, "connect without a controller")
{
    struct scene s;
    rsm_memseg_import_handle_t i;
    stage(&s);
    EXPECT(RSMERR_BAD_CTLR_HNDL, rsm_memseg_import_connect(NULL, s.node, s.id, RSM_PERM_RDWR, &i));
    EXPECT(RSMERR_BAD_CTLR_HNDL, rsm_memseg_import_connect(NULL, s.node, s.id, 0700, NULL));
    EXPECT(RSMERR_BAD_CTLR_HNDL,
           rsm_memseg_import_connect((rsmapi_controller_handle_t)s.i, s.node, s.id, RSM_PERM_RDWR, &i));
}

ASSERTION(123, ALL, "connect without a place for the handle")
{
    struct scene s;
    stage(&s);
    EXPECT(RSMERR_BAD_SEG_HNDL, rsm_memseg_import_connect(s.controller, s.node, s.id, RSM_PERM_RDWR, NULL));
    EXPECT(RSMERR_BAD_SEG_HNDL, rsm_memseg_import_connect(s.controller, s.node, s.id, 0700, NULL));
}

/* The other node has no process yet: as if it had published nothing, for the link to it is up. */
static void before_the_other_node_joins(void)
{
    rsm_memseg_import_handle_t i;
    const rsmapi_controller_handle_t c = open_controller();
    const rsm_node_id_t there = 3 - local_node();
    EXPECT(RSMERR_SEG_NOT_PUBLISHED, rsm_memseg_import_connect(c, there, ID, RSM_PERM_RDWR, &i));
    CHECK(i == NULL);
    EXPECT(RSMERR_REMOTE_NODE_UNREACHABLE, rsm_memseg_import_connect(c, 3, ID, RSM_PERM_RDWR, &i));
    OK(rsm_release_controller(c));
}

ASSERTION(124, ALL, "an id that nobody has published")
{
    struct scene s;
    if (context == NODES) {
        /* By a child: the peer starts before this process has used the library. */
        const pid_t child = fork_child();
        if (child == 0) {
            before_the_other_node_joins();
            _exit(0);
        }
        join_child(child);
    }
    begin(&s);
    s.id = ID + 77;
    EXPECT(RSMERR_SEG_NOT_PUBLISHED, try_connect(&s, RSM_PERM_RDWR));
    s.id = 1;
    EXPECT(RSMERR_SEG_NOT_PUBLISHED, try_connect(&s, RSM_PERM_RDWR));
    s.id = 0;
    EXPECT(RSMERR_SEG_NOT_PUBLISHED, try_connect(&s, RSM_PERM_RDWR));
}

ASSERTION(125, LOCAL, "a bound segment is not published")
{
    struct scene s;
    rsm_memseg_export_handle_t e;
    begin(&s);
    s.id = ID;
    OK(rsm_memseg_export_create(s.controller, &e, pages(1), P, 0));
    EXPECT(RSMERR_SEG_NOT_PUBLISHED, try_connect(&s, RSM_PERM_RDWR));
}

ASSERTION(126, LOOPBACK, "the loopback reaches its own node only")
{
    struct scene s;
    stage(&s);
    const rsm_node_id_t others[] = {s.node + 1, 0, 63, 64, 0xFFFFFFFFu};
    for (size_t k = 0; k < sizeof others / sizeof *others; k++) {
        s.node = others[k];
        EXPECT(RSMERR_CTLR_NOT_PRESENT, try_connect(&s, RSM_PERM_RDWR));
    }
}

ASSERTION(127, ALL, "a permission with other bits is denied")
{
    struct scene s;
    stage(&s);
    EXPECT(RSMERR_PERM_DENIED, try_connect(&s, 0700));
    EXPECT(RSMERR_PERM_DENIED, try_connect(&s, 0004));
    EXPECT(RSMERR_PERM_DENIED, try_connect(&s, 0xFFFFFFFFu));
    s.id++;
    EXPECT(RSMERR_PERM_DENIED, try_connect(&s, 0700));
}

ASSERTION(128, ALL, "the same user connects to read and write by default")
{
    struct scene s;
    drop_to_nobody();
    begin(&s);
    export_to(&s, 0, NULL, 0);
    OK(try_connect(&s, RSM_PERM_RDWR));
    if (s.peer != NULL || geteuid() == 0)
        return;
    /* The umask is that of the create (D-16). */
    rsm_memseg_export_handle_t e;
    umask(0200);
    OK(rsm_memseg_export_create(s.controller, &e, pages(1), P, 0));
    umask(022);
    s.id = ID + 1;
    OK(rsm_memseg_export_publish(e, &s.id, NULL, 0));
    OK(try_connect(&s, RSM_PERM_READ));
    EXPECT(RSMERR_PERM_DENIED, try_connect(&s, RSM_PERM_WRITE));
}

/* E of root; the peer, which is to import, another user. */
static void export_as_root(struct scene *s, rsm_permission_t permission, bool group)
{
    need_root();
    memset(s, 0, sizeof *s);
    struct peer *peer = start_peer();
    s->controller = open_controller();
    s->node = local_node();
    struct message m;
    memset(&m, 0, sizeof m);
    m.act = NODE;
    const rsm_node_id_t other = (rsm_node_id_t)ask_message(peer, m).a;
    export_to(s, 0, permission == 0 ? NULL : ENTRY(other, permission), permission == 0 ? 0 : 1);
    /* As root it is let in whatever the list says; what counts is who it is at the connect. */
    OK(ask(peer, CONNECT, s->node, ID, RSM_PERM_RDWR));
    OK(ask(peer, DISCONNECT, 0, 0, 0));
    OK(ask(peer, DROP, group, 0, 0));
    s->peer = peer;
}

static int connect_as_nobody(struct scene *s, rsm_permission_t permission)
{
    const int code = ask(s->peer, CONNECT, s->node, ID, permission);
    if (code == RSM_SUCCESS)
        OK(ask(s->peer, DISCONNECT, 0, 0, 0));
    return code;
}

ASSERTION(129, ALL, "with a umask of 022 other users read by default")
{
    struct scene s;
    export_as_root(&s, 0, false);
    OK(connect_as_nobody(&s, RSM_PERM_READ));
    EXPECT(RSMERR_PERM_DENIED, connect_as_nobody(&s, RSM_PERM_WRITE));
    EXPECT(RSMERR_PERM_DENIED, connect_as_nobody(&s, RSM_PERM_RDWR));
}

ASSERTION(130, ALL, "an entry with 0600 lets no other user in")
{
    struct scene s;
    export_as_root(&s, 0600, false);
    EXPECT(RSMERR_PERM_DENIED, connect_as_nobody(&s, RSM_PERM_READ));
    EXPECT(RSMERR_PERM_DENIED, connect_as_nobody(&s, RSM_PERM_RDWR));
}

/* The entry again, with another permission. */
static void republish(struct scene *s, rsm_permission_t permission)
{
    struct message m;
    memset(&m, 0, sizeof m);
    m.act = NODE;
    const rsm_node_id_t other = (rsm_node_id_t)ask_message(s->peer, m).a;
    OK(rsm_memseg_export_republish(s->e, ENTRY(other, permission), 1));
}

ASSERTION(131, ALL, "an entry with 0666 lets other users in; the class a user is in decides")
{
    struct scene s;
    export_as_root(&s, 0666, true);
    OK(connect_as_nobody(&s, RSM_PERM_RDWR));
    /* In the group of the exporter, by a supplementary group. */
    republish(&s, 0060);
    OK(connect_as_nobody(&s, RSM_PERM_RDWR));
    republish(&s, 0646);
    OK(connect_as_nobody(&s, RSM_PERM_READ));
    EXPECT(RSMERR_PERM_DENIED, connect_as_nobody(&s, RSM_PERM_RDWR));
    republish(&s, 0606);
    EXPECT(RSMERR_PERM_DENIED, connect_as_nobody(&s, RSM_PERM_READ));
}

ASSERTION(132, NODES, "a list without the importing node keeps it out, until it is on the list")
{
    struct scene s;
    begin(&s);
    export_to(&s, 0, ENTRY(s.node, 0666), 1);
    EXPECT(RSMERR_SEG_NOT_PUBLISHED_TO_NODE, try_connect(&s, RSM_PERM_READ));
    OK(e_republish(&s, ENTRY(local_node(), 0666), 1));
    OK(try_connect(&s, RSM_PERM_RDWR));
    /* Also while an import of this node is there (D-21). */
    import(&s, RSM_PERM_RDWR);
    OK(e_republish(&s, ENTRY(s.node, 0666), 1));
    EXPECT(RSMERR_SEG_NOT_PUBLISHED_TO_NODE, try_connect(&s, RSM_PERM_READ));
    OK(rsm_memseg_import_put8(s.i, 0, (uint8_t[]){1}, 1));
    /* An entry that gives nothing passes the first filter and fails the second. */
    if (geteuid() != 0) {
        OK(e_republish(&s, ENTRY(local_node(), 0), 1));
        EXPECT(RSMERR_PERM_DENIED, try_connect(&s, RSM_PERM_READ));
    }
}

ASSERTION(133, ALL, "two connects give two independent imports")
{
    struct scene s;
    rsm_memseg_import_handle_t other;
    rsm_barrier_mode_t mode;
    uint8_t byte = 9;
    stage(&s);
    OK(rsm_memseg_import_connect(s.controller, s.node, s.id, RSM_PERM_RDWR, &other));
    CHECK(other != s.i);
    OK(rsm_memseg_import_set_mode(other, RSM_BARRIER_MODE_EXPLICIT));
    OK(rsm_memseg_import_get_mode(s.i, &mode));
    CHECK(mode == RSM_BARRIER_MODE_IMPLICIT);
    map_all(&s);
    void *address = NULL;
    OK(rsm_memseg_import_map(other, &address, RSM_MAP_NONE, RSM_PERM_READ, 0, P));
    OK(rsm_memseg_import_unmap(s.i));
    OK(rsm_memseg_import_disconnect(s.i));
    OK(rsm_memseg_import_get8(other, 0, &byte, 1));
    CHECK(byte == 0);
    EXPECT(RSMERR_BAD_SEG_HNDL, rsm_memseg_import_get8(s.i, 0, &byte, 1));
}

ASSERTION(134, LOCAL, "a process imports its own export")
{
    struct scene s;
    uint64_t words[4] = {1, 2, 3, 4}, back[4] = {0};
    unsigned char bytes[100];
    stage(&s);
    fill(bytes, 1, sizeof bytes);
    OK(rsm_memseg_import_put64(s.i, 8, words, 4));
    OK(rsm_memseg_import_get64(s.i, 8, back, 4));
    SAME(words, back, sizeof words);
    SAME(words, s.memory + 8, sizeof words);
    OK(rsm_memseg_import_put(s.i, 101, bytes, sizeof bytes));
    CHECK(is_pattern(s.memory + 101, 1, sizeof bytes));
    OK(rsm_memseg_import_unmap(s.i));
    unsigned char *mapping = map_all(&s);
    CHECK(mapping != s.memory);
    CHECK(is_pattern(mapping + 101, 1, sizeof bytes));
}

ASSERTION(135, ALL, "after a failed connect the handle is none")
{
    struct scene s;
    begin(&s);
    s.id = ID;
    EXPECT(RSMERR_SEG_NOT_PUBLISHED, try_connect(&s, RSM_PERM_RDWR));
    EXPECT(RSMERR_PERM_DENIED, try_connect(&s, 0700));
    rsm_memseg_import_handle_t i = (rsm_memseg_import_handle_t)GARBAGE;
    CHECK(rsm_memseg_import_connect(s.controller, 62, ID, RSM_PERM_RDWR, &i) != RSM_SUCCESS);
    CHECK(i == NULL);
}

ASSERTION(136, LOCAL, "disconnect of NULL, and of what is no import")
{
    struct scene s;
    stage(&s);
    EXPECT(RSMERR_BAD_SEG_HNDL, rsm_memseg_import_disconnect(NULL));
    EXPECT(RSMERR_BAD_SEG_HNDL, rsm_memseg_import_disconnect((rsm_memseg_import_handle_t)s.e));
    EXPECT(RSMERR_BAD_SEG_HNDL, rsm_memseg_import_disconnect((rsm_memseg_import_handle_t)&s));
    OK(rsm_memseg_import_disconnect(s.i));
    EXPECT(RSMERR_BAD_SEG_HNDL, rsm_memseg_import_disconnect(s.i));
}

ASSERTION(137, ALL, "a mapped import is not disconnected")
{
    struct scene s;
    stage(&s);
    volatile unsigned char *mapping = map_all(&s);
    EXPECT(RSMERR_SEG_STILL_MAPPED, rsm_memseg_import_disconnect(s.i));
    mapping[3] = 3;
    arrive(&s);
    unsigned char byte = 0;
    e_read(&s, 3, &byte, 1);
    CHECK(byte == 3);
}

ASSERTION(138, ALL, "an import that is mapped implicitly is disconnected")
{
    struct scene s;
    uint8_t byte = 1;
    stage(&s);
    OK(rsm_memseg_import_put8(s.i, 0, &byte, 1));
    OK(rsm_memseg_import_disconnect(s.i));
}

ASSERTION(139, ALL, "an import whose poll descriptor is in use is not disconnected")
{
    struct scene s;
    struct pollfd fd;
    uint8_t byte = 1;
    stage(&s);
    OK(rsm_memseg_import_put8(s.i, 0, &byte, 1));
    OK(rsm_memseg_get_pollfd(s.i, &fd));
    EXPECT(RSMERR_POLLFD_IN_USE, rsm_memseg_import_disconnect(s.i));
    /* The implicit mapping has gone by then (D-48); the import works. */
    EXPECT(RSMERR_SEG_NOT_MAPPED, rsm_memseg_import_unmap(s.i));
    OK(rsm_memseg_import_put8(s.i, 0, &byte, 1));
    OK(rsm_memseg_release_pollfd(s.i));
    OK(rsm_memseg_import_disconnect(s.i));
}

ASSERTION(140, ALL, "a disconnect concerns nobody else")
{
    struct scene s;
    rsm_memseg_import_handle_t other;
    uint8_t byte = 7, seen = 0;
    stage(&s);
    OK(rsm_memseg_import_connect(s.controller, s.node, s.id, RSM_PERM_RDWR, &other));
    OK(rsm_memseg_import_disconnect(other));
    OK(rsm_memseg_import_put8(s.i, 5, &byte, 1));
    e_read(&s, 5, &seen, 1);
    CHECK(seen == 7);
    OK(try_connect(&s, RSM_PERM_RDWR));
}
