/* Other processes, which do what they are asked to. */
#define _GNU_SOURCE
#include "suite.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum { PEERS = 8 };
static struct peer peers[PEERS];
static int peer_count;

/* What a peer has. */
static struct {
    rsmapi_controller_handle_t controller;
    rsm_memseg_export_handle_t e;
    rsm_memseg_import_handle_t i;
    rsmapi_barrier_t b;
    unsigned char *memory, *old_memory, *mapping;
    size_t size;
} own;

static rsmapi_controller_handle_t own_controller(void)
{
    if (own.controller == NULL)
        own.controller = open_controller();
    return own.controller;
}

static int peer_rebind(unsigned char byte)
{
    unsigned char *memory = pages(own.size / P);
    memset(memory, byte, own.size);
    const int code = rsm_memseg_export_rebind(own.e, memory, 0, own.size);
    if (code == RSM_SUCCESS) {
        own.old_memory = own.memory;
        own.memory = memory;
    }
    return code;
}

static int peer_connect(const struct message *m)
{
    const int code = rsm_memseg_import_connect(own_controller(), (rsm_node_id_t)m->a, (rsm_memseg_id_t)m->b,
                                               (rsm_permission_t)m->c, &own.i);
    if (code != RSM_SUCCESS)
        return code;
    memset(&own.b, 0, sizeof own.b);
    return rsm_memseg_import_init_barrier(own.i, RSM_BARRIER_SEGMENT, &own.b);
}

static int peer_map(void)
{
    void *address = NULL;
    const int code = rsm_memseg_import_map(own.i, &address, RSM_MAP_NONE, RSM_PERM_RDWR, 0, SZ);
    own.mapping = address;
    return code;
}

/* Leaves a child behind that holds everything this process had, until its own channel is closed. */
static pid_t leave_child(void)
{
    const pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        /* Not with the parent: that is the point. With whoever adopts it, by the deadline. */
        prctl(PR_SET_PDEATHSIG, 0);
        alarm(deadline_seconds());
        for (;;)
            pause();
    }
    return child;
}

static void act(struct message *m, int channel)
{
    rsm_memseg_id_t id = (rsm_memseg_id_t)m->a;
    rsmapi_access_entry_t *list = m->list_length > 0 ? m->list : NULL;
    switch (m->act) {
    case NODE:
        own_controller();
        m->a = local_node();
        m->code = RSM_SUCCESS;
        break;
    case DROP:
        m->a ? drop_but_for_group() : drop_to_nobody();
        m->code = RSM_SUCCESS;
        break;
    case CREATE:
        own.size = m->a * P;
        own.memory = pages(m->a);
        m->code = rsm_memseg_export_create(own_controller(), &own.e, own.memory, own.size, (unsigned)m->b);
        break;
    case PUBLISH:
        m->code = rsm_memseg_export_publish(own.e, &id, list, m->list_length);
        m->a = id;
        break;
    case UNPUBLISH:
        m->code = rsm_memseg_export_unpublish(own.e);
        break;
    case REPUBLISH:
        m->code = rsm_memseg_export_republish(own.e, list, m->list_length);
        break;
    case REBIND:
        m->code = peer_rebind((unsigned char)m->a);
        break;
    case DESTROY:
        m->code = rsm_memseg_export_destroy(own.e);
        break;
    case READ:
        memcpy(m->data, own.memory + m->a, m->length);
        m->code = RSM_SUCCESS;
        break;
    case READ_OLD:
        memcpy(m->data, own.old_memory + m->a, m->length);
        m->code = RSM_SUCCESS;
        break;
    case WRITE:
        memcpy(own.memory + m->a, m->data, m->length);
        m->code = RSM_SUCCESS;
        break;
    case POST:
        m->code = rsm_intr_signal_post(own.e, (unsigned)m->a);
        break;
    case WAIT:
        m->code = rsm_intr_signal_wait(own.e, (int)m->a);
        break;
    case CONNECT:
        m->code = peer_connect(m);
        break;
    case DISCONNECT:
        if (own.mapping != NULL)
            OK(rsm_memseg_import_unmap(own.i));
        own.mapping = NULL;
        m->code = rsm_memseg_import_disconnect(own.i);
        break;
    case PUT:
        m->code = rsm_memseg_import_put(own.i, (off_t)m->a, m->data, m->length);
        break;
    case GET:
        m->code = rsm_memseg_import_get(own.i, (off_t)m->a, m->data, m->length);
        break;
    case MAP:
        m->code = peer_map();
        break;
    case STORE:
        memset(own.mapping, (int)m->b, m->a * P);
        m->code = RSM_SUCCESS;
        break;
    case LOADS:
        m->code = is_filled(own.mapping, (unsigned char)m->b, m->a * P) ? 0 : -1;
        break;
    case WAIT_IMPORT:
        m->code = rsm_intr_signal_wait(own.i, (int)m->a);
        break;
    case POST_IMPORT:
        m->code = rsm_intr_signal_post(own.i, (unsigned)m->a);
        break;
    case FORK_AND_END:
        m->a = (uint64_t)leave_child();
        m->code = RSM_SUCCESS;
        break;
    case EXEC:
        fcntl(channel, F_SETFD, 0);
        CHECK(dup2(channel, 0) == 0);
        execl("/proc/self/exe", "conformance", "--idle", (char *)NULL);
        fail(__FILE__, __LINE__, "exec: %s", strerror(errno));
    case END:
        _exit(0);
    }
}

/* What EXEC makes of a peer: a program that knows nothing of the library's doings and ends with its standard input. */
void serve_as_idle_program(void)
{
    struct message m;
    memset(&m, 0, sizeof m);
    alarm(deadline_seconds());
    send(0, &m, sizeof m, 0);
    while (recv(0, &m, sizeof m, 0) > 0)
        ;
}

static void serve(int channel)
{
    static struct message m;
    while (recv(channel, &m, sizeof m, 0) == (ssize_t)sizeof m) {
        const enum act what = m.act;
        act(&m, channel);
        if (send(channel, &m, sizeof m, MSG_NOSIGNAL) != (ssize_t)sizeof m)
            break;
        if (what == FORK_AND_END)
            break;
    }
    _exit(0);
}

/* Makes this process one of the node that the variables with PEER_ describe. */
static void change_node(void)
{
    static const char *const names[] = {"RSM_CLUSTER", "RSM_NODE_ID", "RSM_NODE_COUNT", "RSM_NODE_KEY"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char name[64];
        snprintf(name, sizeof name, "PEER_%s", names[i]);
        const char *value = getenv(name);
        if (value == NULL)
            fail(__FILE__, __LINE__, "%s is not set", name);
        setenv(names[i], value, 1);
    }
}

struct peer *start_peer(void)
{
    int ends[2];
    CHECK(peer_count < PEERS);
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
    /* On one node the private cluster must be this process's, not that of a peer that is going to end. */
    if (context != NODES)
        open_controller();
    const pid_t process = fork_child();
    if (process == 0) {
        close(ends[0]);
        for (int i = 0; i < peer_count; i++)
            close(peers[i].channel);
        if (context == NODES)
            change_node();
        serve(ends[1]);
    }
    close(ends[1]);
    peers[peer_count] = (struct peer){process, ends[0]};
    return &peers[peer_count++];
}

void tell(struct peer *peer, enum act act, uint64_t a, uint64_t b, uint64_t c)
{
    struct message m;
    memset(&m, 0, sizeof m);
    m.act = act, m.a = a, m.b = b, m.c = c;
    CHECK(send(peer->channel, &m, sizeof m, MSG_NOSIGNAL) == (ssize_t)sizeof m);
}

struct message hear(struct peer *peer)
{
    struct message m;
    if (recv(peer->channel, &m, sizeof m, 0) != (ssize_t)sizeof m)
        fail(__FILE__, __LINE__, "a peer has ended");
    return m;
}

int ask(struct peer *peer, enum act act, uint64_t a, uint64_t b, uint64_t c)
{
    tell(peer, act, a, b, c);
    return hear(peer).code;
}

struct message ask_message(struct peer *peer, struct message message)
{
    CHECK(send(peer->channel, &message, sizeof message, MSG_NOSIGNAL) == (ssize_t)sizeof message);
    return hear(peer);
}

static void close_peer(struct peer *peer, bool killed)
{
    int status;
    if (peer->process == 0)
        return;
    CHECK(waitpid(peer->process, &status, 0) == peer->process);
    close(peer->channel);
    peer->process = 0;
    peer->channel = -1;
    if (killed ? !WIFSIGNALED(status) : !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail(__FILE__, __LINE__, "a peer ended with status %#x", (unsigned)status);
}

void kill_peer(struct peer *peer)
{
    CHECK(kill(peer->process, SIGKILL) == 0);
    close_peer(peer, true);
}

void await_end(struct peer *peer)
{
    close_peer(peer, false);
}

void end_peers(void)
{
    for (int i = 0; i < peer_count; i++) {
        if (peers[i].process == 0)
            continue;
        shutdown(peers[i].channel, SHUT_RDWR);
        close_peer(&peers[i], false);
    }
}
