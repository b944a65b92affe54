/* fork, exec, descriptors, threads. */
#define _GNU_SOURCE
#include "suite.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

ASSERTION(256, ALL, "a forked child goes on with its parent's import")
{
    struct scene s;
    uint64_t value = 1, seen = 0;
    stage(&s);
    OK(rsm_memseg_import_put64(s.i, 0, &value, 1));
    const pid_t child = fork_child();
    if (child == 0) {
        value = 2;
        OK(rsm_memseg_import_put64(s.i, 8, &value, 1));
        OK(rsm_memseg_import_get64(s.i, 0, &seen, 1));
        CHECK(seen == 1);
        OK(rsm_memseg_import_unmap(s.i));
        uint64_t *mapping = map_all(&s);
        mapping[2] = 3;
        OK(rsm_memseg_import_open_barrier(&s.b));
        OK(rsm_memseg_import_close_barrier(&s.b));
        OK(rsm_intr_signal_post(s.i, 0));
        OK(rsm_memseg_import_unmap(s.i));
        OK(rsm_memseg_import_disconnect(s.i));
        _exit(0);
    }
    join_child(child);
    OK(e_wait(&s, 5000));
    uint64_t words[3];
    e_read(&s, 0, words, sizeof words);
    CHECK(words[0] == 1 && words[1] == 2 && words[2] == 3);
    /* What the child gave up was its own. */
    value = 4;
    OK(rsm_memseg_import_put64(s.i, 0, &value, 1));
    OK(e_post(&s, 0));
    OK(rsm_intr_signal_wait(s.i, 5000));
}

ASSERTION(257, LOCAL, "a forked child destroys its view of an export, not the export")
{
    struct scene s;
    uint64_t value = 1;
    stage(&s);
    const pid_t child = fork_child();
    if (child == 0) {
        OK(rsm_memseg_export_destroy(s.e));
        EXPECT(RSMERR_BAD_SEG_HNDL, rsm_memseg_export_destroy(s.e));
        _exit(0);
    }
    join_child(child);
    /* Memory that is exported is shared with a child, not copied (D-67). */
    const pid_t other = fork_child();
    if (other == 0) {
        s.memory[100] = 77;
        _exit(0);
    }
    join_child(other);
    CHECK(s.memory[100] == 77);
    OK(rsm_memseg_import_put64(s.i, 0, &value, 1));
    CHECK(*(uint64_t *)(void *)s.memory == 1);
    rsm_memseg_import_handle_t i;
    OK(rsm_memseg_import_connect(s.controller, s.node, s.id, RSM_PERM_RDWR, &i));
    OK(rsm_memseg_export_unpublish(s.e));
    /* What it shares it keeps, when the parent has its memory for itself again. */
    int ends[2];
    char byte = 0;
    CHECK(pipe(ends) == 0);
    fill(s.memory, 11, SZ);
    const pid_t last = fork_child();
    if (last == 0) {
        CHECK(read(ends[0], &byte, 1) == 1);
        CHECK(is_pattern(s.memory, 11, SZ));
        memset(s.memory, 0x11, SZ);
        _exit(0);
    }
    OK(rsm_memseg_export_destroy(s.e));
    CHECK(write(ends[1], &byte, 1) == 1);
    join_child(last);
    CHECK(is_pattern(s.memory, 11, SZ));
}

/* The import is aborted within `milliseconds`, and the segment is gone. */
static void aborted_within(struct scene *s, int milliseconds)
{
    uint64_t value = 1;
    int code;
    EVENTUALLY(milliseconds, (code = rsm_memseg_import_put64(s->i, 0, &value, 1)) != RSM_SUCCESS);
    EXPECT(RSMERR_CONN_ABORTED, code);
    rsm_memseg_import_handle_t i;
    EXPECT(RSMERR_SEG_NOT_PUBLISHED, rsm_memseg_import_connect(s->controller, s->node, s->id, RSM_PERM_RDWR, &i));
}

ASSERTION(258, ALL, "exports end with their process, although its child lives")
{
    struct scene s;
    /* The peer's child is to come to this process when the peer has ended. */
    CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    begin_far(&s);
    export_to(&s, 0, NULL, 0);
    import(&s, RSM_PERM_RDWR);
    OK(rsm_memseg_import_put8(s.i, 0, (uint8_t[]){1}, 1));
    tell(s.peer, FORK_AND_END, 0, 0, 0);
    orphan = (pid_t)hear(s.peer).a;
    await_end(s.peer);
    aborted_within(&s, 2000);
    CHECK(kill(orphan, SIGKILL) == 0);
    CHECK(waitpid(orphan, NULL, 0) == orphan);
    orphan = 0;
}

ASSERTION(259, ALL, "exports end when their process becomes another program")
{
    struct scene s;
    begin_far(&s);
    export_to(&s, 0, NULL, 0);
    import(&s, RSM_PERM_RDWR);
    OK(rsm_memseg_import_put8(s.i, 0, (uint8_t[]){1}, 1));
    tell(s.peer, EXEC, 0, 0, 0);
    hear(s.peer);
    aborted_within(&s, 3000);
}

static int entries_of(const char *directory)
{
    int count = 0;
    DIR *entries = opendir(directory);
    CHECK(entries != NULL);
    while (readdir(entries) != NULL)
        count++;
    closedir(entries);
    return count;
}

static int lines_of(const char *path)
{
    int count = 0, character;
    FILE *file = fopen(path, "r");
    CHECK(file != NULL);
    while ((character = getc(file)) != EOF)
        count += character == '\n';
    fclose(file);
    return count;
}

/* Everything that a segment can go through, from memory of its own. */
static void cycle(rsmapi_controller_handle_t controller, rsm_node_id_t node, rsm_memseg_id_t id, unsigned char *memory)
{
    rsm_memseg_export_handle_t e;
    rsm_memseg_import_handle_t i;
    rsmapi_barrier_t barrier = {0};
    struct pollfd fd;
    uint64_t value = id, seen = 0;
    OK(rsm_memseg_export_create(controller, &e, memory, P, 0));
    OK(rsm_memseg_export_publish(e, &id, NULL, 0));
    OK(rsm_memseg_import_connect(controller, node, id, RSM_PERM_RDWR, &i));
    OK(rsm_memseg_import_init_barrier(i, RSM_BARRIER_SEGMENT, &barrier));
    OK(rsm_memseg_import_put64(i, 0, &value, 1));
    OK(rsm_memseg_import_get64(i, 0, &seen, 1));
    CHECK(seen == value && memcmp(memory, &value, 8) == 0);
    OK(rsm_memseg_get_pollfd(i, &fd));
    OK(rsm_memseg_release_pollfd(i));
    OK(rsm_memseg_import_destroy_barrier(&barrier));
    OK(rsm_memseg_import_disconnect(i));
    OK(rsm_memseg_export_destroy(e));
}

ASSERTION(260, LOCAL, "descriptors and mappings are given back")
{
    struct scene s;
    begin(&s);
    unsigned char *memory = pages(1);
    for (int k = 0; k < 10; k++)
        cycle(s.controller, s.node, ID, memory);
    const int descriptors = entries_of("/proc/self/fd"), mappings = lines_of("/proc/self/maps");
    const int tasks = entries_of("/proc/self/task");
    for (int k = 0; k < turns(1000); k++)
        cycle(s.controller, s.node, ID, memory);
    CHECK(entries_of("/proc/self/fd") == descriptors);
    /* Through a lens a thread is there while there are imports, and ends by itself. */
    for (int k = 0; k < 5000 && entries_of("/proc/self/task") > tasks; k++)
        usleep(1000);
    CHECK(entries_of("/proc/self/task") <= tasks);
    /* A thread that is there or not has its stack and its part of the heap: a few. A cycle that kept one would be many. */
    CHECK(abs(lines_of("/proc/self/maps") - mappings) <= 16);
    /* And live ones have at most two each. */
    for (rsm_memseg_id_t k = 0; k < 50; k++) {
        rsm_memseg_export_handle_t e;
        rsm_memseg_import_handle_t i;
        rsm_memseg_id_t id = ID + k;
        OK(rsm_memseg_export_create(s.controller, &e, pages(1), P, 0));
        OK(rsm_memseg_export_publish(e, &id, NULL, 0));
        OK(rsm_memseg_import_connect(s.controller, s.node, id, RSM_PERM_RDWR, &i));
    }
    CHECK(entries_of("/proc/self/fd") <= descriptors + 4 * 50);
}

enum { DESCRIPTORS = 256 };

ASSERTION(261, ALL, "without descriptors there are no segments, until there are descriptors")
{
    struct scene s;
    struct rlimit limit;
    int taken[DESCRIPTORS], count = 0;
    stage(&s);
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = DESCRIPTORS;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    while (count < DESCRIPTORS && (taken[count] = fcntl(1, F_DUPFD_CLOEXEC, 0)) >= 0)
        count++;
    CHECK(errno == EMFILE);
    rsm_memseg_export_handle_t e = (rsm_memseg_export_handle_t)&s;
    rsm_memseg_import_handle_t i = (rsm_memseg_import_handle_t)&s;
    unsigned char *memory = pages(1);
    memory[0] = 1;
    for (int k = 0; k < 3; k++) {
        EXPECT(RSMERR_INSUFFICIENT_RESOURCES, rsm_memseg_export_create(s.controller, &e, memory, P, 0));
        CHECK(e == NULL);
        EXPECT(RSMERR_INSUFFICIENT_RESOURCES,
               rsm_memseg_import_connect(s.controller, s.node, s.id, RSM_PERM_RDWR, &i));
        CHECK(i == NULL);
    }
    CHECK(memory[0] == 1);
    memory[0] = 2;
    /* What needs none goes on. */
    OK(rsm_memseg_import_put8(s.i, 0, (uint8_t[]){1}, 1));
    while (count > 0)
        close(taken[--count]);
    OK(rsm_memseg_export_create(s.controller, &e, memory, P, 0));
    OK(rsm_memseg_import_connect(s.controller, s.node, s.id, RSM_PERM_RDWR, &i));
}

enum { THREADS = 8 };

struct worker {
    struct scene *scene;
    rsm_memseg_id_t id;
    pthread_t thread;
};

static void *work(void *argument)
{
    struct worker *worker = argument;
    unsigned char *memory = pages(1);
    for (int k = 0; k < turns(100); k++)
        cycle(worker->scene->controller, worker->scene->node, worker->id, memory);
    return NULL;
}

ASSERTION(262, LOCAL, "eight threads with segments of their own")
{
    struct scene s;
    struct worker workers[THREADS];
    begin(&s);
    for (unsigned k = 0; k < THREADS; k++) {
        workers[k].scene = &s;
        workers[k].id = ID + k;
        start(work, &workers[k], &workers[k].thread);
    }
    for (int k = 0; k < THREADS; k++)
        pthread_join(workers[k].thread, NULL);
}
