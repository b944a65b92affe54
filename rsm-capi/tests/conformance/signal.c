/* signals. */
#define _GNU_SOURCE
#include "suite.h"

#include <signal.h>
#include <stdatomic.h>

/* A thread in a wait. */
struct waiter {
    void *segment;
    int timeout, code;
    bool polls; /* by wait_pollfd */
    short revents;
    atomic_int thread_id;
    pthread_t thread;
};

static void *wait_in_thread(void *argument)
{
    struct waiter *waiter = argument;
    struct pollfd fd;
    if (waiter->polls)
        OK(rsm_memseg_get_pollfd(waiter->segment, &fd));
    atomic_store(&waiter->thread_id, thread_id());
    if (waiter->polls) {
        waiter->code = rsm_intr_signal_wait_pollfd(&fd, 1, waiter->timeout, NULL);
        waiter->revents = waiter->code == RSM_SUCCESS ? fd.revents : 0;
        OK(rsm_memseg_release_pollfd(waiter->segment));
    } else
        waiter->code = rsm_intr_signal_wait(waiter->segment, waiter->timeout);
    return NULL;
}

static void start_in_a_wait(struct waiter *waiter, void *segment, int timeout, bool polls)
{
    memset(waiter, 0, sizeof *waiter);
    waiter->polls = polls;
    waiter->segment = segment;
    waiter->timeout = timeout;
    start(wait_in_thread, waiter, &waiter->thread);
    EVENTUALLY(10000, atomic_load(&waiter->thread_id) != 0);
    until_asleep(atomic_load(&waiter->thread_id));
}

static void start_waiting(struct waiter *waiter, void *segment, int timeout)
{
    start_in_a_wait(waiter, segment, timeout, false);
}

static int result_of(struct waiter *waiter)
{
    pthread_join(waiter->thread, NULL);
    return waiter->code;
}

ASSERTION(225, LOCAL, "post and wait of NULL, and of what is no segment")
{
    struct scene s;
    stage(&s);
    EXPECT(RSMERR_BAD_SEG_HNDL, rsm_intr_signal_post(NULL, 0));
    EXPECT(RSMERR_BAD_SEG_HNDL, rsm_intr_signal_wait(NULL, 0));
    EXPECT(RSMERR_BAD_SEG_HNDL, rsm_intr_signal_wait(NULL, -1));
    EXPECT(RSMERR_BAD_SEG_HNDL, rsm_intr_signal_post(s.controller, 0));
    EXPECT(RSMERR_BAD_SEG_HNDL, rsm_intr_signal_wait(s.controller, -1));
    OK(rsm_memseg_import_disconnect(s.i));
    EXPECT(RSMERR_BAD_SEG_HNDL, rsm_intr_signal_post(s.i, 0));
    EXPECT(RSMERR_BAD_SEG_HNDL, rsm_intr_signal_wait(s.i, -1));
}

ASSERTION(226, ALL, "a wait without a signal takes as long as it may")
{
    struct scene s;
    stage(&s);
    int64_t began = now_ms();
    for (int k = 0; k < 100; k++)
        EXPECT(RSMERR_TIMEOUT, rsm_intr_signal_wait(s.i, 0));
    CHECK(now_ms() - began < 1000);
    began = now_ms();
    EXPECT(RSMERR_TIMEOUT, rsm_intr_signal_wait(s.i, 100));
    CHECK(now_ms() - began >= 100);
    EXPECT(RSMERR_TIMEOUT, e_wait(&s, 0));
    began = now_ms();
    EXPECT(RSMERR_TIMEOUT, e_wait(&s, 100));
    CHECK(now_ms() - began >= 100);
}

ASSERTION(227, ALL, "a post on an import reaches the exporter")
{
    struct scene s;
    stage(&s);
    OK(rsm_intr_signal_post(s.i, 0));
    OK(e_wait(&s, 5000));
    EXPECT(RSMERR_TIMEOUT, e_wait(&s, 0));
    EXPECT(RSMERR_TIMEOUT, rsm_intr_signal_wait(s.i, 0));
}

ASSERTION(228, ALL, "a post on an export reaches every importer, in every process")
{
    struct scene s;
    rsm_memseg_import_handle_t other;
    struct peer *importer = start_peer();
    stage(&s);
    OK(rsm_memseg_import_connect(s.controller, s.node, s.id, RSM_PERM_READ, &other));
    OK(ask(importer, CONNECT, s.node, ID, RSM_PERM_RDWR));
    OK(e_post(&s, 0));
    OK(rsm_intr_signal_wait(s.i, 5000));
    OK(rsm_intr_signal_wait(other, 5000));
    OK(ask(importer, WAIT_IMPORT, 5000, 0, 0));
    EXPECT(RSMERR_TIMEOUT, rsm_intr_signal_wait(s.i, 0));
    EXPECT(RSMERR_TIMEOUT, rsm_intr_signal_wait(other, 0));
    EXPECT(RSMERR_TIMEOUT, ask(importer, WAIT_IMPORT, 0, 0, 0));
    EXPECT(RSMERR_TIMEOUT, e_wait(&s, 0));
}

ASSERTION(229, ALL, "signals are counted")
{
    struct scene s;
    stage(&s);
    for (int k = 0; k < 3; k++)
        OK(rsm_intr_signal_post(s.i, 0));
    for (int k = 0; k < 3; k++)
        OK(e_wait(&s, 5000));
    EXPECT(RSMERR_TIMEOUT, e_wait(&s, 0));
    for (int k = 0; k < 3; k++)
        OK(e_post(&s, 0));
    for (int k = 0; k < 3; k++)
        OK(rsm_intr_signal_wait(s.i, 5000));
    EXPECT(RSMERR_TIMEOUT, rsm_intr_signal_wait(s.i, 0));
    /* One releases one of two who wait; the other waits for its time to be over (D-59). */
    int timeout = 200;
    for (int k = turns(5); k > 0; k--) {
        struct waiter waiters[2];
        const int64_t began = now_ms();
        start_waiting(&waiters[0], s.i, timeout);
        start_waiting(&waiters[1], s.i, timeout);
        OK(e_post(&s, 0));
        const int one = result_of(&waiters[0]), other = result_of(&waiters[1]);
        if (now_ms() - began < timeout)
            fail(__FILE__, __LINE__, "a loser did not wait: %d and %d", one, other);
        if (one == RSMERR_TIMEOUT && other == RSMERR_TIMEOUT) {
            /* The post came when their time was over: once more, with more of it. */
            OK(rsm_intr_signal_wait(s.i, 5000));
            timeout *= 2;
            k++;
            continue;
        }
        CHECK((one == RSM_SUCCESS && other == RSMERR_TIMEOUT) || (one == RSMERR_TIMEOUT && other == RSM_SUCCESS));
    }
}

ASSERTION(230, ALL, "a new import has no signal")
{
    struct scene s;
    stage(&s);
    OK(e_post(&s, 0));
    OK(rsm_memseg_import_disconnect(s.i));
    for (int k = 0; k < 20; k++) {
        OK(e_post(&s, 0));
        import(&s, RSM_PERM_RDWR);
        EXPECT(RSMERR_TIMEOUT, rsm_intr_signal_wait(s.i, 0));
        OK(e_post(&s, 0));
        OK(rsm_memseg_import_disconnect(s.i));
    }
}

ASSERTION(231, LOCAL, "a post on an export that nobody imports")
{
    struct scene s;
    rsm_memseg_export_handle_t e;
    rsm_memseg_id_t id = ID;
    begin(&s);
    OK(rsm_memseg_export_create(s.controller, &e, pages(1), P, 0));
    OK(rsm_intr_signal_post(e, 0));
    EXPECT(RSMERR_TIMEOUT, rsm_intr_signal_wait(e, 0));
    OK(rsm_memseg_export_publish(e, &id, NULL, 0));
    OK(rsm_intr_signal_post(e, 0));
    EXPECT(RSMERR_TIMEOUT, rsm_intr_signal_wait(e, 0));
}

ASSERTION(232, ALL, "a wait without end ends with a post")
{
    struct scene s;
    struct waiter waiter;
    stage(&s);
    for (int k = 0; k < 20; k++) {
        start_in_a_wait(&waiter, s.i, -1, k % 2);
        OK(e_post(&s, 0));
        OK(result_of(&waiter));
        CHECK(waiter.revents == (k % 2 ? POLLRDNORM : 0));
    }
    if (s.peer == NULL) {
        start_waiting(&waiter, s.e, -1);
        OK(rsm_intr_signal_post(s.i, 0));
        OK(result_of(&waiter));
        return;
    }
    /* Whether the peer sleeps already cannot be told from here: both cases come up. */
    for (int k = 0; k < 200; k++) {
        tell(s.peer, WAIT, (uint64_t)-1, 0, 0);
        for (volatile int spin = 0; spin < k * 500; spin++)
            ;
        OK(rsm_intr_signal_post(s.i, 0));
        OK(hear(s.peer).code);
    }
}

ASSERTION(233, ALL, "what was put before a post is there when the wait returns")
{
    struct scene s;
    stage(&s);
    for (uint64_t round = 1; round <= 300; round++) {
        uint64_t seen = 0;
        if (s.peer != NULL)
            tell(s.peer, WAIT, 5000, 0, 0);
        OK(rsm_memseg_import_put64(s.i, 512, &round, 1));
        OK(rsm_intr_signal_post(s.i, 0));
        OK(s.peer != NULL ? hear(s.peer).code : rsm_intr_signal_wait(s.e, 5000));
        e_read(&s, 512, &seen, 8);
        CHECK(seen == round);
    }
}

ASSERTION(234, ALL, "signals that do not accumulate are one")
{
    struct scene s;
    rsm_memseg_import_handle_t other;
    stage(&s);
    /* Through a lens, or between hosts, they need not be pending at the same time. */
    if (!signals_are_late()) {
        for (int k = 0; k < 2; k++)
            OK(rsm_intr_signal_post(s.i, RSM_SIGPOST_NO_ACCUMULATE));
        OK(e_wait(&s, 5000));
        EXPECT(RSMERR_TIMEOUT, e_wait(&s, 0));
        OK(rsm_intr_signal_post(s.i, 0));
        OK(rsm_intr_signal_post(s.i, 0));
        OK(rsm_intr_signal_post(s.i, RSM_SIGPOST_NO_ACCUMULATE));
        OK(e_wait(&s, 5000));
        OK(e_wait(&s, 5000));
        EXPECT(RSMERR_TIMEOUT, e_wait(&s, 0));
    }
    /* Of an export: for each import by itself. */
    OK(e_post(&s, 0));
    OK(rsm_memseg_import_connect(s.controller, s.node, s.id, RSM_PERM_RDWR, &other));
    OK(e_post(&s, RSM_SIGPOST_NO_ACCUMULATE));
    OK(e_post(&s, RSM_SIGPOST_NO_ACCUMULATE));
    OK(rsm_intr_signal_wait(s.i, 5000));
    OK(rsm_intr_signal_wait(other, 5000));
    if (!signals_are_late() || through_a_lens()) {
        EXPECT(RSMERR_TIMEOUT, rsm_intr_signal_wait(s.i, 0));
        EXPECT(RSMERR_TIMEOUT, rsm_intr_signal_wait(other, 0));
    }
}

static atomic_int handled;

static void on_signal(int signal)
{
    (void)signal;
    atomic_fetch_add(&handled, 1);
}

ASSERTION(235, ALL, "a signal handler interrupts a wait, even one that asks for restarts")
{
    static const int timeouts[] = {-1, 20000};
    struct scene s;
    struct waiter waiter;
    const struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    stage(&s);
    sigaction(SIGUSR1, &action, NULL);
    for (int k = 0; k < 16; k++) {
        void *segment = k % 8 < 4 && s.e != NULL ? (void *)s.e : (void *)s.i;
        start_in_a_wait(&waiter, segment, timeouts[k % 2], k >= 8);
        pthread_kill(waiter.thread, SIGUSR1);
        EXPECT(RSMERR_INTERRUPTED, result_of(&waiter));
        CHECK(atomic_load(&handled) == k + 1);
    }
    OK(e_post(&s, 0));
    OK(rsm_intr_signal_wait(s.i, 5000));
}

ASSERTION(236, ALL, "a post on an aborted import, which does not reach a later incarnation")
{
    struct scene s;
    stage(&s);
    OK(e_unpublish(&s));
    EXPECT(RSMERR_CONN_ABORTED, rsm_intr_signal_post(s.i, 0));
    OK(e_publish(&s, ID, NULL, 0));
    EXPECT(RSMERR_CONN_ABORTED, rsm_intr_signal_post(s.i, 0));
    EXPECT(RSMERR_CONN_ABORTED, rsm_intr_signal_post(s.i, RSM_SIGPOST_NO_ACCUMULATE));
    EXPECT(RSMERR_TIMEOUT, e_wait(&s, 0));
    /* Nor the other way round (D-62). */
    OK(e_post(&s, 0));
    EXPECT(RSMERR_CONN_ABORTED, rsm_intr_signal_wait(s.i, 0));
}

ASSERTION(237, ALL, "an abort wakes who waits, after the signals that came before it")
{
    struct scene s;
    struct waiter waiter;
    begin(&s);
    export_to(&s, 0, NULL, 0);
    for (int k = 0; k < 20; k++) {
        import(&s, RSM_PERM_RDWR);
        start_in_a_wait(&waiter, s.i, k % 2 ? -1 : 20000, k >= 10);
        OK(e_unpublish(&s));
        EXPECT(k >= 10 ? RSM_SUCCESS : RSMERR_CONN_ABORTED, result_of(&waiter));
        CHECK(((waiter.revents & POLLHUP) != 0) == (k >= 10));
        EXPECT(RSMERR_CONN_ABORTED, rsm_intr_signal_wait(s.i, -1));
        OK(rsm_memseg_import_disconnect(s.i));
        OK(e_publish(&s, ID, NULL, 0));
    }
    import(&s, RSM_PERM_RDWR);
    OK(e_post(&s, 0));
    OK(e_post(&s, 0));
    OK(e_unpublish(&s));
    OK(rsm_intr_signal_wait(s.i, -1));
    OK(rsm_intr_signal_wait(s.i, 0));
    EXPECT(RSMERR_CONN_ABORTED, rsm_intr_signal_wait(s.i, 0));
}

ASSERTION(238, ALL, "the exporter's signals outlive unpublish")
{
    struct scene s;
    if (signals_are_late())
        skip("a signal that is on its way when the connection ends arrives nowhere");
    stage(&s);
    for (int k = 0; k < 3; k++)
        OK(rsm_intr_signal_post(s.i, 0));
    OK(e_unpublish(&s));
    OK(e_wait(&s, 0));
    OK(e_publish(&s, ID + 1, NULL, 0));
    OK(e_wait(&s, 0));
    import(&s, RSM_PERM_RDWR);
    OK(rsm_intr_signal_post(s.i, 0));
    OK(e_wait(&s, 0));
    OK(e_wait(&s, 0));
    EXPECT(RSMERR_TIMEOUT, e_wait(&s, 0));
}
