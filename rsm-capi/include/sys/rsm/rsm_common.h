/*
 * Numbers and types that everything of the Remote Shared Memory API shares: error numbers, permissions, segment ids,
 * barriers. Programs include <rsmapi.h>.
 */
#ifndef _SYS_RSM_RSM_COMMON_H
#define _SYS_RSM_RSM_COMMON_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#if !defined(__LP64__) && !defined(_LP64)
#error "librsm is for LP64 systems: the layouts of its structures are those of 64-bit programs"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Names that Solaris has in <sys/types.h> and <sys/param.h>. A program whose own headers define them differently
 * defines RSM_NO_SOLARIS_TYPES; nothing here needs them then. caddr_t (a char *) comes from <sys/types.h>, with the
 * feature macros that are in force without -std=c99 and the like; the declarations below say char * instead.
 */
#if !defined(RSM_NO_SOLARIS_TYPES) && !defined(__sun)
#ifndef _RSM_SOLARIS_TYPES
#define _RSM_SOLARIS_TYPES
typedef unsigned char uchar_t;
typedef unsigned int uint_t;
typedef unsigned long ulong_t;
typedef long long offset_t;
#endif
#endif

/* The room for the name of a controller, with its NUL. The topology has 256 bytes for it, whatever this is. */
#ifndef MAXNAMELEN
#define MAXNAMELEN 256
#endif

/* Revisions: of the driver interface, of the library and its plugins, of the functions plugins are given. */
#define RSM_VERSION 5
#define RSM_LIB_VERSION 1
#define RSM_LIB_FUNCS_VERSION 1

typedef uint64_t rsm_addr_t;        /* where a controller is on its interconnect */
typedef uint32_t rsm_node_id_t;     /* a node of the cluster, 0 to 63 */
typedef uint32_t rsm_memseg_id_t;   /* a segment, among those of its node */
typedef uint32_t rsm_permission_t;  /* RSM_PERM_*; in access lists also group and other bits, like a file's mode */

/* Permissions, for connect and map. */
#define RSM_PERM_NONE 0
#define RSM_PERM_READ 0400
#define RSM_PERM_WRITE 0200
#define RSM_PERM_RDWR (RSM_PERM_READ | RSM_PERM_WRITE)

/* Permissions of access lists that do not tell the exporter's user, its group and others apart. */
#ifndef RSM_ACCESS_READ
#define RSM_ACCESS_READ 0444
#endif
#ifndef RSM_ACCESS_WRITE
#define RSM_ACCESS_WRITE 0222
#endif
#ifndef RSM_ACCESS_TRUSTED
#define RSM_ACCESS_TRUSTED 0666
#endif

/*
 * Who uses which segment ids. Publish takes 0 (assign one, from the last range) and 0x400000 to 0x7fffffff.
 */
#define RSM_DRIVER_PRIVATE_ID_BASE 0
#define RSM_DRIVER_PRIVATE_ID_END 0x0FFFFF
#define RSM_CLUSTER_TRANSPORT_ID_BASE 0x100000
#define RSM_CLUSTER_TRANSPORT_ID_END 0x1FFFFF
#define RSM_RSMLIB_ID_BASE 0x200000
#define RSM_RSMLIB_ID_END 0x2FFFFF
#define RSM_DLPI_ID_BASE 0x300000
#define RSM_DLPI_ID_END 0x3FFFFF
#define RSM_HPC_ID_BASE 0x400000
#define RSM_HPC_ID_END 0x4FFFFF
#define RSM_OPS_ID_BASE 0x500000
#define RSM_OPS_ID_END 0x5FFFFF
#define RSM_USER_APP_ID_BASE 0x80000000
#define RSM_USER_APP_ID_END 0xFFFFFFFF

/* How wide an access is: bits of attr_direct_access_sizes and attr_atomic_sizes. */
typedef enum {
    RSM_DAS8 = 1,
    RSM_DAS16 = 2,
    RSM_DAS32 = 4,
    RSM_DAS64 = 8
} rsm_access_size_t;

/* Where import_map maps. RSM_MAP_RESERVED has no meaning. */
typedef enum {
    RSM_MAP_NONE = 0,
    RSM_MAP_FIXED = 1,
    RSM_MAP_RESERVED = 2
} rsm_attribute_t;

/* The name that the Programming Interfaces Guide uses. */
typedef rsm_attribute_t rsm_map_attr_t;

/* What a barrier spans: one import or all to a node, of all threads or (0x10) of the one that opens it. */
typedef enum {
    RSM_BARRIER_SEGMENT = 0x01,
    RSM_BARRIER_NODE = 0x02,
    RSM_BARRIER_SEGMENT_THREAD = 0x11,
    RSM_BARRIER_NODE_THREAD = 0x12
} rsm_barrier_type_t;

/* In the manual, but in no header of Solaris. */
#define RSM_BAR_DEFAULT RSM_BARRIER_NODE

/* Whether transfers of an import bring a barrier of their own. */
typedef enum {
    RSM_BARRIER_MODE_EXPLICIT = 0,
    RSM_BARRIER_MODE_IMPLICIT = 1
} rsm_barrier_mode_t;

/* A barrier as drivers see it; applications use rsmapi_barrier_t. */
typedef union {
    uint64_t u64;
    int64_t i64;
    uint32_t u32[2];
    int32_t i32[2];
    uint16_t u16[4];
    int16_t i16[4];
    uint8_t u8[8];
    int8_t i8[8];
    unsigned char uc[8];
    char c[8];
    void *vp;
} rsm_barrier_component_t;

typedef struct {
    rsm_barrier_component_t comp[4];
} rsm_barrier_t;

#define RSM_SUCCESS 0

/* Errors of the library. */
#define RSMERR_BAD_LIBRARY_VERSION 1
#define RSMERR_BAD_TOPOLOGY_PTR 2
#define RSMERR_BAD_CTLR_HNDL 3
#define RSMERR_CTLR_NOT_PRESENT 4
#define RSMERR_BAD_SEG_HNDL 5
#define RSMERR_SEG_ALREADY_PUBLISHED 6
#define RSMERR_SEG_NOT_PUBLISHED 7
#define RSMERR_SEG_NOT_PUBLISHED_TO_NODE 8
#define RSMERR_SEG_ALREADY_MAPPED 9
#define RSMERR_SEG_STILL_MAPPED 10
#define RSMERR_SEG_NOT_MAPPED 11
#define RSMERR_NOT_CREATOR 12
#define RSMERR_BAD_BARRIER_PTR 13
#define RSMERR_BAD_SGIO 14
#define RSMERR_BAD_LOCALMEM_HNDL 15
#define RSMERR_BAD_ADDR 16
#define RSMERR_BAD_MEM_ALIGNMENT 17
#define RSMERR_BAD_OFFSET 18
#define RSMERR_MISALIGNED_OFFSET 19
#define RSMERR_BAD_LENGTH 20
#define RSMERR_BAD_ACL 21
#define RSMERR_BAD_SEGID 22
#define RSMERR_RESERVED_SEGID 23
#define RSMERR_SEGID_IN_USE 24
#define RSMERR_BAD_MODE 25
#define RSMERR_BAD_PERMS 26
#define RSMERR_PERM_DENIED 27
#define RSMERR_LOCKS_NOT_SUPPORTED 28
#define RSMERR_LOCKS_NOT_ENABLED 29
#define RSMERR_REBIND_NOT_ALLOWED 30
#define RSMERR_INSUFFICIENT_RESOURCES 31
#define RSMERR_INSUFFICIENT_MEM 32
#define RSMERR_MAP_FAILED 33
#define RSMERR_POLLFD_IN_USE 34
#define RSMERR_BARRIER_UNINITIALIZED 35
#define RSMERR_BARRIER_OPEN_FAILED 36
#define RSMERR_BARRIER_NOT_OPENED 37
#define RSMERR_BARRIER_FAILURE 38
#define RSMERR_REMOTE_NODE_UNREACHABLE 39
#define RSMERR_CONN_ABORTED 40
#define RSMERR_INTERRUPTED 41
#define RSMERR_TIMEOUT 42
#define RSMERR_BAD_APPID 43
#define RSMERR_BAD_CONF 44
#define RSMERR_SEG_NOT_CONNECTED 45

/* Errors of drivers. The library returns INTERNAL_ERROR and BAD_ARGS_ERRORS of these. */
#define RSMERR_INTERNAL_ERROR 100
#define RSMERR_BAD_DRIVER_VERSION 101
#define RSMERR_UNSUPPORTED_VERSION 102
#define RSMERR_DRIVER_NAME_IN_USE 103
#define RSMERR_DRIVER_NOT_REGISTERED 104
#define RSMERR_DRIVER_THREAD_RUNNING 105
#define RSMERR_NEED_THREAD_INIT 106
#define RSMERR_THREAD_NOT_INITED 107
#define RSMERR_CTLRS_REGISTERED 108
#define RSMERR_CTLR_NOT_REGISTERED 109
#define RSMERR_CTLR_ALREADY_REGISTERED 110
#define RSMERR_CTLR_IN_USE 111
#define RSMERR_NAME_TOO_LONG 112
#define RSMERR_SEG_PUBLISHED 113
#define RSMERR_SEG_NOT_PUBLISHED_TO_RSM_ADDR 114
#define RSMERR_SEG_IN_USE 115
#define RSMERR_BAD_SENDQ_HNDL 116
#define RSMERR_BAD_ARGS_ERRORS 117
#define RSMERR_BAD_MSTYPE 118
#define RSMERR_NO_BACKING_MEM 119
#define RSMERR_NOT_MEM 120
#define RSMERR_MEM_ALREADY_BOUND 121
#define RSMERR_MEM_NOT_BOUND 122
#define RSMERR_HANDLER_NOT_REGISTERED 123
#define RSMERR_NO_HANDLER 124
#define RSMERR_UNBIND_REBIND_NOT_ALLOWED 125
#define RSMERR_CALLBACKS_NOT_SUPPORTED 126
#define RSMERR_UNSUPPORTED_OPERATION 127
#define RSMERR_RSM_ADDR_UNREACHABLE 128
#define RSMERR_UNKNOWN_RSM_ADDR 129
#define RSMERR_BAD_BARRIER_HNDL 130
#define RSMERR_COMM_ERR_MAYBE_DELIVERED 131
#define RSMERR_COMM_ERR_NOT_DELIVERED 132
#define RSMERR_QUEUE_FENCE_UP 133
#define RSMERR_QUEUE_FULL 134

#ifdef __cplusplus
}
#endif

#endif /* _SYS_RSM_RSM_COMMON_H */
