/*
 * Handles and structures of the Remote Shared Memory API. Programs include <rsmapi.h>.
 */
#ifndef _SYS_RSM_RSMAPI_COMMON_H
#define _SYS_RSM_RSMAPI_COMMON_H

#include <sys/rsm/rsm_common.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Handles. What they hold is the library's; not an address to follow. */
typedef struct __rsmapi_controller_handle *rsmapi_controller_handle_t;
typedef struct __rsm_memseg_export_handle *rsm_memseg_export_handle_t;
typedef struct __rsm_memseg_import_handle *rsm_memseg_import_handle_t;
typedef struct __rsm_localmemory_handle *rsm_localmemory_handle_t;

/* Flags of export_create. */
#define RSM_ALLOW_REBIND 0x01
#define RSM_CREATE_SEG_DONTWAIT 0x02
#define RSM_LOCK_OPS 0x04 /* in the manual only: accepted, does nothing */

/* Flags of a scatter/gather request; the second one also of signal_post. */
#define RSM_IMPLICIT_SIGPOST 0x01
#define RSM_SIGPOST_NO_ACCUMULATE 0x02
#define RSM_SIG_POST_NO_ACCUMULATE RSM_SIGPOST_NO_ACCUMULATE /* as the manual spells it */

/* What a controller can do. */
typedef struct {
    unsigned int attr_direct_access_sizes; /* bit n: accesses of 2^n bytes through a mapping */
    unsigned int attr_atomic_sizes;        /* bit n: those of 2^n bytes are atomic */
    size_t attr_page_size;                 /* bit n: pages of 2^n KiB; for a size in bytes ask sysconf() */
    size_t attr_max_export_segment_size;   /* bytes */
    size_t attr_tot_export_segment_size;   /* bytes */
    unsigned long attr_max_export_segments;
    size_t attr_max_import_map_size;       /* bytes */
    size_t attr_tot_import_map_size;       /* bytes */
    unsigned long attr_max_import_segments;
} rsmapi_controller_attr_t;

/* The connection_state of a remote controller that can be used. */
#define RSM_CONNECTION_ACTIVE 3

/*
 * The topology: one block of memory. connections[0] to connections[local_cntlr_count - 1] point into it, and each of
 * those has remote_cntlr[0] to remote_cntlr[remote_cntlr_count - 1].
 */
typedef struct rsm_topology_hdr {
    rsm_node_id_t local_nodeid;
    unsigned int local_cntlr_count;
} rsm_topology_hdr_t;

typedef struct rsm_connections_hdr {
    char cntlr_name[256];
    rsm_addr_t local_hwaddr;
    int remote_cntlr_count;
} rsm_connections_hdr_t;

typedef struct rsm_remote_cntlr {
    rsm_node_id_t remote_nodeid;
    char remote_cntlrname[256];
    rsm_addr_t remote_hwaddr;
    unsigned int connection_state;
} rsm_remote_cntlr_t;

typedef struct rsm_connection {
    rsm_connections_hdr_t hdr;
    rsm_remote_cntlr_t remote_cntlr[1];
} rsm_connections_t;

typedef struct rsm_topology {
    rsm_topology_hdr_t topology_hdr;
    rsm_connections_t *connections[1];
} rsm_topology_t;

/* One node of an access list, and what its processes may do. */
typedef struct {
    rsm_node_id_t ae_node;
    rsm_permission_t ae_permission;
} rsmapi_access_entry_t;

/* As the Programming Interfaces Guide calls it in its sample program. */
typedef rsmapi_access_entry_t rsm_access_entry_t;

/* Room for a barrier, the program's to provide; the members are the library's. All zero: not initialised. */
typedef struct {
    void *seg;
    uint16_t gnum;
    void *privdata;
} rsmapi_barrier_t;

/* What local memory an entry of a scatter/gather list names. */
#define RSM_HANDLE_TYPE 1 /* local.handle */
#define RSM_VA_TYPE 2     /* local.vaddr */

/* How many entries a list may have. */
#define RSM_MAX_SGIOREQS 16

typedef struct {
    int io_type;
    union {
        rsm_localmemory_handle_t handle;
        char *vaddr; /* a caddr_t */
    } local;
    size_t local_offset;
    size_t remote_offset;
    size_t transfer_length;
} rsm_iovec_t;

typedef struct {
    rsm_node_id_t local_nodeid;      /* not looked at */
    unsigned long io_request_count;  /* entries of iovec */
    unsigned long io_residual_count; /* out: how many of them were not completed */
    unsigned int flags;              /* RSM_IMPLICIT_SIGPOST, RSM_SIGPOST_NO_ACCUMULATE */
    rsm_memseg_import_handle_t remote_handle;
    rsm_iovec_t *iovec;
} rsm_scat_gath_t;

#ifdef __cplusplus
}
#endif

#endif /* _SYS_RSM_RSMAPI_COMMON_H */
