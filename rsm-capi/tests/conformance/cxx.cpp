// a C++ translation unit that includes the header and calls the library.
#include <rsmapi.h>

extern "C" int conformance_cxx();

int conformance_cxx()
{
    rsmapi_controller_handle_t controller = nullptr;
    rsmapi_controller_attr_t attributes = {};
    rsmapi_barrier_t barrier = {};
    if (int code = rsm_get_controller(nullptr, &controller); code != RSM_SUCCESS)
        return code;
    if (int code = rsm_get_controller_attr(controller, &attributes); code != RSM_SUCCESS)
        return code;
    if (rsm_memseg_import_open_barrier(&barrier) != RSMERR_BARRIER_UNINITIALIZED)
        return -1;
    rsm_free_interconnect_topology(nullptr);
    return rsm_release_controller(controller);
}
