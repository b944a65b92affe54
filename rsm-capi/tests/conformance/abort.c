/* force disconnect, and the death of either side. */
#define _GNU_SOURCE
#include "suite.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

/* A thread that stores to a mapping until it is told to stop. */
struct storer {
    volatile unsigned char *mapping;
    atomic_bool stop;
    atomic_ulong rounds;
    pthread_t thread;
};

static void *store(void *argument)
{
    struct storer *storer = argument;
    while (!atomic_load(&storer->stop)) {
        for (size_t k = 0; k < SZ; k += 64)
            storer->mapping[k] = (unsigned char)(storer->mapping[k + 1] | 0x55);
        atomic_fetch_add(&storer->rounds, 1);
    }
    return NULL;
}

static void start_storing(struct storer *storer, unsigned char *mapping)
{
    memset(storer, 0, sizeof *storer);
    storer->mapping = mapping;
    start(store, storer, &storer->thread);
    EVENTUALLY(10000, atomic_load(&storer->rounds) > 0);
}

static void stop_storing(struct storer *storer)
{
    const unsigned long before = atomic_load(&storer->rounds);
    EVENTUALLY(10000, atomic_load(&storer->rounds) > before + 1);
    atomic_store(&storer->stop, true);
    pthread_join(storer->thread, NULL);
}

ASSERTION(213, ALL, "loads and stores through an aborted mapping raise no signal")
{
    struct scene s;
    struct storer storer;
    begin(&s);
    export_to(&s, 0, NULL, 0);
    for (int round = turns(100); round > 0; round--) {
        import(&s, RSM_PERM_RDWR);
        unsigned char *mapping = map_all(&s);
        start_storing(&storer, mapping);
        OK(e_unpublish(&s));
        stop_storing(&storer);
        for (size_t k = 0; k < SZ; k++) {
            mapping[k] = (unsigned char)k;
            (void)*(volatile unsigned char *)&mapping[k];
        }
        OK(rsm_memseg_import_unmap(s.i));
        OK(rsm_memseg_import_disconnect(s.i));
        OK(e_publish(&s, ID, NULL, 0));
    }
}

/* A child that stores to what it inherited, and does nothing else; it counts its rounds. */
static pid_t fork_storing(volatile unsigned char *mapping, atomic_ulong *rounds)
{
    const pid_t child = fork_child();
    while (child == 0) {
        for (size_t k = 0; k < SZ; k += 8)
            mapping[k] = 0x44;
        atomic_fetch_add(rounds, 1);
    }
    return child;
}

/* By threads, by another process that does as it is told, by a child that knows nothing, by a process that is stopped. */
ASSERTION(214, ALL, "after unpublish no store through a mapping reaches the exporter, nor the other way round")
{
    struct scene s;
    struct storer storer;
    struct peer *importer = start_peer();
    atomic_ulong *rounds = mmap(NULL, P, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(rounds != MAP_FAILED);
    begin(&s);
    export_to(&s, 0, NULL, 0);
    for (int round = turns(20) - 1; round >= 0; round--) {
        const bool stopped = round % 4 == 3;
        /* Unlike what the threads store, and what was there before. */
        const unsigned char since = (unsigned char)(0x80 + round);
        import(&s, RSM_PERM_RDWR);
        unsigned char *mapping = map_all(&s);
        OK(ask(importer, CONNECT, s.node, ID, RSM_PERM_RDWR));
        OK(ask(importer, MAP, 0, 0, 0));
        const pid_t child = fork_storing(mapping, rounds);
        start_storing(&storer, mapping);
        EVENTUALLY(10000, atomic_load(rounds) > 0);
        if (stopped) {
            CHECK(kill(importer->process, SIGSTOP) == 0);
            CHECK(waitpid(importer->process, NULL, WUNTRACED) == importer->process);
        }
        const int64_t began = now_ms();
        OK(e_unpublish(&s));
        CHECK(now_ms() - began < 5000);
        e_fill(&s, since);
        if (stopped)
            CHECK(kill(importer->process, SIGCONT) == 0);
        OK(ask(importer, STORE, PAGES, 0x33, 0));
        const unsigned long before = atomic_load(rounds);
        EVENTUALLY(10000, atomic_load(rounds) > before + 1);
        stop_storing(&storer);
        CHECK(e_filled(&s, since));
        /* What the exporter has written since is not seen (D-84). */
        for (size_t k = 0; k < SZ; k++)
            CHECK(mapping[k] != since);
        CHECK(ask(importer, LOADS, PAGES, since, 0) != 0);
        OK(ask(importer, DISCONNECT, 0, 0, 0));
        CHECK(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
        atomic_store(rounds, 0);
        OK(rsm_memseg_import_unmap(s.i));
        OK(rsm_memseg_import_disconnect(s.i));
        OK(e_publish(&s, ID, NULL, 0));
    }
}

/* Every transfer of eight bytes or a byte at the beginning. */
static void every_transfer(int code, struct scene *s)
{
    uint64_t data = 0x6666666666666666;
    EXPECT(code, rsm_memseg_import_put8(s->i, 0, (uint8_t *)&data, 1));
    EXPECT(code, rsm_memseg_import_put16(s->i, 0, (uint16_t *)&data, 1));
    EXPECT(code, rsm_memseg_import_put32(s->i, 0, (uint32_t *)&data, 1));
    EXPECT(code, rsm_memseg_import_put64(s->i, 0, &data, 1));
    EXPECT(code, rsm_memseg_import_put(s->i, 0, &data, 8));
    EXPECT(code, rsm_memseg_import_get8(s->i, 0, (uint8_t *)&data, 1));
    EXPECT(code, rsm_memseg_import_get16(s->i, 0, (uint16_t *)&data, 1));
    EXPECT(code, rsm_memseg_import_get32(s->i, 0, (uint32_t *)&data, 1));
    EXPECT(code, rsm_memseg_import_get64(s->i, 0, &data, 1));
    EXPECT(code, rsm_memseg_import_get(s->i, 0, &data, 8));
}

ASSERTION(215, ALL, "an aborted import tells in implicit mode")
{
    struct scene s;
    stage(&s);
    every_transfer(RSM_SUCCESS, &s);
    OK(e_unpublish(&s));
    e_fill(&s, 0xAA);
    every_transfer(RSMERR_CONN_ABORTED, &s);
    CHECK(e_filled(&s, 0xAA));
}

ASSERTION(216, ALL, "an aborted import that is mapped puts into nowhere in explicit mode")
{
    struct scene s;
    stage(&s);
    explicit_mode(&s);
    every_transfer(RSM_SUCCESS, &s);
    OK(e_unpublish(&s));
    e_fill(&s, 0xAA);
    every_transfer(RSM_SUCCESS, &s);
    CHECK(e_filled(&s, 0xAA));
}

ASSERTION(217, ALL, "a span that saw the abort says so")
{
    struct scene s;
    uint64_t data = 1;
    stage(&s);
    explicit_mode(&s);
    OK(rsm_memseg_import_open_barrier(&s.b));
    OK(rsm_memseg_import_put64(s.i, 0, &data, 1));
    OK(e_unpublish(&s));
    OK(rsm_memseg_import_order_barrier(&s.b));
    EXPECT(RSMERR_CONN_ABORTED, rsm_memseg_import_close_barrier(&s.b));
    /* The abort is what a close without an open says, too (D-50). */
    EXPECT(RSMERR_CONN_ABORTED, rsm_memseg_import_close_barrier(&s.b));
}

ASSERTION(218, ALL, "a span of an aborted import opens and does not close well")
{
    struct scene s;
    stage(&s);
    OK(e_unpublish(&s));
    for (int k = 0; k < 3; k++) {
        OK(rsm_memseg_import_open_barrier(&s.b));
        EXPECT(RSMERR_CONN_ABORTED, rsm_memseg_import_close_barrier(&s.b));
    }
}

ASSERTION(219, ALL, "an aborted import that was never mapped neither maps nor transfers")
{
    struct scene s;
    void *address = NULL;
    stage(&s);
    OK(e_unpublish(&s));
    EXPECT(RSMERR_CONN_ABORTED, rsm_memseg_import_map(s.i, &address, RSM_MAP_NONE, RSM_PERM_RDWR, 0, SZ));
    CHECK(address == NULL);
    every_transfer(RSMERR_CONN_ABORTED, &s);
    explicit_mode(&s);
    every_transfer(RSMERR_CONN_ABORTED, &s);
    OK(rsm_memseg_import_disconnect(s.i));
}

ASSERTION(220, ALL, "an aborted mapping is unmapped, and not mapped again")
{
    struct scene s;
    void *address = NULL;
    stage(&s);
    map_all(&s);
    OK(e_unpublish(&s));
    EXPECT(RSMERR_SEG_ALREADY_MAPPED, rsm_memseg_import_map(s.i, &address, RSM_MAP_NONE, RSM_PERM_RDWR, 0, SZ));
    OK(rsm_memseg_import_unmap(s.i));
    EXPECT(RSMERR_CONN_ABORTED, rsm_memseg_import_map(s.i, &address, RSM_MAP_NONE, RSM_PERM_RDWR, 0, SZ));
    EXPECT(RSMERR_SEG_NOT_MAPPED, rsm_memseg_import_unmap(s.i));
}

ASSERTION(221, ALL, "an aborted import is disconnected, after unmap")
{
    struct scene s;
    rsm_barrier_mode_t mode;
    rsmapi_barrier_t other = {0};
    stage(&s);
    map_all(&s);
    OK(e_unpublish(&s));
    OK(rsm_memseg_import_get_mode(s.i, &mode));
    OK(rsm_memseg_import_set_mode(s.i, mode));
    OK(rsm_memseg_import_init_barrier(s.i, RSM_BARRIER_SEGMENT, &other));
    EXPECT(RSMERR_SEG_STILL_MAPPED, rsm_memseg_import_disconnect(s.i));
    OK(rsm_memseg_import_unmap(s.i));
    OK(rsm_memseg_import_disconnect(s.i));
}

ASSERTION(222, ALL, "an aborted import stays so when the id comes back; a new one works")
{
    struct scene s;
    stage(&s);
    every_transfer(RSM_SUCCESS, &s);
    for (int round = 0; round < 3; round++) {
        struct scene old;
        OK(e_unpublish(&s));
        OK(e_publish(&s, ID, NULL, 0));
        every_transfer(RSMERR_CONN_ABORTED, &s);
        OK(rsm_memseg_import_open_barrier(&s.b));
        EXPECT(RSMERR_CONN_ABORTED, rsm_memseg_import_close_barrier(&s.b));
        old = s;
        import(&s, RSM_PERM_RDWR);
        every_transfer(RSM_SUCCESS, &s);
        every_transfer(RSMERR_CONN_ABORTED, &old);
    }
}

ASSERTION(223, ALL, "the death of the exporter aborts its imports")
{
    struct scene s;
    uint64_t data = 1;
    begin_far(&s);
    export_to(&s, 0, NULL, 0);
    import(&s, RSM_PERM_RDWR);
    rsm_memseg_import_handle_t never_used;
    OK(rsm_memseg_import_connect(s.controller, s.node, s.id, RSM_PERM_RDWR, &never_used));
    OK(rsm_memseg_import_put64(s.i, 0, &data, 1));
    kill_peer(s.peer);
    int code;
    EVENTUALLY(2000, (code = rsm_memseg_import_put64(s.i, 0, &data, 1)) != RSM_SUCCESS);
    EXPECT(RSMERR_CONN_ABORTED, code);
    EXPECT(RSMERR_CONN_ABORTED, rsm_intr_signal_wait(s.i, 10000));
    void *address;
    EVENTUALLY(2000, (code = rsm_memseg_import_map(never_used, &address, RSM_MAP_NONE, RSM_PERM_RDWR, 0, SZ)) != 0);
    EXPECT(RSMERR_CONN_ABORTED, code);
    rsm_memseg_import_handle_t i;
    EXPECT(RSMERR_SEG_NOT_PUBLISHED, rsm_memseg_import_connect(s.controller, s.node, s.id, RSM_PERM_RDWR, &i));
    OK(rsm_memseg_import_disconnect(s.i));
}

ASSERTION(224, ALL, "the death of an importer does not concern the exporter")
{
    struct scene s;
    struct peer *importer = start_peer();
    begin(&s);
    export_to(&s, 0, NULL, 0);
    OK(ask(importer, CONNECT, s.node, ID, RSM_PERM_RDWR));
    OK(ask(importer, MAP, 0, 0, 0));
    OK(ask(importer, STORE, PAGES, 0x12, 0));
    kill_peer(importer);
    /* Through a lens, what is on its way is lost. */
    CHECK(through_a_lens() || e_filled(&s, 0x12));
    OK(e_post(&s, 0));
    OK(e_unpublish(&s));
    OK(e_destroy(&s));
}
