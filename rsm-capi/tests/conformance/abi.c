/* layouts, numbers, names. */
#define _GNU_SOURCE
#include "suite.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <rsm/rsmpai.h>
#include <stddef.h>

ASSERTION(1, ONCE, "the structures of the topology have their sizes")
{
    CHECK(sizeof(rsm_topology_hdr_t) == 8);
    CHECK(sizeof(rsm_connections_hdr_t) == 272);
    CHECK(sizeof(rsm_remote_cntlr_t) == 280);
    CHECK(sizeof(rsm_connections_t) == 552);
    CHECK(sizeof(rsm_topology_t) == 16);
    CHECK(offsetof(rsm_topology_hdr_t, local_cntlr_count) == 4);
    CHECK(offsetof(rsm_connections_hdr_t, local_hwaddr) == 256);
    CHECK(offsetof(rsm_connections_hdr_t, remote_cntlr_count) == 264);
    CHECK(offsetof(rsm_remote_cntlr_t, remote_cntlrname) == 4);
    CHECK(offsetof(rsm_remote_cntlr_t, remote_hwaddr) == 264);
    CHECK(offsetof(rsm_remote_cntlr_t, connection_state) == 272);
    CHECK(offsetof(rsm_connections_t, remote_cntlr) == 272);
    CHECK(offsetof(rsm_topology_t, connections) == 8);
    CHECK(MAXNAMELEN == 256);
}

ASSERTION(2, ONCE, "the other structures have their sizes")
{
    CHECK(sizeof(rsmapi_controller_attr_t) == 64);
    CHECK(sizeof(rsmapi_access_entry_t) == 8);
    CHECK(sizeof(rsmapi_barrier_t) == 24);
    CHECK(sizeof(rsm_iovec_t) == 40);
    CHECK(sizeof(rsm_scat_gath_t) == 48);
    CHECK(sizeof(rsm_barrier_component_t) == 8);
    CHECK(sizeof(rsm_barrier_t) == 32);
    CHECK(sizeof(rsm_addr_t) == 8 && sizeof(rsm_node_id_t) == 4);
    CHECK(sizeof(rsm_memseg_id_t) == 4 && sizeof(rsm_permission_t) == 4);
    CHECK(sizeof(rsm_attribute_t) == 4 && sizeof(rsm_barrier_type_t) == 4 && sizeof(rsm_barrier_mode_t) == 4);
    CHECK(offsetof(rsmapi_access_entry_t, ae_permission) == 4);
    CHECK(offsetof(rsmapi_barrier_t, gnum) == 8 && offsetof(rsmapi_barrier_t, privdata) == 16);
}

ASSERTION(3, ONCE, "the members of rsm_iovec_t have their places")
{
    CHECK(offsetof(rsm_iovec_t, io_type) == 0);
    CHECK(offsetof(rsm_iovec_t, local) == 8);
    CHECK(offsetof(rsm_iovec_t, local.handle) == 8 && offsetof(rsm_iovec_t, local.vaddr) == 8);
    CHECK(offsetof(rsm_iovec_t, local_offset) == 16);
    CHECK(offsetof(rsm_iovec_t, remote_offset) == 24);
    CHECK(offsetof(rsm_iovec_t, transfer_length) == 32);
}

ASSERTION(4, ONCE, "the members of rsm_scat_gath_t have their places")
{
    CHECK(offsetof(rsm_scat_gath_t, local_nodeid) == 0);
    CHECK(offsetof(rsm_scat_gath_t, io_request_count) == 8);
    CHECK(offsetof(rsm_scat_gath_t, io_residual_count) == 16);
    CHECK(offsetof(rsm_scat_gath_t, flags) == 24);
    CHECK(offsetof(rsm_scat_gath_t, remote_handle) == 32);
    CHECK(offsetof(rsm_scat_gath_t, iovec) == 40);
}

ASSERTION(5, ONCE, "the members of rsmapi_controller_attr_t have their places")
{
    CHECK(offsetof(rsmapi_controller_attr_t, attr_direct_access_sizes) == 0);
    CHECK(offsetof(rsmapi_controller_attr_t, attr_atomic_sizes) == 4);
    CHECK(offsetof(rsmapi_controller_attr_t, attr_page_size) == 8);
    CHECK(offsetof(rsmapi_controller_attr_t, attr_max_export_segment_size) == 16);
    CHECK(offsetof(rsmapi_controller_attr_t, attr_tot_export_segment_size) == 24);
    CHECK(offsetof(rsmapi_controller_attr_t, attr_max_export_segments) == 32);
    CHECK(offsetof(rsmapi_controller_attr_t, attr_max_import_map_size) == 40);
    CHECK(offsetof(rsmapi_controller_attr_t, attr_tot_import_map_size) == 48);
    CHECK(offsetof(rsmapi_controller_attr_t, attr_max_import_segments) == 56);
}

ASSERTION(6, ONCE, "the permissions have their values")
{
    CHECK(RSM_PERM_READ == 0400 && RSM_PERM_WRITE == 0200 && RSM_PERM_RDWR == 0600 && RSM_PERM_NONE == 0);
}

ASSERTION(7, ONCE, "the flags have their values")
{
    CHECK(RSM_ALLOW_REBIND == 1 && RSM_CREATE_SEG_DONTWAIT == 2);
    CHECK(RSM_IMPLICIT_SIGPOST == 1 && RSM_SIGPOST_NO_ACCUMULATE == 2);
}

ASSERTION(8, ONCE, "the numbers of scatter/gather and of the topology have their values")
{
    CHECK(RSM_HANDLE_TYPE == 1 && RSM_VA_TYPE == 2 && RSM_MAX_SGIOREQS == 16 && RSM_CONNECTION_ACTIVE == 3);
    CHECK(RSM_VERSION == 5 && RSM_LIB_VERSION == 1 && RSM_LIB_FUNCS_VERSION == 1);
    CHECK(RSM_DAS8 == 1 && RSM_DAS16 == 2 && RSM_DAS32 == 4 && RSM_DAS64 == 8);
}

ASSERTION(9, ONCE, "barrier modes and attributes of map have their values")
{
    CHECK(RSM_BARRIER_MODE_EXPLICIT == 0 && RSM_BARRIER_MODE_IMPLICIT == 1);
    CHECK(RSM_MAP_NONE == 0 && RSM_MAP_FIXED == 1 && RSM_MAP_RESERVED == 2);
}

ASSERTION(10, ONCE, "the barrier types have their values")
{
    CHECK(RSM_BARRIER_SEGMENT == 1 && RSM_BARRIER_NODE == 2);
    CHECK(RSM_BARRIER_SEGMENT_THREAD == 0x11 && RSM_BARRIER_NODE_THREAD == 0x12);
}

ASSERTION(11, ONCE, "every error has its number")
{
    static const struct {
        const char *name;
        int is, ought;
    } codes[] = {
#define CODE(name, number) {#name, RSMERR_##name, number}
        CODE(BAD_LIBRARY_VERSION, 1), CODE(BAD_TOPOLOGY_PTR, 2), CODE(BAD_CTLR_HNDL, 3), CODE(CTLR_NOT_PRESENT, 4),
        CODE(BAD_SEG_HNDL, 5), CODE(SEG_ALREADY_PUBLISHED, 6), CODE(SEG_NOT_PUBLISHED, 7),
        CODE(SEG_NOT_PUBLISHED_TO_NODE, 8), CODE(SEG_ALREADY_MAPPED, 9), CODE(SEG_STILL_MAPPED, 10),
        CODE(SEG_NOT_MAPPED, 11), CODE(NOT_CREATOR, 12), CODE(BAD_BARRIER_PTR, 13), CODE(BAD_SGIO, 14),
        CODE(BAD_LOCALMEM_HNDL, 15), CODE(BAD_ADDR, 16), CODE(BAD_MEM_ALIGNMENT, 17), CODE(BAD_OFFSET, 18),
        CODE(MISALIGNED_OFFSET, 19), CODE(BAD_LENGTH, 20), CODE(BAD_ACL, 21), CODE(BAD_SEGID, 22),
        CODE(RESERVED_SEGID, 23), CODE(SEGID_IN_USE, 24), CODE(BAD_MODE, 25), CODE(BAD_PERMS, 26),
        CODE(PERM_DENIED, 27), CODE(LOCKS_NOT_SUPPORTED, 28), CODE(LOCKS_NOT_ENABLED, 29),
        CODE(REBIND_NOT_ALLOWED, 30), CODE(INSUFFICIENT_RESOURCES, 31), CODE(INSUFFICIENT_MEM, 32),
        CODE(MAP_FAILED, 33), CODE(POLLFD_IN_USE, 34), CODE(BARRIER_UNINITIALIZED, 35), CODE(BARRIER_OPEN_FAILED, 36),
        CODE(BARRIER_NOT_OPENED, 37), CODE(BARRIER_FAILURE, 38), CODE(REMOTE_NODE_UNREACHABLE, 39),
        CODE(CONN_ABORTED, 40), CODE(INTERRUPTED, 41), CODE(TIMEOUT, 42), CODE(BAD_APPID, 43), CODE(BAD_CONF, 44),
        CODE(SEG_NOT_CONNECTED, 45), CODE(INTERNAL_ERROR, 100), CODE(BAD_DRIVER_VERSION, 101),
        CODE(UNSUPPORTED_VERSION, 102), CODE(DRIVER_NAME_IN_USE, 103), CODE(DRIVER_NOT_REGISTERED, 104),
        CODE(DRIVER_THREAD_RUNNING, 105), CODE(NEED_THREAD_INIT, 106), CODE(THREAD_NOT_INITED, 107),
        CODE(CTLRS_REGISTERED, 108), CODE(CTLR_NOT_REGISTERED, 109), CODE(CTLR_ALREADY_REGISTERED, 110),
        CODE(CTLR_IN_USE, 111), CODE(NAME_TOO_LONG, 112), CODE(SEG_PUBLISHED, 113),
        CODE(SEG_NOT_PUBLISHED_TO_RSM_ADDR, 114), CODE(SEG_IN_USE, 115), CODE(BAD_SENDQ_HNDL, 116),
        CODE(BAD_ARGS_ERRORS, 117), CODE(BAD_MSTYPE, 118), CODE(NO_BACKING_MEM, 119), CODE(NOT_MEM, 120),
        CODE(MEM_ALREADY_BOUND, 121), CODE(MEM_NOT_BOUND, 122), CODE(HANDLER_NOT_REGISTERED, 123),
        CODE(NO_HANDLER, 124), CODE(UNBIND_REBIND_NOT_ALLOWED, 125), CODE(CALLBACKS_NOT_SUPPORTED, 126),
        CODE(UNSUPPORTED_OPERATION, 127), CODE(RSM_ADDR_UNREACHABLE, 128), CODE(UNKNOWN_RSM_ADDR, 129),
        CODE(BAD_BARRIER_HNDL, 130), CODE(COMM_ERR_MAYBE_DELIVERED, 131), CODE(COMM_ERR_NOT_DELIVERED, 132),
        CODE(QUEUE_FENCE_UP, 133), CODE(QUEUE_FULL, 134),
    };
    CHECK(RSM_SUCCESS == 0);
    CHECK(sizeof codes / sizeof *codes == 45 + 35);
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (codes[i].is != codes[i].ought)
            fail(__FILE__, __LINE__, "RSMERR_%s is %d, not %d", codes[i].name, codes[i].is, codes[i].ought);
}

/* Made from rsmapi.h by whoever builds this. */
static const char *const functions[] = {
#include "functions.h"
};
enum { FUNCTIONS = sizeof functions / sizeof *functions };

/* How many symbols a shared object has, as its GNU hash table tells: the last chain's end. */
static uint32_t symbol_count(const uint32_t *hash)
{
    const uint32_t buckets = hash[0], first = hash[1], bloom_words = hash[2];
    const uint32_t *bucket = hash + 4 + bloom_words * (sizeof(ElfW(Addr)) / sizeof *hash);
    const uint32_t *chain = bucket + buckets;
    uint32_t last = 0;
    for (uint32_t i = 0; i < buckets; i++)
        if (bucket[i] > last)
            last = bucket[i];
    if (last < first)
        return first;
    while ((chain[last - first] & 1) == 0)
        last++;
    return last + 1;
}

ASSERTION(12, ONCE, "the shared object exports the 42 functions, rsm_ext_*, rsm_race_*, and nothing else")
{
    CHECK(FUNCTIONS == 42);
    Dl_info info;
    struct link_map *map = NULL;
    CHECK(dladdr1(dlsym(RTLD_DEFAULT, "rsm_get_controller"), &info, (void **)&map, RTLD_DL_LINKMAP) != 0);
    if (strstr(info.dli_fname, "librsm") == NULL)
        fail(__FILE__, __LINE__, "rsm_get_controller is in %s", info.dli_fname);

    const ElfW(Sym) *symbols = NULL;
    const char *names = NULL, *soname = NULL;
    const uint32_t *hash = NULL;
    for (const ElfW(Dyn) *entry = map->l_ld; entry->d_tag != DT_NULL; entry++) {
        if (entry->d_tag == DT_SYMTAB)
            symbols = (const ElfW(Sym) *)entry->d_un.d_ptr;
        if (entry->d_tag == DT_STRTAB)
            names = (const char *)entry->d_un.d_ptr;
        if (entry->d_tag == DT_GNU_HASH)
            hash = (const uint32_t *)entry->d_un.d_ptr;
    }
    CHECK(symbols != NULL && names != NULL && hash != NULL);
    for (const ElfW(Dyn) *entry = map->l_ld; entry->d_tag != DT_NULL; entry++)
        if (entry->d_tag == DT_SONAME)
            soname = names + entry->d_un.d_val;
    CHECK(soname != NULL && strcmp(soname, "librsm.so.2") == 0);

    int found = 0;
    for (uint32_t i = 1, count = symbol_count(hash); i < count; i++) {
        const unsigned char bind = ELF64_ST_BIND(symbols[i].st_info);
        if (symbols[i].st_shndx == SHN_UNDEF || (bind != STB_GLOBAL && bind != STB_WEAK))
            continue;
        /* The name of a version node is a symbol, too. */
        if (symbols[i].st_shndx == SHN_ABS)
            continue;
        const char *name = names + symbols[i].st_name;
        /* What rsm_ext.h and rsm/race.h have beyond the RSMAPI; which that is, is tested where an installation is. */
        if (strncmp(name, "rsm_ext_", 8) == 0 || strncmp(name, "rsm_race_", 9) == 0)
            continue;
        bool known = false;
        for (int k = 0; k < FUNCTIONS; k++)
            known |= strcmp(name, functions[k]) == 0;
        if (!known)
            fail(__FILE__, __LINE__, "%s is exported", name);
        found++;
    }
    CHECK(found == FUNCTIONS);
}

#ifdef CONFORMANCE_CXX
int conformance_cxx(void); /* cxx.cpp */
#endif

ASSERTION(13, ONCE, "a C++ program compiles, links and calls")
{
#ifdef CONFORMANCE_CXX
    CHECK(conformance_cxx() == 0);
#else
    skip("there is no C++ compiler");
#endif
}

ASSERTION(14, ONCE, "the aliases and extensions compile")
{
    rsm_access_entry_t entry = {1, RSM_PERM_READ};
    const rsmapi_access_entry_t *same = &entry;
    const rsm_map_attr_t attribute = RSM_MAP_FIXED;
    CHECK(same->ae_node == 1 && attribute == RSM_MAP_FIXED);
    CHECK(RSM_SIG_POST_NO_ACCUMULATE == RSM_SIGPOST_NO_ACCUMULATE);
    CHECK(RSM_LOCK_OPS == 4);
    CHECK(RSM_BAR_DEFAULT == RSM_BARRIER_NODE);
    const uchar_t a = 1;
    const uint_t b = 1;
    const ulong_t c = 1;
    const offset_t d = -1;
    CHECK(sizeof a == 1 && sizeof b == 4 && sizeof c == 8 && sizeof d == 8 && d < 0);
}
