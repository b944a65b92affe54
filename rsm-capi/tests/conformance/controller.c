/* controllers. */
#include "suite.h"

ASSERTION(15, LOOPBACK, "no name is the loopback")
{
    rsmapi_controller_handle_t controller = NULL;
    OK(rsm_get_controller(NULL, &controller));
    CHECK(controller != NULL);
}

ASSERTION(16, LOOPBACK, "every spelling of the loopback is the same controller")
{
    static const char *const names[] = {"loopback", "loopback0", "loopback7", "LOOPBACK", "LoopBack3"};
    rsmapi_controller_handle_t controller = NULL;
    OK(rsm_get_controller(NULL, &controller));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        rsmapi_controller_handle_t other = NULL;
        OK(rsm_get_controller((char *)names[i], &other));
        CHECK(other == controller);
    }
}

ASSERTION(17, LOCAL, "get_controller wants a place for the handle")
{
    EXPECT(RSMERR_BAD_CTLR_HNDL, rsm_get_controller((char *)controller_name(), NULL));
    EXPECT(RSMERR_BAD_CTLR_HNDL, rsm_get_controller(NULL, NULL));
    EXPECT(RSMERR_BAD_CTLR_HNDL, rsm_get_controller((char *)"nosuch0", NULL));
}

ASSERTION(18, ONCE, "an unknown controller is not present")
{
    static const char *const names[] = {"nosuch0", "shm99", "shm", "loopbacks", "../shm0", "shm0 ", "shm00000000000000000001"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        rsmapi_controller_handle_t controller = (rsmapi_controller_handle_t)(uintptr_t)0x1234;
        /* "shm" without digits is unit 0, and leading zeros do not change a unit: either may be the controller shm0. */
        const int code = rsm_get_controller((char *)names[i], &controller);
        if (code == RSM_SUCCESS && (strcmp(names[i], "shm") == 0))
            continue;
        EXPECT(RSMERR_CTLR_NOT_PRESENT, code);
        CHECK(controller == (rsmapi_controller_handle_t)(uintptr_t)0x1234);
    }
}

ASSERTION(19, ONCE, "a name of 300 characters is not present")
{
    char name[301];
    rsmapi_controller_handle_t controller;
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = 0;
    EXPECT(RSMERR_CTLR_NOT_PRESENT, rsm_get_controller(name, &controller));
    memset(name, '7', sizeof name - 1);
    EXPECT(RSMERR_CTLR_NOT_PRESENT, rsm_get_controller(name, &controller));
    memcpy(name, "loopback", 8);
    EXPECT(RSMERR_CTLR_NOT_PRESENT, rsm_get_controller(name, &controller));
}

ASSERTION(20, ONCE, "an empty name and one of digits only are not present")
{
    rsmapi_controller_handle_t controller;
    EXPECT(RSMERR_CTLR_NOT_PRESENT, rsm_get_controller((char *)"", &controller));
    EXPECT(RSMERR_CTLR_NOT_PRESENT, rsm_get_controller((char *)"0", &controller));
    EXPECT(RSMERR_CTLR_NOT_PRESENT, rsm_get_controller((char *)"42", &controller));
}

ASSERTION(21, LOCAL, "a controller is counted: two gets outlive one release")
{
    rsmapi_controller_attr_t attributes;
    const rsmapi_controller_handle_t controller = open_controller();
    CHECK(open_controller() == controller);
    OK(rsm_release_controller(controller));
    OK(rsm_get_controller_attr(controller, &attributes));
}

ASSERTION(22, LOCAL, "release_controller releases")
{
    OK(rsm_release_controller(open_controller()));
}

ASSERTION(23, ONCE, "release_controller of NULL")
{
    EXPECT(RSMERR_BAD_CTLR_HNDL, rsm_release_controller(NULL));

}

ASSERTION(24, LOCAL, "a released handle is refused")
{
    rsmapi_controller_attr_t attributes;
    const rsmapi_controller_handle_t controller = open_controller();
    OK(rsm_release_controller(controller));
    const int code = rsm_get_controller_attr(controller, &attributes);
    CHECK(code == RSMERR_BAD_CTLR_HNDL || code == RSMERR_CTLR_NOT_PRESENT);
    EXPECT(RSMERR_BAD_CTLR_HNDL, rsm_release_controller(controller));
    /* Nor are garbage and handles of another kind taken for a controller. */
    EXPECT(RSMERR_BAD_CTLR_HNDL, rsm_get_controller_attr((rsmapi_controller_handle_t)&attributes, &attributes));
    EXPECT(RSMERR_BAD_CTLR_HNDL, rsm_get_controller_attr((rsmapi_controller_handle_t)UINTPTR_MAX, &attributes));
    OK(rsm_get_controller_attr(open_controller(), &attributes));
}

ASSERTION(25, LOCAL, "get_controller_attr of NULL")
{
    rsmapi_controller_attr_t attributes;
    open_controller();
    EXPECT(RSMERR_BAD_CTLR_HNDL, rsm_get_controller_attr(NULL, &attributes));
}

ASSERTION(26, LOCAL, "get_controller_attr wants a place for the attributes")
{
    EXPECT(RSMERR_BAD_ADDR, rsm_get_controller_attr(open_controller(), NULL));
}

ASSERTION(27, ONCE, "the controller is looked at before the place")
{
    EXPECT(RSMERR_BAD_CTLR_HNDL, rsm_get_controller_attr(NULL, NULL));
}

static rsmapi_controller_attr_t attributes_of_controller(void)
{
    rsmapi_controller_attr_t attributes;
    memset(&attributes, 0, sizeof attributes);
    OK(rsm_get_controller_attr(open_controller(), &attributes));
    return attributes;
}

ASSERTION(28, LOCAL, "there is a page size, and no limit of zero")
{
    const rsmapi_controller_attr_t a = attributes_of_controller();
    CHECK(a.attr_page_size != 0);
    CHECK(a.attr_max_export_segment_size != 0 && a.attr_tot_export_segment_size != 0);
    CHECK(a.attr_max_export_segments != 0 && a.attr_max_import_segments != 0);
    CHECK(a.attr_max_import_map_size != 0 && a.attr_tot_import_map_size != 0);
}

ASSERTION(29, LOCAL, "the page size is a mask of KiB")
{
    const rsmapi_controller_attr_t a = attributes_of_controller();
    CHECK(a.attr_page_size & (P / 1024));
    if (P != 4096)
        skip("pages are of %zu bytes", P);
    CHECK(a.attr_page_size & 0x4);
}

ASSERTION(30, LOCAL, "accesses of 1 to 8 bytes are possible and atomic")
{
    const rsmapi_controller_attr_t a = attributes_of_controller();
    CHECK((a.attr_direct_access_sizes & 0xF) == 0xF);
    /* Through a lens, what is stored to a mapping is the importer's until it arrives. */
    CHECK((a.attr_atomic_sizes & 0xF) == (through_a_lens() ? a.attr_atomic_sizes : 0xF));
}

ASSERTION(31, SHM0 | NODES, "a segment larger than the controller allows is refused")
{
    struct scene s;
    begin(&s);
    rsmapi_controller_attr_t a;
    OK(rsm_get_controller_attr(s.controller, &a));
    const size_t length = a.attr_max_export_segment_size / P * P + P;
    if (length < P)
        skip("there is no larger length");
    rsm_memseg_export_handle_t e;
    EXPECT(RSMERR_BAD_LENGTH, rsm_memseg_export_create(s.controller, &e, pages(1), length, 0));
}

ASSERTION(32, ALL, "a segment outlives its controller's handle")
{
    struct scene s;
    begin(&s);
    rsm_memseg_export_handle_t e;
    rsm_memseg_id_t id = ID + 1;
    OK(rsm_memseg_export_create(s.controller, &e, pages(1), P, 0));
    OK(rsm_release_controller(s.controller));
    EXPECT(RSMERR_BAD_CTLR_HNDL, rsm_release_controller(s.controller));
    OK(rsm_memseg_export_publish(e, &id, NULL, 0));
    rsm_memseg_import_handle_t i;
    OK(rsm_memseg_import_connect(open_controller(), local_node(), id, RSM_PERM_RDWR, &i));
    OK(rsm_memseg_import_disconnect(i));
    OK(rsm_memseg_export_destroy(e));
}
