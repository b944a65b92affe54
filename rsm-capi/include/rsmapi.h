/*
 * The Remote Shared Memory API: link with -lrsm. See rsm(3).
 *
 * Every function but one returns RSM_SUCCESS or an RSMERR number; errno means nothing.
 */
#ifndef _RSMAPI_H
#define _RSMAPI_H

#include <poll.h>
#include <sys/param.h>
#include <sys/rsm/rsm_common.h>
#include <sys/rsm/rsmapi_common.h>

/* What segment descriptors report to poll(2); <poll.h> has it unless the feature macros leave it out. */
#ifndef POLLRDNORM
#define POLLRDNORM 0x040
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Controllers. */
extern int rsm_get_controller(char *name, rsmapi_controller_handle_t *controller);
extern int rsm_get_controller_attr(rsmapi_controller_handle_t controller, rsmapi_controller_attr_t *attr);
extern int rsm_release_controller(rsmapi_controller_handle_t controller);

/* Topology. */
extern int rsm_get_interconnect_topology(rsm_topology_t **topology_data);
extern void rsm_free_interconnect_topology(rsm_topology_t *topology_data);

/* Segment ids reserved for applications. */
extern int rsm_get_segmentid_range(const char *appid, rsm_memseg_id_t *baseid, uint32_t *length);

/* Export. */
extern int rsm_memseg_export_create(rsmapi_controller_handle_t controller, rsm_memseg_export_handle_t *memseg,
    void *vaddr, size_t length, unsigned int flags);
extern int rsm_memseg_export_destroy(rsm_memseg_export_handle_t memseg);
extern int rsm_memseg_export_rebind(rsm_memseg_export_handle_t memseg, void *vaddr, long long off, size_t length);
extern int rsm_memseg_export_publish(rsm_memseg_export_handle_t memseg, rsm_memseg_id_t *segment_id,
    rsmapi_access_entry_t access_list[], unsigned int access_list_length);
extern int rsm_memseg_export_unpublish(rsm_memseg_export_handle_t memseg);
extern int rsm_memseg_export_republish(rsm_memseg_export_handle_t memseg, rsmapi_access_entry_t access_list[],
    unsigned int access_list_length);

/* Import: connecting. */
extern int rsm_memseg_import_connect(rsmapi_controller_handle_t controller, rsm_node_id_t node_id,
    rsm_memseg_id_t segment_id, rsm_permission_t perm, rsm_memseg_import_handle_t *im_memseg);
extern int rsm_memseg_import_disconnect(rsm_memseg_import_handle_t im_memseg);

/* Import: reading. */
extern int rsm_memseg_import_get8(rsm_memseg_import_handle_t im_memseg, off_t offset, uint8_t *datap,
    unsigned long rep_cnt);
extern int rsm_memseg_import_get16(rsm_memseg_import_handle_t im_memseg, off_t offset, uint16_t *datap,
    unsigned long rep_cnt);
extern int rsm_memseg_import_get32(rsm_memseg_import_handle_t im_memseg, off_t offset, uint32_t *datap,
    unsigned long rep_cnt);
extern int rsm_memseg_import_get64(rsm_memseg_import_handle_t im_memseg, off_t offset, uint64_t *datap,
    unsigned long rep_cnt);
extern int rsm_memseg_import_get(rsm_memseg_import_handle_t im_memseg, off_t offset, void *dst_addr, size_t length);
extern int rsm_memseg_import_getv(rsm_scat_gath_t *sg_io);

/* Import: writing. */
extern int rsm_memseg_import_put8(rsm_memseg_import_handle_t im_memseg, off_t offset, uint8_t *datap,
    unsigned long rep_cnt);
extern int rsm_memseg_import_put16(rsm_memseg_import_handle_t im_memseg, off_t offset, uint16_t *datap,
    unsigned long rep_cnt);
extern int rsm_memseg_import_put32(rsm_memseg_import_handle_t im_memseg, off_t offset, uint32_t *datap,
    unsigned long rep_cnt);
extern int rsm_memseg_import_put64(rsm_memseg_import_handle_t im_memseg, off_t offset, uint64_t *datap,
    unsigned long rep_cnt);
extern int rsm_memseg_import_put(rsm_memseg_import_handle_t im_memseg, off_t offset, void *src_addr, size_t length);
extern int rsm_memseg_import_putv(rsm_scat_gath_t *sg_io);

/* Import: mapping. */
extern int rsm_memseg_import_map(rsm_memseg_import_handle_t im_memseg, void **address, rsm_attribute_t attr,
    rsm_permission_t perm, off_t offset, size_t length);
extern int rsm_memseg_import_unmap(rsm_memseg_import_handle_t im_memseg);

/* Barriers. */
extern int rsm_memseg_import_init_barrier(rsm_memseg_import_handle_t im_memseg, rsm_barrier_type_t type,
    rsmapi_barrier_t *barrier);
extern int rsm_memseg_import_open_barrier(rsmapi_barrier_t *barrier);
extern int rsm_memseg_import_order_barrier(rsmapi_barrier_t *barrier);
extern int rsm_memseg_import_close_barrier(rsmapi_barrier_t *barrier);
extern int rsm_memseg_import_destroy_barrier(rsmapi_barrier_t *barrier);
extern int rsm_memseg_import_get_mode(rsm_memseg_import_handle_t im_memseg, rsm_barrier_mode_t *mode);
extern int rsm_memseg_import_set_mode(rsm_memseg_import_handle_t im_memseg, rsm_barrier_mode_t mode);

/* Signals. The first argument is an export or an import. */
extern int rsm_intr_signal_post(void *memseg, unsigned int flags);
extern int rsm_intr_signal_wait(void *memseg, int timeout);
extern int rsm_intr_signal_wait_pollfd(struct pollfd fds[], nfds_t nfds, int timeout, int *numfdsp);
extern int rsm_memseg_get_pollfd(void *memseg, struct pollfd *fd);
extern int rsm_memseg_release_pollfd(void *memseg);

/* Local memory for scatter/gather lists; local_vaddr is a caddr_t. */
extern int rsm_create_localmemory_handle(rsmapi_controller_handle_t controller, rsm_localmemory_handle_t *l_handle,
    char *local_vaddr, size_t length);
extern int rsm_free_localmemory_handle(rsmapi_controller_handle_t controller, rsm_localmemory_handle_t l_handle);

#ifdef __cplusplus
}
#endif

#endif /* _RSMAPI_H */
