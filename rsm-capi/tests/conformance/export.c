/* export_create and export_destroy. */
#define _GNU_SOURCE
#include "suite.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/syscall.h>

static rsm_memseg_export_handle_t create(void *memory, size_t length, unsigned flags)
{
    rsm_memseg_export_handle_t e = NULL;
    OK(rsm_memseg_export_create(open_controller(), &e, memory, length, flags));
    CHECK(e != NULL);
    return e;
}

static void publish(rsm_memseg_export_handle_t e, rsm_memseg_id_t id)
{
    OK(rsm_memseg_export_publish(e, &id, NULL, 0));
}

/* An import in explicit mode. */
static rsm_memseg_import_handle_t connect_to(rsm_memseg_id_t id)
{
    rsm_memseg_import_handle_t i = NULL;
    OK(rsm_memseg_import_connect(open_controller(), local_node(), id, RSM_PERM_RDWR, &i));
    OK(rsm_memseg_import_set_mode(i, RSM_BARRIER_MODE_EXPLICIT));
    return i;
}

/* Puts bytes within a span: before its close nobody has to see them (reference 3.6). */
static void put_in_span(rsm_memseg_import_handle_t i, off_t offset, void *data, size_t length)
{
    rsmapi_barrier_t b;
    memset(&b, 0, sizeof b);
    OK(rsm_memseg_import_init_barrier(i, RSM_BARRIER_SEGMENT, &b));
    OK(rsm_memseg_import_open_barrier(&b));
    OK(rsm_memseg_import_put(i, offset, data, length));
    OK(rsm_memseg_import_close_barrier(&b));
    OK(rsm_memseg_import_destroy_barrier(&b));
}

/* Exports memory, shows that importers and exporter share it, and takes it back. */
static void export_and_share(unsigned char *memory, size_t length)
{
    unsigned char *copy = malloc(length);
    fill(memory, 1, length);
    const rsm_memseg_export_handle_t e = create(memory, length, 0);
    CHECK(is_pattern(memory, 1, length));
    publish(e, ID);
    const rsm_memseg_import_handle_t i = connect_to(ID);
    OK(rsm_memseg_import_get(i, 0, copy, length));
    CHECK(is_pattern(copy, 1, length));
    fill(copy, 2, length);
    put_in_span(i, 0, copy, length);
    CHECK(is_pattern(memory, 2, length));
    memory[7] = 99;
    OK(rsm_memseg_import_get(i, 0, copy, length));
    CHECK(copy[7] == 99);
    OK(rsm_memseg_import_disconnect(i));
    OK(rsm_memseg_export_destroy(e));
    CHECK(memory[7] == 99);
    memory[7] = copy[7] = 7;
    free(copy);
}

/* The call that fails, and that the handle is then none. */
static void refused(int code, void *memory, size_t length)
{
    rsm_memseg_export_handle_t e = (rsm_memseg_export_handle_t)(uintptr_t)0x1234;
    EXPECT(code, rsm_memseg_export_create(open_controller(), &e, memory, length, 0));
    CHECK(e == NULL);
}

ASSERTION(42, LOCAL, "export_create without a controller")
{
    rsm_memseg_export_handle_t e;
    open_controller();
    EXPECT(RSMERR_BAD_CTLR_HNDL, rsm_memseg_export_create(NULL, &e, pages(1), P, 0));
    EXPECT(RSMERR_BAD_CTLR_HNDL, rsm_memseg_export_create(NULL, NULL, NULL, 0, 0));
}

ASSERTION(43, LOCAL, "export_create without a place for the handle")
{
    EXPECT(RSMERR_BAD_SEG_HNDL, rsm_memseg_export_create(open_controller(), NULL, pages(1), P, 0));
    EXPECT(RSMERR_BAD_SEG_HNDL, rsm_memseg_export_create(open_controller(), NULL, NULL, 0, 0));
}

ASSERTION(44, LOCAL, "export_create without an address")
{
    refused(RSMERR_BAD_ADDR, NULL, P);
    refused(RSMERR_BAD_ADDR, NULL, 0);
}

ASSERTION(45, LOCAL, "export_create of nothing")
{
    unsigned char *memory = pages(1);
    refused(RSMERR_BAD_LENGTH, memory, 0);
    refused(RSMERR_BAD_LENGTH, memory + 1, 0);
}

ASSERTION(46, LOCAL, "export_create wants whole pages: the address")
{
    unsigned char *memory = pages(2);
    refused(RSMERR_BAD_MEM_ALIGNMENT, memory + 1, P);
    refused(RSMERR_BAD_MEM_ALIGNMENT, memory + P / 2, P);
}

ASSERTION(47, LOCAL, "export_create wants whole pages: the length")
{
    unsigned char *memory = pages(2);
    refused(RSMERR_BAD_MEM_ALIGNMENT, memory, P - 1);
    refused(RSMERR_BAD_MEM_ALIGNMENT, memory, P + 8);
    refused(RSMERR_BAD_MEM_ALIGNMENT, memory, SIZE_MAX);
}

ASSERTION(48, LOCAL, "memory that is not mapped is refused, also in part")
{
    unsigned char *memory = pages(3);
    CHECK(munmap(memory + P, P) == 0);
    memory[0] = 1, memory[2 * P] = 3;
    refused(RSMERR_BAD_ADDR, memory + P, P);
    refused(RSMERR_BAD_ADDR, memory, 3 * P);
    CHECK(memory[0] == 1 && memory[2 * P] == 3);
    create(memory, P, 0);
}

ASSERTION(49, LOCAL, "memory that is not writable is refused, also in part")
{
    unsigned char *memory = pages(3);
    memory[0] = 1, memory[P] = 2;
    CHECK(mprotect(memory + P, P, PROT_READ) == 0);
    refused(RSMERR_PERM_DENIED, memory + P, P);
    refused(RSMERR_PERM_DENIED, memory, 2 * P);
    CHECK(mprotect(memory + P, P, PROT_NONE) == 0);
    refused(RSMERR_PERM_DENIED, memory + P, P);
    CHECK(memory[0] == 1);
    memory[0] = 4;
}

/* A file of three pages with a pattern, and no name. */
static int file_in(const char *directory, size_t length)
{
    char path[256], *contents = malloc(length);
    snprintf(path, sizeof path, "%s/rsm-conformance-XXXXXX", directory);
    const int file = mkstemp(path);
    if (file < 0)
        return -1;
    unlink(path);
    fill(contents, 3, length);
    CHECK(write(file, contents, length) == (ssize_t)length);
    free(contents);
    return file;
}

/* Of the linker: where initialized variables begin, and where the others end. */
extern char __data_start, _end;

static long initialized = 5, zeroed;

/* Exports the program's own variables, .data and .bss, while it goes on using them. */
static void export_own_variables(void)
{
    unsigned char *start = (unsigned char *)((uintptr_t)&__data_start / P * P);
    const size_t length = (size_t)((unsigned char *)&_end - start + P - 1) / P * P;
    volatile long *const five = &initialized, *const zero = &zeroed;
    const rsm_memseg_export_handle_t e = create(start, length, 0);
    CHECK(*five == 5 && *zero == 0);
    publish(e, ID);
    const rsm_memseg_import_handle_t i = connect_to(ID);
    long there = 0, seven = 7, eight = 8;
    const off_t at_five = (unsigned char *)five - start, at_zero = (unsigned char *)zero - start;
    OK(rsm_memseg_import_get(i, at_five, &there, sizeof there));
    CHECK(there == 5);
    put_in_span(i, at_five, &seven, sizeof seven);
    put_in_span(i, at_zero, &eight, sizeof eight);
    CHECK(*five == 7 && *zero == 8);
    *zero = 9;
    OK(rsm_memseg_import_get(i, at_zero, &there, sizeof there));
    CHECK(there == 9);
    OK(rsm_memseg_import_disconnect(i));
    OK(rsm_memseg_export_destroy(e));
    CHECK(*five == 7 && *zero == 9);
    *five = 5, *zero = 0;
}

ASSERTION(50, LOCAL, "a file is exported when it is mapped privately, as a program's variables are, not when shared")
{
    export_own_variables();
    static const char *const directories[] = {"/tmp", "/dev/shm"};
    const size_t length = 3 * P;
    for (int k = 0; k < 2; k++) {
        const int file = file_in(directories[k], length);
        if (file < 0)
            continue;
        unsigned char *shared = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        CHECK(shared != MAP_FAILED);
        refused(RSMERR_BAD_ADDR, shared, length);
        CHECK(is_pattern(shared, 3, length));

        unsigned char *private = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
        CHECK(private != MAP_FAILED);
        const rsm_memseg_export_handle_t e = create(private, length, 0);
        CHECK(is_pattern(private, 3, length));
        publish(e, ID);
        const rsm_memseg_import_handle_t i = connect_to(ID);
        unsigned char byte = (unsigned char)~private[5];
        put_in_span(i, 5, &byte, 1);
        CHECK(private[5] == byte);
        /* What is written to a private mapping does not reach the file. */
        CHECK(is_pattern(shared, 3, length));
        OK(rsm_memseg_import_disconnect(i));
        OK(rsm_memseg_export_destroy(e));
        CHECK(private[5] == byte && is_pattern(shared, 3, length));
        close(file);
    }
}

/* A thread that writes to memory and looks whether what it wrote stays. */
struct writer {
    unsigned char *memory;
    size_t length;
    atomic_bool stop;
    atomic_ulong rounds, lost;
    pthread_t thread;
};

static void *write_and_look(void *argument)
{
    struct writer *w = argument;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    for (uint64_t value = 1; !atomic_load(&w->stop); value++) {
        for (size_t k = 0; k < w->length; k += P)
            *(volatile uint64_t *)(void *)(w->memory + k) = value;
        for (size_t k = 0; k < w->length; k += P)
            if (*(volatile uint64_t *)(void *)(w->memory + k) != value)
                atomic_fetch_add(&w->lost, 1);
        atomic_fetch_add(&w->rounds, 1);
    }
    return NULL;
}

static void start_writer(struct writer *w, unsigned char *memory, size_t length)
{
    memset(w, 0, sizeof *w);
    w->memory = memory;
    w->length = length;
    start(write_and_look, w, &w->thread);
    EVENTUALLY(10000, atomic_load(&w->rounds) > 1);
}

static unsigned long stop_writer(struct writer *w)
{
    const unsigned long rounds = atomic_load(&w->rounds);
    EVENTUALLY(10000, atomic_load(&w->rounds) > rounds + 1);
    atomic_store(&w->stop, true);
    pthread_join(w->thread, NULL);
    return atomic_load(&w->lost);
}

/* Of what `rsm-ctl doctor` calls wp and wp-shared: stores to private memory are held back as it moves, and to shared memory. */
#define HOLDS_PRIVATE (1ull << 0)
#define HOLDS_SHARED (HOLDS_PRIVATE | 1ull << 12)

/* Where the kernel has none of it, or refuses it, stores during create or destroy are not protected, and the manual says so. */
static bool holds_stores(unsigned long long what)
{
    struct uffdio_api api = {.api = UFFD_API, .features = what};
    const long fd = syscall(SYS_userfaultfd, O_CLOEXEC | 1 /* faults of the process only */);
    if (fd < 0)
        return false;
    const bool has = ioctl((int)fd, UFFDIO_API, &api) == 0;
    close((int)fd);
    return has;
}

ASSERTION(51, LOCAL, "exported memory keeps its address and contents, whoever writes to it meanwhile")
{
    const size_t length = 37 * P;
    unsigned char *memory = pages(37);
    fill(memory, 4, length);
    create(memory, length, 0);
    CHECK(is_pattern(memory, 4, length));
    /* Also memory that nobody has touched. */
    unsigned char *untouched = pages(5);
    create(untouched, 5 * P, 0);
    FILLED(untouched, 0, 5 * P);
    /* Nor is a store lost (D-85). */
    struct writer writer;
    const size_t large = 512;
    const bool at_create = holds_stores(HOLDS_PRIVATE), at_destroy = holds_stores(HOLDS_SHARED);
    for (int round = 0; round < 10; round++) {
        unsigned char *busy = pages(large);
        start_writer(&writer, busy, large * P);
        const rsm_memseg_export_handle_t e = create(busy, large * P, 0);
        CHECK(stop_writer(&writer) == 0 || !at_create);
        start_writer(&writer, busy, large * P);
        OK(rsm_memseg_export_destroy(e));
        CHECK(stop_writer(&writer) == 0 || !at_destroy);
        munmap(busy, large * P);
    }
}

ASSERTION(52, LOCAL, "memory of the heap is exported and can be freed afterwards")
{
    void *memory = NULL;
    CHECK(posix_memalign(&memory, P, 5 * P) == 0);
    export_and_share(memory, 5 * P);
    free(memory);
    memory = valloc(2 * P);
    CHECK(memory != NULL);
    export_and_share(memory, 2 * P);
    free(memory);
    memory = aligned_alloc(P, 2 * P);
    CHECK(memory != NULL);
    fill(memory, 5, 2 * P);
    CHECK(is_pattern(memory, 5, 2 * P));
    free(memory);
}

ASSERTION(53, LOCAL, "shared anonymous memory is exported")
{
    unsigned char *memory = mmap(NULL, 3 * P, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    export_and_share(memory, 3 * P);
}

ASSERTION(54, LOCAL, "System V shared memory is exported")
{
    const int segment = shmget(IPC_PRIVATE, 3 * P, IPC_CREAT | 0600);
    if (segment < 0)
        skip("shmget: %s", strerror(errno));
    unsigned char *memory = shmat(segment, NULL, 0);
    shmctl(segment, IPC_RMID, NULL);
    CHECK(memory != (void *)-1);
    export_and_share(memory, 3 * P);
}

ASSERTION(55, LOCAL, "unknown flags are ignored")
{
    const rsm_memseg_export_handle_t e = create(pages(1), P, ~0u);
    publish(e, ID);
    OK(rsm_memseg_export_destroy(e));
    OK(rsm_memseg_export_destroy(create(pages(1), P, RSM_LOCK_OPS)));
}

ASSERTION(56, LOCAL, "with DONTWAIT create and publish succeed when there are resources")
{
    publish(create(pages(1), P, RSM_CREATE_SEG_DONTWAIT), ID);
}

/* Exports the memory there is, and gives it back, again and again. */
static void *export_again(void *memory)
{
    for (int round = 0; round < 50; round++) {
        rsm_memseg_id_t id = 0;
        const rsm_memseg_export_handle_t e = create(memory, 2 * P, 0);
        OK(rsm_memseg_export_publish(e, &id, NULL, 0));
        const rsm_memseg_import_handle_t i = connect_to(id);
        unsigned char copy[64];
        OK(rsm_memseg_import_get(i, 0, copy, sizeof copy));
        CHECK(is_pattern(copy, 11, sizeof copy));
        OK(rsm_memseg_import_disconnect(i));
        OK(rsm_memseg_export_destroy(e));
    }
    return NULL;
}

ASSERTION(57, LOCAL, "the same memory exported twice gives two independent segments")
{
    unsigned char *memory = pages(2);
    fill(memory, 6, 2 * P);
    const rsm_memseg_export_handle_t one = create(memory, 2 * P, 0), other = create(memory, 2 * P, 0);
    CHECK(one != other);
    publish(one, ID);
    publish(other, ID + 1);
    OK(rsm_memseg_export_destroy(one));
    const rsm_memseg_import_handle_t i = connect_to(ID + 1);
    unsigned char byte = 123;
    put_in_span(i, 9, &byte, 1);
    CHECK(memory[9] == 123);
    OK(rsm_memseg_export_destroy(other));
    CHECK(memory[9] == 123 && memory[10] != 0);
    /* A range that overlaps without being the same is refused (D-80). */
    create(memory, 2 * P, 0);
    refused(RSMERR_BAD_ADDR, memory, P);
    refused(RSMERR_BAD_ADDR, memory + P, P);
    /* By several threads at a time. */
    pthread_t threads[4];
    unsigned char *busy = pages(2);
    fill(busy, 11, 2 * P);
    for (int k = 0; k < 4; k++)
        start(export_again, busy, &threads[k]);
    for (int k = 0; k < 4; k++)
        pthread_join(threads[k], NULL);
    CHECK(is_pattern(busy, 11, 2 * P));
}

ASSERTION(58, LOCAL, "what goes in through one of two exports of the same memory is seen through the other")
{
    unsigned char *memory = pages(2), copy[64];
    const rsm_memseg_export_handle_t one = create(memory, 2 * P, 0), other = create(memory, 2 * P, 0);
    publish(one, ID);
    publish(other, ID + 1);
    const rsm_memseg_import_handle_t i = connect_to(ID), j = connect_to(ID + 1);
    fill(copy, 7, sizeof copy);
    put_in_span(i, 100, copy, sizeof copy);
    memset(copy, 0, sizeof copy);
    OK(rsm_memseg_import_get(j, 100, copy, sizeof copy));
    CHECK(is_pattern(copy, 7, sizeof copy));
    CHECK(is_pattern(memory + 100, 7, sizeof copy));
    /* The end of one leaves the other as it is. */
    OK(rsm_memseg_export_unpublish(one));
    fill(copy, 8, sizeof copy);
    put_in_span(j, 100, copy, sizeof copy);
    CHECK(is_pattern(memory + 100, 8, sizeof copy));
    /* The aborted one does not reach it. */
    memset(copy, 0, sizeof copy);
    rsm_memseg_import_put(i, 100, copy, sizeof copy);
    CHECK(is_pattern(memory + 100, 8, sizeof copy));
}

/* Destroys an export, for what it was told. */
static void *destroy_it(void *export)
{
    return (void *)(intptr_t)rsm_memseg_export_destroy((rsm_memseg_export_handle_t)export);
}

ASSERTION(59, LOCAL, "export_destroy of NULL, and of what is no export")
{
    /* Of threads that destroy one handle at the same time one does, and the others find none. */
    unsigned char *memory = pages(2);
    for (int round = 0; round < 100; round++) {
        const rsm_memseg_export_handle_t e = create(memory, 2 * P, 0);
        pthread_t threads[3];
        int done = 0;
        for (int k = 0; k < 3; k++)
            start(destroy_it, (void *)e, &threads[k]);
        for (int k = 0; k < 3; k++) {
            void *told;
            pthread_join(threads[k], &told);
            CHECK(told == (void *)RSM_SUCCESS || told == (void *)RSMERR_BAD_SEG_HNDL);
            done += told == (void *)RSM_SUCCESS;
        }
        CHECK(done == 1);
    }
    EXPECT(RSMERR_BAD_SEG_HNDL, rsm_memseg_export_destroy(NULL));
    const rsm_memseg_export_handle_t e = create(pages(1), P, 0);
    OK(rsm_memseg_export_destroy(e));
    EXPECT(RSMERR_BAD_SEG_HNDL, rsm_memseg_export_destroy(e));
    EXPECT(RSMERR_BAD_SEG_HNDL, rsm_memseg_export_destroy((rsm_memseg_export_handle_t)open_controller()));
    EXPECT(RSMERR_BAD_SEG_HNDL, rsm_memseg_export_destroy((rsm_memseg_export_handle_t)UINTPTR_MAX));
}

ASSERTION(60, LOCAL, "a bound segment is destroyed, its memory keeps its contents")
{
    unsigned char *memory = pages(3);
    const rsm_memseg_export_handle_t e = create(memory, 3 * P, 0);
    fill(memory, 9, 3 * P);
    OK(rsm_memseg_export_destroy(e));
    CHECK(is_pattern(memory, 9, 3 * P));
}

ASSERTION(61, ALL, "destroying a published segment aborts its imports")
{
    struct scene s;
    uint64_t value = 1;
    stage(&s);
    OK(rsm_memseg_import_put64(s.i, 0, &value, 1));
    OK(e_destroy(&s));
    EXPECT(RSMERR_CONN_ABORTED, rsm_memseg_import_put64(s.i, 0, &value, 1));
    rsm_memseg_import_handle_t i;
    EXPECT(RSMERR_SEG_NOT_PUBLISHED, rsm_memseg_import_connect(s.controller, s.node, s.id, RSM_PERM_RDWR, &i));
    OK(rsm_memseg_import_disconnect(s.i));
}

/* Room for small things only: for no copy of `length` bytes. */
static struct rlimit leave_little_room(size_t length)
{
    struct rlimit before, little;
    unsigned long used;
    FILE *statm = fopen("/proc/self/statm", "r");
    CHECK(statm != NULL && fscanf(statm, "%lu", &used) == 1);
    fclose(statm);
    CHECK(getrlimit(RLIMIT_AS, &before) == 0);
    little = before;
    little.rlim_cur = used * P + length / 4;
    CHECK(setrlimit(RLIMIT_AS, &little) == 0);
    return before;
}

ASSERTION(62, LOCAL, "the memory of a destroyed segment can be exported again")
{
    unsigned char *memory = pages(3);
    for (int round = 0; round < 5; round++)
        export_and_share(memory, 3 * P);
    /* When it cannot be given back destroy says so, the memory holds what it held, and another destroy goes on ... */
    const size_t length = 4096 * P;
    memory = pages(4096);
    fill(memory, 10, length);
    rsm_memseg_export_handle_t e = create(memory, length, 0), again;
    publish(e, ID);
    struct rlimit room = leave_little_room(length);
    EXPECT(RSMERR_INSUFFICIENT_MEM, rsm_memseg_export_destroy(e));
    EXPECT(RSMERR_INSUFFICIENT_MEM, rsm_memseg_export_destroy(e));
    EXPECT(RSMERR_BAD_SEG_HNDL, rsm_memseg_export_unpublish(e));
    EXPECT(RSMERR_CONN_ABORTED, rsm_intr_signal_wait(e, 0));
    CHECK(setrlimit(RLIMIT_AS, &room) == 0);
    CHECK(is_pattern(memory, 10, length));
    OK(rsm_memseg_export_destroy(e));
    EXPECT(RSMERR_BAD_SEG_HNDL, rsm_memseg_export_destroy(e));
    CHECK(is_pattern(memory, 10, length));
    /* ... and so does another export of it, which the first one's destroy then leaves alone. */
    e = create(memory, length, 0);
    room = leave_little_room(length);
    EXPECT(RSMERR_INSUFFICIENT_MEM, rsm_memseg_export_destroy(e));
    EXPECT(RSMERR_INSUFFICIENT_MEM, rsm_memseg_export_create(open_controller(), &again, memory, length, 0));
    CHECK(setrlimit(RLIMIT_AS, &room) == 0);
    again = create(memory, length, 0);
    publish(again, ID);
    OK(rsm_memseg_export_destroy(e));
    rsm_memseg_import_handle_t i;
    rsmapi_barrier_t barrier;
    OK(rsm_memseg_import_connect(open_controller(), local_node(), ID, RSM_PERM_RDWR, &i));
    OK(rsm_memseg_import_init_barrier(i, RSM_BARRIER_SEGMENT, &barrier));
    OK(rsm_memseg_import_put8(i, (off_t)length - 1, (uint8_t[]){77}, 1));
    CHECK(memory[length - 1] == 77);
    OK(rsm_memseg_export_destroy(again));
}

ASSERTION(63, LOCAL, "the memory of a destroyed segment is the program's again, and only the program's")
{
    struct scene s;
    stage(&s);
    unsigned char *mapping = map_all(&s);
    fill(s.memory, 10, SZ);
    OK(rsm_memseg_export_destroy(s.e));
    CHECK(is_pattern(s.memory, 10, SZ));
    memset(s.memory, 0xAA, SZ);
    memset(mapping, 0x55, SZ);
    FILLED(s.memory, 0xAA, SZ);
    /* It is private: what a child writes stays with the child. */
    const pid_t child = fork_child();
    if (child == 0) {
        memset(s.memory, 0x11, SZ);
        _exit(0);
    }
    join_child(child);
    FILLED(s.memory, 0xAA, SZ);
}

static void refuse_while_polled(struct scene *s)
{
    struct pollfd fd;
    stage(s);
    OK(rsm_memseg_get_pollfd(s->e, &fd));
    EXPECT(RSMERR_POLLFD_IN_USE, rsm_memseg_export_destroy(s->e));
}

ASSERTION(64, LOCAL, "an export whose poll descriptor is in use is not destroyed and stays published")
{
    struct scene s;
    uint64_t value = 1;
    refuse_while_polled(&s);
    OK(rsm_memseg_import_put64(s.i, 0, &value, 1));
    rsm_memseg_import_handle_t i;
    OK(rsm_memseg_import_connect(s.controller, s.node, s.id, RSM_PERM_RDWR, &i));
}

ASSERTION(65, LOCAL, "an export whose poll descriptor has been released is destroyed")
{
    struct scene s;
    refuse_while_polled(&s);
    OK(rsm_memseg_release_pollfd(s.e));
    OK(rsm_memseg_export_destroy(s.e));
}
