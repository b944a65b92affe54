/*
 * The program: lists the assertions, or runs one of them.
 *
 *   conformance --list                                  number, contexts and words of each, between tabs
 *   conformance --run A-042 --context shm0              prints ok, skip: why, or FAIL: file:line: what; exit code 0, 77, 1
 *
 * In the context `nodes` the environment describes node 1 of a cluster as rsm-ctl run would, and node 2 by the same
 * names with PEER_ before them.
 */
#define _GNU_SOURCE
#include "suite.h"
#include <rsm_ext.h>

#include <grp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

enum { ASSERTIONS = 300 };

static struct entry {
    int contexts;
    const char *words;
    void (*run)(void);
} entries[ASSERTIONS];

enum context context;

static const char *const context_names[] = {[ONCE] = "once", [LOOPBACK] = "loopback", [SHM0] = "shm0", [NODES] = "nodes"};
static pid_t first_process;
pid_t orphan;

void enter(int number, int contexts, const char *words, void (*run)(void))
{
    if (number <= 0 || number >= ASSERTIONS || entries[number].run != NULL) {
        fprintf(stderr, "A-%03d is there twice, or out of range\n", number);
        abort();
    }
    entries[number] = (struct entry){contexts, words, run};
}

void fail(const char *file, int line, const char *format, ...)
{
    va_list arguments;
    char text[512];
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    const char *slash = strrchr(file, '/');
    printf("FAIL: %s:%d: %s%s\n", slash ? slash + 1 : file, line, text, getpid() == first_process ? "" : " (in a child)");
    fflush(stdout);
    /* The children end with this process: they asked the kernel for that. A peer's child did not. */
    if (orphan > 0 && getpid() == first_process)
        kill(orphan, SIGKILL);
    _exit(1);
}

void skip(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    printf("skip: ");
    vprintf(format, arguments);
    printf("\n");
    va_end(arguments);
    fflush(stdout);
    _exit(77);
}

void expect(const char *file, int line, const char *call, int expected, int code)
{
    char why[512] = "";
    if (code == expected)
        return;
    rsm_ext_last_error(code, why, sizeof why);
    fail(file, line, "%s returned %d, expected %d%s%s", call, code, expected, *why ? ": " : "", why);
}

bool is_filled(const volatile void *memory, unsigned char byte, size_t length)
{
    const volatile unsigned char *bytes = memory;
    for (size_t i = 0; i < length; i++)
        if (bytes[i] != byte)
            return false;
    return true;
}

int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void breathe(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

int turns(int all)
{
    const char *which = getenv("RSM_TESTS");
    return which && strcmp(which, "all") == 0 ? all : all / 5;
}

size_t page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

unsigned char *pages(size_t count)
{
    void *memory = mmap(NULL, count * P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    return memory;
}

static unsigned char pattern(uint32_t seed, size_t position)
{
    uint64_t x = (uint64_t)seed * 0x9E3779B97F4A7C15u + position * 0xD1B54A32D192ED03u;
    x ^= x >> 29;
    x *= 0xBF58476D1CE4E5B9u;
    return (unsigned char)(x >> 56);
}

void fill(void *memory, uint32_t seed, size_t length)
{
    unsigned char *bytes = memory;
    for (size_t i = 0; i < length; i++)
        bytes[i] = pattern(seed, i);
}

bool is_pattern(const void *memory, uint32_t seed, size_t length)
{
    const unsigned char *bytes = memory;
    for (size_t i = 0; i < length; i++)
        if (bytes[i] != pattern(seed, i))
            return false;
    return true;
}

unsigned deadline_seconds(void)
{
    const char *patience = getenv("RSM_TEST_PATIENCE");
    const long factor = patience ? strtol(patience, NULL, 10) : 1;
    return 50 * (unsigned)(factor >= 1 && factor <= 100 ? factor : 1);
}

pid_t fork_child(void)
{
    const pid_t parent = getpid();
    fflush(stdout);
    const pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(deadline_seconds());
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
    }
    return child;
}

void join_child(pid_t child)
{
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail(__FILE__, __LINE__, "a child ended with status %#x", (unsigned)status);
}

static void drop(size_t count, const gid_t *groups)
{
    if (geteuid() != 0)
        return;
    CHECK(setgroups(count, groups) == 0);
    CHECK(setgid(NOBODY) == 0);
    CHECK(setuid(NOBODY) == 0);
    /* The change of user has taken this back. */
    if (getpid() != first_process)
        prctl(PR_SET_PDEATHSIG, SIGKILL);
}

void drop_to_nobody(void)
{
    drop(0, NULL);
}

void drop_but_for_group(void)
{
    const gid_t root = 0;
    drop(1, &root);
}

int signals_are_late(void)
{
    return through_a_lens() || getenv("CONFORMANCE_HOSTS") != NULL;
}

int through_a_lens(void)
{
    return getenv("CONFORMANCE_LENS") != NULL;
}

void need_root(void)
{
    if (geteuid() != 0)
        skip("needs root, to be two users");
}

pid_t thread_id(void)
{
    return (pid_t)syscall(SYS_gettid);
}

static char state_of(pid_t thread)
{
    char path[64], text[256] = "";
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)thread);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return '?';
    const size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[length] = 0;
    const char *end = strrchr(text, ')');
    return end != NULL && end[1] == ' ' ? end[2] : '?';
}

void until_asleep(pid_t thread)
{
    /* Three looks in a row: a thread that sleeps on a lock for a moment on its way does not count. */
    int seen = 0;
    const int64_t deadline = now_ms() + 10000;
    while (seen < 3) {
        if (now_ms() > deadline)
            fail(__FILE__, __LINE__, "a thread does not go to sleep");
        const char state = state_of(thread);
        /* It has ended: the time that it had to sleep may be over before anybody looks. */
        if (state == '?')
            return;
        seen = state == 'S' ? seen + 1 : 0;
        breathe();
    }
}

void *start(void *(*body)(void *), void *argument, pthread_t *thread)
{
    CHECK(pthread_create(thread, NULL, body, argument) == 0);
    return argument;
}

const char *controller_name(void)
{
    return context == LOOPBACK ? "loopback" : "shm0";
}

rsmapi_controller_handle_t open_controller(void)
{
    rsmapi_controller_handle_t controller = NULL;
    OK(rsm_get_controller((char *)controller_name(), &controller));
    CHECK(controller != NULL);
    return controller;
}

rsm_node_id_t local_node(void)
{
    rsm_topology_t *topology = NULL;
    OK(rsm_get_interconnect_topology(&topology));
    const rsm_node_id_t node = topology->topology_hdr.local_nodeid;
    rsm_free_interconnect_topology(topology);
    return node;
}

static void list(void)
{
    for (int number = 0; number < ASSERTIONS; number++) {
        if (entries[number].run == NULL)
            continue;
        printf("A-%03d\t", number);
        for (int one = ONCE; one <= NODES; one *= 2)
            if (entries[number].contexts & one)
                printf("%s ", context_names[one]);
        printf("\t%s\n", entries[number].words);
    }
}

static int run(int number)
{
    if (number <= 0 || number >= ASSERTIONS || entries[number].run == NULL || !(entries[number].contexts & (int)context)) {
        fprintf(stderr, "no such assertion, or not in this context\n");
        return 2;
    }
    first_process = getpid();
    alarm(deadline_seconds());
    umask(022);
    entries[number].run();
    end_peers();
    CHECK(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
    printf("ok\n");
    return 0;
}

int main(int argc, char **argv)
{
    int number = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--list") == 0)
            return list(), 0;
        if (strcmp(argv[i], "--idle") == 0)
            return serve_as_idle_program(), 0;
        if (strcmp(argv[i], "--run") == 0 && i + 1 < argc)
            sscanf(argv[++i], "A-%d", &number);
        else if (strcmp(argv[i], "--context") == 0 && i + 1 < argc) {
            i++;
            for (int one = ONCE; one <= NODES; one *= 2)
                if (strcmp(argv[i], context_names[one]) == 0)
                    context = (enum context)one;
        }
    }
    if (number == 0 || context == 0) {
        fprintf(stderr, "usage: %s --list | --run A-nnn --context once|loopback|shm0|nodes\n", argv[0]);
        return 2;
    }
    return run(number);
}
