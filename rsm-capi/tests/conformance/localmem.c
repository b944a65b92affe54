/* local memory handles, and the file of segment ids. */
#include "suite.h"

ASSERTION(248, LOCAL, "create_localmemory_handle, in order of the checks")
{
    const rsmapi_controller_handle_t controller = open_controller();
    rsm_localmemory_handle_t handle;
    char *memory = (char *)pages(2);
    EXPECT(RSMERR_BAD_ADDR, rsm_create_localmemory_handle(controller, &handle, memory + 1, P));
    EXPECT(RSMERR_BAD_ADDR, rsm_create_localmemory_handle(NULL, NULL, memory + 1, 0));
    EXPECT(RSMERR_BAD_CTLR_HNDL, rsm_create_localmemory_handle(NULL, &handle, memory, P));
    EXPECT(RSMERR_BAD_CTLR_HNDL, rsm_create_localmemory_handle(NULL, NULL, memory, 0));
    EXPECT(RSMERR_BAD_LOCALMEM_HNDL, rsm_create_localmemory_handle(controller, NULL, memory, P));
    EXPECT(RSMERR_BAD_LOCALMEM_HNDL, rsm_create_localmemory_handle(controller, NULL, memory, 0));
    EXPECT(RSMERR_BAD_LENGTH, rsm_create_localmemory_handle(controller, &handle, memory, 0));
    OK(rsm_create_localmemory_handle(controller, &handle, memory, 1));
    CHECK(handle != NULL);
    rsm_localmemory_handle_t other;
    OK(rsm_create_localmemory_handle(controller, &other, memory, 2 * P));
    CHECK(other != handle);
}

ASSERTION(249, LOCAL, "free_localmemory_handle")
{
    const rsmapi_controller_handle_t controller = open_controller();
    rsm_localmemory_handle_t handle;
    OK(rsm_create_localmemory_handle(controller, &handle, (char *)pages(1), P));
    EXPECT(RSMERR_BAD_CTLR_HNDL, rsm_free_localmemory_handle(NULL, handle));
    EXPECT(RSMERR_BAD_CTLR_HNDL, rsm_free_localmemory_handle(NULL, NULL));
    EXPECT(RSMERR_BAD_LOCALMEM_HNDL, rsm_free_localmemory_handle(controller, NULL));
    EXPECT(RSMERR_BAD_LOCALMEM_HNDL, rsm_free_localmemory_handle(controller, (rsm_localmemory_handle_t)controller));
    OK(rsm_free_localmemory_handle(controller, handle));
    EXPECT(RSMERR_BAD_LOCALMEM_HNDL, rsm_free_localmemory_handle(controller, handle));
}

static char path[64];

/* The file of segment ids, with these contents. */
static void write_file(const char *contents)
{
    if (path[0] == 0) {
        strcpy(path, "/tmp/rsm-segmentid-XXXXXX");
        const int file = mkstemp(path);
        CHECK(file >= 0);
        close(file);
        setenv("RSM_SEGMENTID_FILE", path, 1);
    }
    FILE *file = fopen(path, "w");
    CHECK(file != NULL);
    fputs(contents, file);
    CHECK(fclose(file) == 0);
}

/* The file is removed before the verdict, which may end the process. */
static int look_up(const char *contents, const char *appid, rsm_memseg_id_t *base, uint32_t *length)
{
    write_file(contents);
    const int code = rsm_get_segmentid_range(appid, base, length);
    unlink(path);
    return code;
}

static void gives(const char *contents, const char *appid, rsm_memseg_id_t base, uint32_t length)
{
    rsm_memseg_id_t got_base = 0;
    uint32_t got_length = 0;
    OK(look_up(contents, appid, &got_base, &got_length));
    CHECK(got_base == base && got_length == length);
}

static void refuses(int code, const char *contents, const char *appid)
{
    rsm_memseg_id_t base = 4711;
    uint32_t length = 4712;
    EXPECT(code, look_up(contents, appid, &base, &length));
    CHECK(length == 4712);
}

ASSERTION(250, ONCE, "get_segmentid_range wants all its arguments")
{
    rsm_memseg_id_t base;
    uint32_t length;
    EXPECT(RSMERR_BAD_ADDR, rsm_get_segmentid_range(NULL, &base, &length));
    EXPECT(RSMERR_BAD_ADDR, rsm_get_segmentid_range("dbase", NULL, &length));
    EXPECT(RSMERR_BAD_ADDR, rsm_get_segmentid_range("dbase", &base, NULL));
    EXPECT(RSMERR_BAD_ADDR, rsm_get_segmentid_range(NULL, NULL, NULL));
}

ASSERTION(251, ONCE, "no file, and no entry")
{
    rsm_memseg_id_t base;
    uint32_t length;
    setenv("RSM_SEGMENTID_FILE", "/nonexistent/rsm.segmentid", 1);
    EXPECT(RSMERR_BAD_CONF, rsm_get_segmentid_range("dbase", &base, &length));
    refuses(RSMERR_BAD_APPID, "", "dbase");
    refuses(RSMERR_BAD_APPID, "reserved other 0x600000 100\n", "dbase");
    refuses(RSMERR_BAD_APPID, "reserved dbase2 0x600000 100\nreserved dbas 0x600000 100\n", "dbase");
}

ASSERTION(252, ONCE, "an entry")
{
    static const char line[] = "reserved dbase 0x600000 100\n";
    gives(line, "dbase", 0x600000, 100);
    gives(line, "DBase", 0x600000, 100);
    gives("reserved\tDBASE \t 0x600000\t\t100", "dbase", 0x600000, 100);
    gives("reserved other 0x700000 1\nreserved dbase 0x600000 100 and so on\nreserved dbase 0x1 1\n", "dbase", 0x600000,
          100);
}

ASSERTION(253, ONCE, "the base is hexadecimal; comments are skipped")
{
    gives("# reserved dbase 1 1\n  \t# another\nreserved dbase 600000 100\n", "dbase", 0x600000, 100);
    gives("\nreserved dbase AbCdEf 010\n", "dbase", 0xABCDEF, 10);
}

ASSERTION(254, ONCE, "a line that is too short, and numbers that are none")
{
    refuses(RSMERR_BAD_CONF, "reserved other 0x700000\nreserved dbase 0x600000 100\n", "dbase");
    gives("reserved dbase 0x600000 100\nreserved other 0x700000\n", "dbase", 0x600000, 100);
    refuses(RSMERR_BAD_CONF, "reserved dbase 0x1234567890 100\n", "dbase");
    refuses(RSMERR_BAD_CONF, "reserved dbase 0x600000 99999999999\n", "dbase");
}

ASSERTION(255, ONCE, "both spellings of the keyword, and no other")
{
    gives("reserve dbase 0x600000 100\n", "dbase", 0x600000, 100);
    gives("RESERVE dbase 0x600000 100\n", "dbase", 0x600000, 100);
    gives("Reserved dbase 0x600000 100\n", "dbase", 0x600000, 100);
    refuses(RSMERR_BAD_CONF, "reserves dbase 0x600000 100\n", "dbase");
}
