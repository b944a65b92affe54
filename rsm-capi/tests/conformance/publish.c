/* publish, unpublish, republish. */
#include "suite.h"

/* A bound segment of one page. */
static rsm_memseg_export_handle_t bound(void)
{
    rsm_memseg_export_handle_t e = NULL;
    OK(rsm_memseg_export_create(open_controller(), &e, pages(1), P, 0));
    return e;
}

static int publish(rsm_memseg_export_handle_t e, rsm_memseg_id_t id)
{
    return rsm_memseg_export_publish(e, &id, NULL, 0);
}

static int try_connect(struct scene *s, rsm_memseg_id_t id, rsm_permission_t permission)
{
    rsm_memseg_import_handle_t i = NULL;
    const int code = rsm_memseg_import_connect(s->controller, s->node, id, permission, &i);
    if (code == RSM_SUCCESS)
        OK(rsm_memseg_import_disconnect(i));
    return code;
}

ASSERTION(66, LOCAL, "publish wants an id")
{
    EXPECT(RSMERR_BAD_SEGID, rsm_memseg_export_publish(bound(), NULL, NULL, 0));
    EXPECT(RSMERR_BAD_SEGID, rsm_memseg_export_publish(NULL, NULL, NULL, 1));
}

ASSERTION(67, LOCAL, "publish of NULL, and of what is no export")
{
    rsm_memseg_id_t id = ID;
    open_controller();
    EXPECT(RSMERR_BAD_SEG_HNDL, rsm_memseg_export_publish(NULL, &id, NULL, 0));
    EXPECT(RSMERR_BAD_SEG_HNDL, rsm_memseg_export_publish(NULL, &id, NULL, 1));
    EXPECT(RSMERR_BAD_SEG_HNDL, rsm_memseg_export_publish((rsm_memseg_export_handle_t)&id, &id, NULL, 0));
}

ASSERTION(68, LOCAL, "publish with a length and no list")
{
    const rsm_memseg_export_handle_t e = bound();
    rsm_memseg_id_t id = ID;
    EXPECT(RSMERR_BAD_ACL, rsm_memseg_export_publish(e, &id, NULL, 1));
    id = 1;
    EXPECT(RSMERR_BAD_ACL, rsm_memseg_export_publish(e, &id, NULL, 1));
}

ASSERTION(69, ALL, "the id 0 is replaced by an assigned one")
{
    struct scene s;
    begin(&s);
    export_to(&s, 0, NULL, 0);
    OK(e_unpublish(&s));
    OK(e_publish(&s, 0, NULL, 0));
    CHECK(s.id >= 0x80000000u);
    OK(try_connect(&s, s.id, RSM_PERM_RDWR));
}

ASSERTION(70, LOCAL, "assigned ids differ, also from those of the past")
{
    rsm_memseg_id_t ids[20];
    for (int k = 0; k < 20; k++) {
        const rsm_memseg_export_handle_t e = bound();
        ids[k] = 0;
        OK(rsm_memseg_export_publish(e, &ids[k], NULL, 0));
        CHECK(ids[k] >= 0x80000000u);
        for (int other = 0; other < k; other++)
            CHECK(ids[other] != ids[k]);
        if (k % 2 == 0)
            OK(rsm_memseg_export_destroy(e));
    }
}

static void publishes(rsm_memseg_id_t id)
{
    rsm_memseg_id_t given = id;
    OK(rsm_memseg_export_publish(bound(), &given, NULL, 0));
    CHECK(given == id);
}

static void reserved(rsm_memseg_id_t id)
{
    rsm_memseg_id_t given = id;
    const rsm_memseg_export_handle_t e = bound();
    EXPECT(RSMERR_RESERVED_SEGID, rsm_memseg_export_publish(e, &given, NULL, 0));
    CHECK(given == id);
    OK(publish(e, ID));
}

ASSERTION(71, LOCAL, "the id 0x400000 is free for programs")
{
    publishes(0x400000);
}

ASSERTION(72, LOCAL, "the id 0x7FFFFFFF is free for programs")
{
    publishes(0x7FFFFFFF);
}

ASSERTION(73, LOCAL, "the id 1 is reserved")
{
    reserved(1);
}

ASSERTION(74, LOCAL, "the id 0x3FFFFF is reserved")
{
    reserved(0x3FFFFF);
}

ASSERTION(75, LOCAL, "the id 0x80000000 is reserved")
{
    reserved(0x80000000u);
}

ASSERTION(76, LOCAL, "the id 0xFFFFFFFF is reserved")
{
    reserved(0xFFFFFFFFu);
}

ASSERTION(77, LOCAL, "the ids of the library are reserved")
{
    reserved(0x200000);
}

ASSERTION(78, LOCAL, "the id 0x500000 is free")
{
    publishes(0x500000);
}

ASSERTION(79, ALL, "a published segment is not published again")
{
    struct scene s;
    stage(&s);
    EXPECT(RSMERR_SEG_ALREADY_PUBLISHED, e_publish(&s, ID + 1, NULL, 0));
    EXPECT(RSMERR_SEG_ALREADY_PUBLISHED, e_publish(&s, 1, NULL, 0));
    OK(try_connect(&s, ID, RSM_PERM_RDWR));
}

ASSERTION(80, LOCAL, "an id is used once on a node")
{
    OK(publish(bound(), ID));
    EXPECT(RSMERR_SEGID_IN_USE, publish(bound(), ID));
}

ASSERTION(81, ALL, "an id is used once among the processes of a node; other nodes are others")
{
    struct scene s;
    begin_far(&s);
    export_to(&s, 0, NULL, 0);
    EXPECT(context == NODES ? RSM_SUCCESS : RSMERR_SEGID_IN_USE, publish(bound(), ID));
}

ASSERTION(82, LOCAL, "after a refused publish another id will do")
{
    const rsm_memseg_export_handle_t e = bound();
    OK(publish(bound(), ID));
    EXPECT(RSMERR_SEGID_IN_USE, publish(e, ID));
    OK(publish(e, ID + 1));
}

ASSERTION(83, LOCAL, "an id is free after unpublish")
{
    const rsm_memseg_export_handle_t e = bound();
    OK(publish(e, ID));
    OK(rsm_memseg_export_unpublish(e));
    OK(publish(bound(), ID));
    EXPECT(RSMERR_SEGID_IN_USE, publish(e, ID));
}

ASSERTION(84, LOCAL, "an id is free after the end of its exporter")
{
    struct scene s;
    begin_far(&s);
    export_to(&s, 0, NULL, 0);
    tell(s.peer, END, 0, 0, 0);
    await_end(s.peer);
    const rsm_memseg_export_handle_t e = bound();
    int code;
    EVENTUALLY(2000, (code = publish(e, ID)) != RSMERR_SEGID_IN_USE);
    OK(code);
}

ASSERTION(85, LOCAL, "a permission above 0666 is refused")
{
    const rsm_memseg_export_handle_t e = bound();
    rsm_memseg_id_t id = ID;
    EXPECT(RSMERR_BAD_ACL, rsm_memseg_export_publish(e, &id, ENTRY(local_node(), 0777), 1));
    EXPECT(RSMERR_BAD_ACL, rsm_memseg_export_publish(e, &id, ENTRY(local_node(), 0667), 1));
    EXPECT(RSMERR_BAD_ACL, rsm_memseg_export_publish(e, &id, ENTRY(local_node(), 0xFFFFFFFFu), 1));
    CHECK(id == ID);
    OK(publish(e, ID));
}

ASSERTION(86, LOCAL, "the permission 0666 is accepted; lower bits below it are ignored")
{
    rsm_memseg_id_t id = ID;
    OK(rsm_memseg_export_publish(bound(), &id, ENTRY(local_node(), 0666), 1));
    id = ID + 1;
    OK(rsm_memseg_export_publish(bound(), &id, ENTRY(local_node(), 0111), 1));
    if (context == LOOPBACK)
        return;
    /* A node that nobody has seen so far is named for when it comes (D-82). */
    id = ID + 2;
    OK(rsm_memseg_export_publish(bound(), &id, ENTRY(63, 0666), 1));
}

ASSERTION(87, LOCAL, "a list of 65 entries is refused")
{
    rsmapi_access_entry_t list[65];
    rsm_memseg_id_t id = ID;
    const rsm_memseg_export_handle_t e = bound();
    for (unsigned k = 0; k < 65; k++)
        list[k] = (rsmapi_access_entry_t){local_node(), 0666};
    EXPECT(RSMERR_BAD_ACL, rsm_memseg_export_publish(e, &id, list, 65));
    EXPECT(RSMERR_BAD_ACL, rsm_memseg_export_publish(e, &id, list, 0xFFFFFFFFu));
    EXPECT(context == LOOPBACK ? RSMERR_BAD_ACL : RSM_SUCCESS, rsm_memseg_export_publish(e, &id, list, 64));
}

ASSERTION(88, LOOPBACK, "the loopback takes one entry")
{
    rsmapi_access_entry_t list[] = {{local_node(), 0666}, {local_node(), 0666}};
    rsm_memseg_id_t id = ID;
    EXPECT(RSMERR_BAD_ACL, rsm_memseg_export_publish(bound(), &id, list, 2));
}

ASSERTION(89, LOOPBACK, "the loopback takes no other node")
{
    rsm_memseg_id_t id = ID;
    EXPECT(RSMERR_BAD_ACL, rsm_memseg_export_publish(bound(), &id, ENTRY(local_node() + 1, 0666), 1));
}

ASSERTION(90, ALL, "an entry for the importing node with 0600 lets the same user in")
{
    struct scene s;
    begin(&s);
    export_to(&s, 0, ENTRY(local_node(), 0600), 1);
    OK(try_connect(&s, ID, RSM_PERM_RDWR));
}

ASSERTION(91, ALL, "without a list every node may connect")
{
    struct scene s;
    begin(&s);
    export_to(&s, 0, NULL, 0);
    OK(try_connect(&s, ID, RSM_PERM_RDWR));
    OK(try_connect(&s, ID, RSM_PERM_READ));
    OK(try_connect(&s, ID, RSM_PERM_WRITE));
}

ASSERTION(92, LOCAL, "a list of length 0 is no list")
{
    struct scene s;
    begin(&s);
    rsm_memseg_id_t id = ID;
    OK(rsm_memseg_export_publish(bound(), &id, ENTRY(63, 0), 0));
    OK(try_connect(&s, ID, RSM_PERM_RDWR));
}

/* What a forked child may not do with its parent's export. */
static void not_creator(int (*call)(rsm_memseg_export_handle_t), rsm_memseg_export_handle_t e)
{
    const pid_t child = fork_child();
    if (child == 0) {
        EXPECT(RSMERR_NOT_CREATOR, call(e));
        _exit(0);
    }
    join_child(child);
}

static int publish_at_id(rsm_memseg_export_handle_t e)
{
    return publish(e, ID);
}

ASSERTION(93, LOCAL, "a forked child may not publish")
{
    struct scene s;
    begin(&s);
    const rsm_memseg_export_handle_t e = bound();
    not_creator(publish_at_id, e);
    EXPECT(RSMERR_SEG_NOT_PUBLISHED, try_connect(&s, ID, RSM_PERM_RDWR));
    OK(publish(e, ID));
}

ASSERTION(94, LOCAL, "the node 64 is refused, also behind good entries")
{
    rsmapi_access_entry_t list[] = {{local_node(), 0666}, {64, 0666}};
    rsm_memseg_id_t id = ID;
    const rsm_memseg_export_handle_t e = bound();
    EXPECT(RSMERR_BAD_ACL, rsm_memseg_export_publish(e, &id, ENTRY(64, 0666), 1));
    EXPECT(RSMERR_BAD_ACL, rsm_memseg_export_publish(e, &id, ENTRY(0xFFFFFFFFu, 0666), 1));
    EXPECT(RSMERR_BAD_ACL, rsm_memseg_export_publish(e, &id, list, 2));
    OK(publish(e, ID));
}

ASSERTION(95, LOCAL, "unpublish of NULL, and of what is no export")
{
    struct scene s;
    stage(&s);
    EXPECT(RSMERR_BAD_SEG_HNDL, rsm_memseg_export_unpublish(NULL));
    EXPECT(RSMERR_BAD_SEG_HNDL, rsm_memseg_export_unpublish((rsm_memseg_export_handle_t)s.i));
}

ASSERTION(96, LOCAL, "unpublish of a bound segment")
{
    EXPECT(RSMERR_SEG_NOT_PUBLISHED, rsm_memseg_export_unpublish(bound()));
}

ASSERTION(97, ALL, "unpublish takes a publish back, once")
{
    struct scene s;
    stage(&s);
    OK(e_unpublish(&s));
    EXPECT(RSMERR_SEG_NOT_PUBLISHED, e_unpublish(&s));
}

ASSERTION(98, ALL, "after unpublish nobody connects")
{
    struct scene s;
    stage(&s);
    OK(e_unpublish(&s));
    EXPECT(RSMERR_SEG_NOT_PUBLISHED, try_connect(&s, ID, RSM_PERM_RDWR));
}

ASSERTION(99, ALL, "after unpublish the segment is published under another id")
{
    struct scene s;
    stage(&s);
    e_fill(&s, 0x42);
    OK(e_unpublish(&s));
    OK(e_publish(&s, ID + 5, NULL, 0));
    OK(try_connect(&s, ID + 5, RSM_PERM_RDWR));
    CHECK(e_filled(&s, 0x42));
}

ASSERTION(100, ALL, "the old id is not found then")
{
    struct scene s;
    stage(&s);
    OK(e_unpublish(&s));
    OK(e_publish(&s, ID + 5, NULL, 0));
    EXPECT(RSMERR_SEG_NOT_PUBLISHED, try_connect(&s, ID, RSM_PERM_RDWR));
}

ASSERTION(101, LOCAL, "a forked child may not unpublish")
{
    struct scene s;
    stage(&s);
    not_creator(rsm_memseg_export_unpublish, s.e);
    OK(try_connect(&s, ID, RSM_PERM_RDWR));
}

ASSERTION(102, LOCAL, "republish of NULL, and of what is no export")
{
    open_controller();
    EXPECT(RSMERR_BAD_SEG_HNDL, rsm_memseg_export_republish(NULL, NULL, 0));
    EXPECT(RSMERR_BAD_SEG_HNDL, rsm_memseg_export_republish(NULL, NULL, 1));
    EXPECT(RSMERR_BAD_SEG_HNDL, rsm_memseg_export_republish((rsm_memseg_export_handle_t)open_controller(), NULL, 0));
}

ASSERTION(103, LOCAL, "republish of a bound segment, whatever the list")
{
    const rsm_memseg_export_handle_t e = bound();
    EXPECT(RSMERR_SEG_NOT_PUBLISHED, rsm_memseg_export_republish(e, NULL, 0));
    EXPECT(RSMERR_SEG_NOT_PUBLISHED, rsm_memseg_export_republish(e, NULL, 1));
}

ASSERTION(104, LOCAL, "republish with a length and no list")
{
    struct scene s;
    stage(&s);
    EXPECT(RSMERR_BAD_ACL, rsm_memseg_export_republish(s.e, NULL, 1));
    OK(try_connect(&s, ID, RSM_PERM_RDWR));
}

ASSERTION(105, ALL, "a republish to readers only refuses writers")
{
    struct scene s;
    drop_to_nobody();
    stage(&s);
    OK(e_republish(&s, ENTRY(local_node(), 0400), 1));
    EXPECT(RSMERR_PERM_DENIED, try_connect(&s, ID, RSM_PERM_RDWR));
    EXPECT(RSMERR_PERM_DENIED, try_connect(&s, ID, RSM_PERM_WRITE));
    OK(try_connect(&s, ID, RSM_PERM_READ));
}

ASSERTION(106, ALL, "a republish leaves the imports there are as they are")
{
    struct scene s;
    uint64_t value = 0x0102030405060708;
    drop_to_nobody();
    stage(&s);
    OK(rsm_memseg_import_put64(s.i, 0, &value, 1));
    OK(e_republish(&s, ENTRY(local_node(), 0400), 1));
    value++;
    OK(rsm_memseg_import_put64(s.i, 8, &value, 1));
    uint64_t seen = 0;
    e_read(&s, 8, &seen, 8);
    CHECK(seen == value);
}

ASSERTION(107, ALL, "after a refused republish the old list is in force")
{
    struct scene s;
    drop_to_nobody();
    begin(&s);
    export_to(&s, 0, ENTRY(local_node(), 0400), 1);
    EXPECT(RSMERR_BAD_ACL, e_republish(&s, ENTRY(local_node(), 0777), 1));
    OK(try_connect(&s, ID, RSM_PERM_READ));
    EXPECT(RSMERR_PERM_DENIED, try_connect(&s, ID, RSM_PERM_RDWR));
    OK(e_republish(&s, ENTRY(local_node(), 0600), 1));
    OK(try_connect(&s, ID, RSM_PERM_RDWR));
}

static int republish_to_all(rsm_memseg_export_handle_t e)
{
    return rsm_memseg_export_republish(e, NULL, 0);
}

ASSERTION(108, LOCAL, "a forked child may not republish")
{
    struct scene s;
    stage(&s);
    not_creator(republish_to_all, s.e);
}

ASSERTION(109, ALL, "a republish does not change the id")
{
    struct scene s;
    stage(&s);
    OK(e_republish(&s, ENTRY(local_node(), 0600), 1));
    OK(try_connect(&s, ID, RSM_PERM_RDWR));
}
