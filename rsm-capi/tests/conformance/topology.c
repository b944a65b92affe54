/* the topology. */
#include "suite.h"

static rsm_topology_t *topology_of(struct scene *s)
{
    rsm_topology_t *topology = NULL;
    begin(s);
    OK(rsm_get_interconnect_topology(&topology));
    CHECK(topology != NULL);
    return topology;
}

ASSERTION(33, ONCE, "get_interconnect_topology wants a place")
{
    EXPECT(RSMERR_BAD_TOPOLOGY_PTR, rsm_get_interconnect_topology(NULL));
}

ASSERTION(34, LOCAL | NODES, "there is a topology, also before anything else has been asked for")
{
    rsm_topology_t *topology = NULL;
    OK(rsm_get_interconnect_topology(&topology));
    CHECK(topology != NULL);
    CHECK(topology->topology_hdr.local_nodeid > 0 && topology->topology_hdr.local_nodeid < 64);
    CHECK(topology->topology_hdr.local_cntlr_count > 0);
    rsm_free_interconnect_topology(topology);
}

ASSERTION(35, ONCE, "free_interconnect_topology of NULL does nothing")
{
    rsm_free_interconnect_topology(NULL);
}

ASSERTION(36, SHM0 | NODES, "the topology is one block, without gaps")
{
    struct scene s;
    rsm_topology_t *topology = topology_of(&s);
    const unsigned count = topology->topology_hdr.local_cntlr_count;
    const char *next = (const char *)topology + 8 + 8 * (size_t)count;
    CHECK(((uintptr_t)topology & 7) == 0);
    for (unsigned i = 0; i < count; i++) {
        const rsm_connections_t *connection = topology->connections[i];
        CHECK((const char *)connection == next);
        CHECK(connection->hdr.remote_cntlr_count >= 0);
        next += 272 + 280 * (size_t)connection->hdr.remote_cntlr_count;
    }
    rsm_free_interconnect_topology(topology);
}

ASSERTION(37, SHM0 | NODES, "the controllers of the topology can be opened")
{
    struct scene s;
    rsm_topology_t *topology = topology_of(&s);
    for (unsigned i = 0; i < topology->topology_hdr.local_cntlr_count; i++) {
        char *name = topology->connections[i]->hdr.cntlr_name;
        const size_t length = strnlen(name, 256);
        CHECK(length > 0 && length < 256);
        FILLED(name + length, 0, 256 - length);
        rsmapi_controller_handle_t controller;
        OK(rsm_get_controller(name, &controller));
        OK(rsm_release_controller(controller));
    }
    rsm_free_interconnect_topology(topology);
}

ASSERTION(38, SHM0 | NODES, "the loopback is not in the topology")
{
    struct scene s;
    rsm_topology_t *topology = topology_of(&s);
    bool shm0 = false;
    for (unsigned i = 0; i < topology->topology_hdr.local_cntlr_count; i++) {
        CHECK(strncmp(topology->connections[i]->hdr.cntlr_name, "loopback", 8) != 0);
        shm0 |= strcmp(topology->connections[i]->hdr.cntlr_name, "shm0") == 0;
    }
    CHECK(shm0);
    rsm_free_interconnect_topology(topology);
}

ASSERTION(39, SHM0 | NODES, "every topology is a block of its own")
{
    struct scene s;
    rsm_topology_t *one = topology_of(&s), *other = NULL;
    OK(rsm_get_interconnect_topology(&other));
    CHECK(other != NULL && other != one);
    CHECK(one->topology_hdr.local_nodeid == other->topology_hdr.local_nodeid);
    CHECK(one->topology_hdr.local_cntlr_count == other->topology_hdr.local_cntlr_count);
    rsm_free_interconnect_topology(one);
    CHECK(other->connections[0] == (void *)((char *)other + 8 + 8 * (size_t)other->topology_hdr.local_cntlr_count));
    rsm_free_interconnect_topology(other);
}

/* The entry of `node` at the controller shm0; every node is there once. */
static rsm_remote_cntlr_t *entry_of(rsm_topology_t *topology, rsm_node_id_t node)
{
    rsm_remote_cntlr_t *entry = NULL;
    for (unsigned i = 0; i < topology->topology_hdr.local_cntlr_count; i++) {
        rsm_connections_t *connection = topology->connections[i];
        if (strcmp(connection->hdr.cntlr_name, "shm0") != 0)
            continue;
        for (int k = 0; k < connection->hdr.remote_cntlr_count; k++)
            if (connection->remote_cntlr[k].remote_nodeid == node) {
                CHECK(entry == NULL);
                entry = &connection->remote_cntlr[k];
            }
    }
    CHECK(entry != NULL);
    return entry;
}

static bool is_active(rsm_node_id_t node)
{
    rsm_topology_t *topology = NULL;
    OK(rsm_get_interconnect_topology(&topology));
    const bool active = entry_of(topology, node)->connection_state == RSM_CONNECTION_ACTIVE;
    rsm_free_interconnect_topology(topology);
    return active;
}

ASSERTION(40, SHM0 | NODES, "a usable path is active: to this node, and to another that has a process")
{
    struct peer *peer = start_peer();
    rsm_topology_t *topology = NULL;
    OK(rsm_get_interconnect_topology(&topology));
    const rsm_node_id_t here = topology->topology_hdr.local_nodeid;
    CHECK(entry_of(topology, here)->connection_state == RSM_CONNECTION_ACTIVE);
    /* The other node has no process before the peer has called the library (D-89). */
    const rsm_node_id_t there = context == NODES ? 3 - here : here;
    CHECK((entry_of(topology, there)->connection_state == RSM_CONNECTION_ACTIVE) == (context != NODES));
    rsm_free_interconnect_topology(topology);

    OK(ask(peer, NODE, 0, 0, 0));
    /* Another host is told of it a little later. */
    EVENTUALLY(5000, is_active(there));
    OK(rsm_get_interconnect_topology(&topology));
    CHECK(entry_of(topology, here)->connection_state == RSM_CONNECTION_ACTIVE);
    CHECK(entry_of(topology, there)->connection_state == RSM_CONNECTION_ACTIVE);
    CHECK(strcmp(entry_of(topology, there)->remote_cntlrname, "shm0") == 0);
    rsm_free_interconnect_topology(topology);
}

ASSERTION(41, LOOPBACK, "the local node id is an exporter through the loopback")
{
    struct scene s;
    stage(&s);
    rsm_topology_t *topology = NULL;
    OK(rsm_get_interconnect_topology(&topology));
    rsm_memseg_import_handle_t i;
    OK(rsm_memseg_import_connect(s.controller, topology->topology_hdr.local_nodeid, s.id, RSM_PERM_RDWR, &i));
    rsm_free_interconnect_topology(topology);
}
