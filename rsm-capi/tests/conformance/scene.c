/* E, I and B. What is asked of E goes to the peer when E is the peer's. */
#include "suite.h"

static void begin_with(struct scene *s, bool far)
{
    memset(s, 0, sizeof *s);
    if (far)
        s->peer = start_peer();
    s->controller = open_controller();
    s->node = local_node();
    if (far) {
        struct message m;
        memset(&m, 0, sizeof m);
        m.act = NODE;
        s->node = (rsm_node_id_t)ask_message(s->peer, m).a;
    }
    if (context == NODES)
        CHECK(s->node != local_node());
}

void begin(struct scene *s)
{
    begin_with(s, context == NODES);
}

void begin_far(struct scene *s)
{
    begin_with(s, true);
}

void export_to(struct scene *s, unsigned flags, rsmapi_access_entry_t *list, unsigned length)
{
    if (s->peer != NULL)
        OK(ask(s->peer, CREATE, PAGES, flags, 0));
    else {
        s->memory = pages(PAGES);
        OK(rsm_memseg_export_create(s->controller, &s->e, s->memory, SZ, flags));
    }
    OK(e_publish(s, ID, list, length));
}

void import(struct scene *s, rsm_permission_t permission)
{
    OK(rsm_memseg_import_connect(s->controller, s->node, s->id, permission, &s->i));
    CHECK(s->i != NULL);
    memset(&s->b, 0, sizeof s->b);
    OK(rsm_memseg_import_init_barrier(s->i, RSM_BARRIER_SEGMENT, &s->b));
}

void stage(struct scene *s)
{
    begin(s);
    export_to(s, RSM_ALLOW_REBIND, NULL, 0);
    import(s, RSM_PERM_RDWR);
}

void explicit_mode(struct scene *s)
{
    OK(rsm_memseg_import_set_mode(s->i, RSM_BARRIER_MODE_EXPLICIT));
}

void *map_all(struct scene *s)
{
    void *address = NULL;
    OK(rsm_memseg_import_map(s->i, &address, RSM_MAP_NONE, RSM_PERM_RDWR, 0, SZ));
    CHECK(address != NULL);
    return address;
}

static struct message with_list(enum act act, uint64_t a, const rsmapi_access_entry_t *list, unsigned length)
{
    struct message m;
    memset(&m, 0, sizeof m);
    CHECK(length <= sizeof m.list / sizeof *m.list);
    m.act = act;
    m.a = a;
    m.list_length = length;
    if (length > 0)
        memcpy(m.list, list, length * sizeof *list);
    return m;
}

int e_publish(struct scene *s, rsm_memseg_id_t id, rsmapi_access_entry_t *list, unsigned length)
{
    s->id = id;
    if (s->peer == NULL)
        return rsm_memseg_export_publish(s->e, &s->id, list, length);
    const struct message answer = ask_message(s->peer, with_list(PUBLISH, id, list, length));
    s->id = (rsm_memseg_id_t)answer.a;
    return answer.code;
}

int e_unpublish(struct scene *s)
{
    return s->peer == NULL ? rsm_memseg_export_unpublish(s->e) : ask(s->peer, UNPUBLISH, 0, 0, 0);
}

int e_republish(struct scene *s, rsmapi_access_entry_t *list, unsigned length)
{
    if (s->peer == NULL)
        return rsm_memseg_export_republish(s->e, list, length);
    return ask_message(s->peer, with_list(REPUBLISH, 0, list, length)).code;
}

int e_destroy(struct scene *s)
{
    return s->peer == NULL ? rsm_memseg_export_destroy(s->e) : ask(s->peer, DESTROY, 0, 0, 0);
}

static unsigned char *old_memory;

int e_rebind(struct scene *s, unsigned char byte)
{
    if (s->peer != NULL)
        return ask(s->peer, REBIND, byte, 0, 0);
    unsigned char *memory = pages(PAGES);
    memset(memory, byte, SZ);
    const int code = rsm_memseg_export_rebind(s->e, memory, 0, SZ);
    if (code == RSM_SUCCESS) {
        old_memory = s->memory;
        s->memory = memory;
    }
    return code;
}

int e_post(struct scene *s, unsigned flags)
{
    return s->peer == NULL ? rsm_intr_signal_post(s->e, flags) : ask(s->peer, POST, flags, 0, 0);
}

void arrive(struct scene *s)
{
    OK(rsm_memseg_import_open_barrier(&s->b));
    OK(rsm_memseg_import_close_barrier(&s->b));
}

int e_wait(struct scene *s, int timeout)
{
    return s->peer == NULL ? rsm_intr_signal_wait(s->e, timeout) : ask(s->peer, WAIT, (uint64_t)timeout, 0, 0);
}

/* Piece by piece through the peer's messages. */
static void move(struct scene *s, enum act act, size_t offset, unsigned char *data, size_t length)
{
    while (length > 0) {
        struct message m;
        memset(&m, 0, sizeof m);
        const size_t piece = length < sizeof m.data ? length : sizeof m.data;
        m.act = act;
        m.a = offset;
        m.length = piece;
        if (act == WRITE)
            memcpy(m.data, data, piece);
        m = ask_message(s->peer, m);
        OK(m.code);
        if (act != WRITE)
            memcpy(data, m.data, piece);
        offset += piece;
        data += piece;
        length -= piece;
    }
}

void e_read(struct scene *s, size_t offset, void *to, size_t length)
{
    if (s->peer == NULL)
        memcpy(to, s->memory + offset, length);
    else
        move(s, READ, offset, to, length);
}

void e_read_old(struct scene *s, size_t offset, void *to, size_t length)
{
    if (s->peer == NULL)
        memcpy(to, old_memory + offset, length);
    else
        move(s, READ_OLD, offset, to, length);
}

void e_write(struct scene *s, size_t offset, const void *from, size_t length)
{
    if (s->peer == NULL)
        memcpy(s->memory + offset, from, length);
    else
        move(s, WRITE, offset, (unsigned char *)from, length);
}

bool e_filled(struct scene *s, unsigned char byte)
{
    unsigned char *copy = malloc(SZ);
    e_read(s, 0, copy, SZ);
    const bool filled = is_filled(copy, byte, SZ);
    free(copy);
    return filled;
}

void e_fill(struct scene *s, unsigned char byte)
{
    unsigned char *copy = malloc(SZ);
    memset(copy, byte, SZ);
    e_write(s, 0, copy, SZ);
    free(copy);
}
