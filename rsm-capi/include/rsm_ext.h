/*
 * What the Remote Shared Memory API has not and programs ask for, in this library only. Its manual page is rsm_ext.
 */
#ifndef _RSM_EXT_H
#define _RSM_EXT_H

#include <rsmapi.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Errors in words. */
extern const char *rsm_ext_strerror(int error);
extern size_t rsm_ext_last_error(int error, char *text, size_t size);

/* The own node, and how many nodes there are; their ids are 1 to that number. */
extern int rsm_ext_node(rsmapi_controller_handle_t controller, rsm_node_id_t *node, unsigned int *nodes);

/* Import. */
extern int rsm_ext_import_connect(rsmapi_controller_handle_t controller, rsm_node_id_t node_id,
    rsm_memseg_id_t segment_id, rsm_permission_t perm, int timeout, rsm_memseg_import_handle_t *im_memseg);
extern int rsm_ext_import_size(rsm_memseg_import_handle_t im_memseg, size_t *size);

/* Memory of the cluster, which no node owns: made by the first who asks, there until the cluster ends. The node it is
 * imported from is RSM_EXT_CLUSTER_NODE. */
#define RSM_EXT_CLUSTER_NODE 0
extern int rsm_ext_common_connect(rsmapi_controller_handle_t controller, rsm_memseg_id_t segment_id, size_t size,
    rsmapi_access_entry_t access_list[], unsigned int access_list_length, rsm_permission_t perm,
    rsm_memseg_import_handle_t *im_memseg);

/* Has the launcher of this process end the run with an exit code, 0 to 255. */
extern int rsm_ext_end_run(int code);

/* Why an importer has left. */
#define RSM_EXT_UNKNOWN 0        /* so many have come and gone since that it is forgotten */
#define RSM_EXT_WITHDRAWN 1      /* the exporter took the segment back */
#define RSM_EXT_REVOKED 2        /* somebody from outside did */
#define RSM_EXT_NODE_KILLED 4    /* somebody from outside killed its node */
#define RSM_EXT_LINK_DOWN 5      /* the link between the two nodes was taken down */
#define RSM_EXT_DISCONNECTED 6   /* it gave the connection back */
#define RSM_EXT_IMPORTER_ENDED 7 /* its process has ended, or has executed another program */

/* An importer that has come or gone. */
typedef struct {
    rsm_node_id_t node;
    uint32_t pid;        /* the process that connected */
    uint64_t connection; /* of the cluster; no other ever has the same */
    unsigned int left;   /* 0: it has connected; 1: it has left */
    unsigned int why;    /* it has left */
} rsm_ext_importer_event_t;

/* Importers of an export. */
extern int rsm_ext_export_watch(rsm_memseg_export_handle_t memseg, int *fd);
extern int rsm_ext_export_next_importer(rsm_memseg_export_handle_t memseg, rsm_ext_importer_event_t *event);

#ifdef __cplusplus
}
#endif

#endif /* _RSM_EXT_H */
