/*
 * What two hosts see of the end of a connection between them, and how long it takes: ci/bridge.sh runs it in its machines.
 *
 *     bounds keep EVENT ROUNDS NAME    on node 1: has memory, and looks what has come to it
 *     bounds write NAME                on the last node, of the other host: puts, and notes what it was vouched for
 *
 * The writer puts counting numbers, each into the next slot of node 1's memory, each with a verdict. When one fails, it tells the
 * keeper the last number that was vouched for, connects again, and goes on. The keeper looks whether all these numbers are there.
 * In each round it waits for the writer, and then
 *
 *     unpublish    takes the memory back, looks what has come until then, and writes other things there, which are to stay
 *     stay         waits to be killed, with its agent
 *     any other    says `@@ at EVENT ROUND` on the console, and waits until the writer is cut off
 *
 * Ends with 0, with 7 where numbers are missing that were vouched for or memory was stored to that had been taken back, and with 1
 * where something else went wrong.
 */
#define _GNU_SOURCE

#include <fcntl.h>
#include <poll.h>
#include <rsm_ext.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define SLOTS 4096
#define DATA_ID 0x400000
#define REPORT_ID 0x400001
#define BYTES 65536
#define KEEPER 1

/* Puts before anything is done to them. */
#define MANY 100
/* For the other host, in milliseconds. */
#define PATIENCE 60000
/* In memory that was taken back. */
#define REUSED 0x5a5a5a5a5a5a5a5aull

/* Words of the report, which the writer makes and the keeper answers. */
enum { NUMBER, VOUCHED, ANSWER };
/* The lower byte of an answer, above which is the number of the report. */
enum { GO_ON = 1, END = 2 };

static rsmapi_controller_handle_t controller;

static void check(int error, const char *call)
{
    if (error == RSM_SUCCESS)
        return;
    char text[512];
    rsm_ext_last_error(error, text, sizeof text);
    printf("%s: %s\n", call, text);
    exit(1);
}
#define CHECK(call) check((call), #call)

static uint64_t micros(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* For whoever does something to this machine from outside. */
static void say(const char *event, int round)
{
    FILE *console = fopen("/dev/console", "w");
    if (console == NULL)
        console = stdout;
    fprintf(console, "@@ at %s %d\n", event, round);
    fflush(console);
}

/* For whoever does something to this process: there is a file. */
static void mark(void)
{
    const int file = open("/tmp/there", O_CREAT | O_WRONLY, 0600);
    if (file < 0)
        exit(1);
    close(file);
}

/* The writer. */

static rsm_memseg_import_handle_t reach(rsm_memseg_id_t id)
{
    rsm_memseg_import_handle_t import;
    rsmapi_barrier_t barrier;
    CHECK(rsm_ext_import_connect(controller, KEEPER, id, RSM_PERM_RDWR, PATIENCE, &import));
    /* Puts in implicit mode need it. */
    CHECK(rsm_memseg_import_init_barrier(import, RSM_BARRIER_SEGMENT, &barrier));
    return import;
}

/* Tells the keeper, however often it takes; gives what it answers. */
static uint64_t told(uint64_t vouched)
{
    static rsm_memseg_import_handle_t report;
    uint64_t number = micros();
    for (const uint64_t began = number; micros() - began < 1000ull * PATIENCE;) {
        if (report == NULL)
            report = reach(REPORT_ID);
        int error = rsm_memseg_import_put64(report, VOUCHED * 8, &vouched, 1);
        if (error == 0)
            error = rsm_memseg_import_put64(report, NUMBER * 8, &number, 1);
        if (error == 0)
            error = rsm_intr_signal_post(report, 0);
        while (error == 0) {
            uint64_t answer;
            error = rsm_memseg_import_get64(report, ANSWER * 8, &answer, 1);
            if (error == 0 && answer >> 8 == (number & UINT64_MAX >> 8))
                return answer & 0xff;
            if (error == 0)
                error = rsm_intr_signal_wait(report, PATIENCE);
        }
        rsm_memseg_import_disconnect(report);
        report = NULL;
    }
    printf("the keeper does not answer\n");
    exit(1);
}

static void put_and_tell(const char *name)
{
    uint64_t vouched = 0;
    while (told(vouched) == GO_ON) {
        rsm_memseg_import_handle_t data = reach(DATA_ID);
        const uint64_t before = vouched;
        uint64_t last = micros();
        int error;
        for (;;) {
            uint64_t next = vouched + 1;
            error = rsm_memseg_import_put64(data, (off_t)(next % SLOTS) * 8, &next, 1);
            if (error != 0)
                break;
            vouched = next;
            last = micros();
            if (vouched == before + MANY)
                mark();
        }
        const uint64_t after = micros() - last;
        printf("@@ measured %s: %lu puts were vouched for; then the writer was told %d (%s), %lu us after the last\n", name,
               vouched - before, error, rsm_ext_strerror(error), after);
        rsm_memseg_import_disconnect(data);
    }
}

/* The keeper. */

/* Memory that the writer imports. */
struct segment {
    rsm_memseg_export_handle_t handle;
    volatile uint64_t *words;
    /* Readable when somebody has come or gone; and how many there were when it was last looked. */
    int watch, importers;
};

static struct segment data, report;
/* The last number that is there, and those before which nothing is asked for. */
static uint64_t top, base;
static unsigned long missing;

static void publish(const struct segment *segment, rsm_memseg_id_t id)
{
    CHECK(rsm_memseg_export_publish(segment->handle, &id, NULL, 0));
}

static struct segment exported(rsm_memseg_id_t id)
{
    struct segment segment = {.importers = 0};
    void *pages = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED)
        exit(1);
    CHECK(rsm_memseg_export_create(controller, &segment.handle, pages, BYTES, 0));
    segment.words = pages;
    publish(&segment, id);
    CHECK(rsm_ext_export_watch(segment.handle, &segment.watch));
    return segment;
}

static void answer(uint64_t verb)
{
    report.words[ANSWER] = report.words[NUMBER] << 8 | verb;
    CHECK(rsm_intr_signal_post(report.handle, 0));
}

/* Waits for a report that is not the one that was answered last. */
static void await_report(void)
{
    static uint64_t answered;
    for (;;) {
        CHECK(rsm_intr_signal_wait(report.handle, PATIENCE));
        if (report.words[NUMBER] != answered)
            break;
        CHECK(rsm_intr_signal_post(report.handle, 0));
    }
    answered = report.words[NUMBER];
}

/* Looks at the slots that a number is in by now, whichever came after; whether that is more than before. */
static int follow(void)
{
    const uint64_t before = top;
    /* More than that where the writer is a round ahead. */
    for (uint64_t next; (next = data.words[(top + 1) % SLOTS]) > top;)
        top = next;
    return top != before;
}

static void await_puts(void)
{
    const uint64_t began = micros(), from = top;
    while (top < from + MANY) {
        follow();
        if (micros() - began > 1000ull * PATIENCE) {
            printf("the writer does not put\n");
            exit(1);
        }
        usleep(500);
    }
}

/* Waits until nobody imports a segment any more that somebody has imported; gives for how long nothing has come then. */
static uint64_t await_cut(struct segment *segment)
{
    const uint64_t began = micros();
    uint64_t last = began;
    for (int told = 0;;) {
        if (follow())
            last = micros();
        struct pollfd wait = {.fd = segment->watch, .events = POLLIN};
        poll(&wait, 1, 1);
        for (rsm_ext_importer_event_t event; rsm_ext_export_next_importer(segment->handle, &event) == 0; told = 1)
            segment->importers += event.left ? -1 : 1;
        if (told && segment->importers == 0)
            return micros() - last;
        if (micros() - began > 1000ull * PATIENCE) {
            printf("the writer is not cut off\n");
            exit(1);
        }
    }
}

/* Counts what was vouched for and is not in `found`. One put after that may have come as well. */
static void look(const volatile uint64_t *found, uint64_t vouched)
{
    uint64_t number = base + 1;
    if (vouched > SLOTS - 2 && number < vouched - (SLOTS - 2))
        number = vouched - (SLOTS - 2);
    for (; number <= vouched; number++)
        missing += found[number % SLOTS] != number;
}

static void keep(const char *event, int rounds, const char *name)
{
    const int takes_back = strcmp(event, "unpublish") == 0;
    static uint64_t found[SLOTS];
    uint64_t took = 0;
    report = exported(REPORT_ID);
    data = exported(DATA_ID);
    volatile uint64_t *const slots = data.words;
    for (int round = 1;; round++) {
        await_report();
        const uint64_t vouched = report.words[VOUCHED];
        if (vouched != 0 && round > 1) {
            const unsigned long before = missing;
            look(takes_back ? found : slots, vouched);
            for (int slot = 0; takes_back && slot < SLOTS; slot++)
                missing += slots[slot] != REUSED;
            if (takes_back)
                printf("@@ measured %s: memory was taken back in %lu us\n", name, took);
            else
                printf("@@ measured %s: the writer was cut off %lu us after its last put had come\n", name, took);
            printf("@@ measured %s: of %lu puts vouched for %lu are missing\n", name, vouched - base, missing - before);
        } else {
            memset((void *)slots, 0, SLOTS * 8);
        }
        base = top = vouched;
        if (round > rounds)
            break;
        if (takes_back && round > 1) {
            memset((void *)slots, 0, SLOTS * 8);
            publish(&data, DATA_ID);
        }
        answer(GO_ON);
        await_puts();
        if (takes_back) {
            const uint64_t began = micros();
            CHECK(rsm_memseg_export_unpublish(data.handle));
            took = micros() - began;
            for (int slot = 0; slot < SLOTS; slot++) {
                found[slot] = slots[slot];
                slots[slot] = REUSED;
            }
        } else if (strcmp(event, "stay") == 0) {
            mark();
            for (;;)
                pause();
        } else {
            say(event, round);
            mark();
            took = await_cut(&data);
            /* Whoever comes next knows of nothing, or nobody comes. */
            if (strcmp(event, "agent") == 0 || strcmp(event, "host") == 0)
                printf("@@ measured %s: the writer was cut off %lu us after its last put had come\n", name, took);
            if (strcmp(event, "host") == 0)
                return;
        }
    }
    answer(END);
    /* The writer has heard it when it is gone. */
    await_cut(&report);
}

int main(int count, char **words)
{
    char shm0[] = "shm0";
    rsm_node_id_t node;
    unsigned int nodes;
    setvbuf(stdout, NULL, _IOLBF, 0);
    CHECK(rsm_get_controller(shm0, &controller));
    CHECK(rsm_ext_node(controller, &node, &nodes));
    if (count == 5 && strcmp(words[1], "keep") == 0) {
        if (node == KEEPER)
            keep(words[2], atoi(words[3]), words[4]);
    } else if (count == 3 && strcmp(words[1], "write") == 0) {
        if (node == nodes)
            put_and_tell(words[2]);
    } else {
        fprintf(stderr, "usage: bounds keep EVENT ROUNDS NAME | bounds write NAME\n");
        return 2;
    }
    return missing == 0 ? 0 : 7;
}
