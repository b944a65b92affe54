/* The suite: functions of every family, with the values that they have to give, on any number of PEs. */
#include "suite.h"

int me, n;

static const struct part {
    const char *name;
    void (*run)(void);
} parts[] = {
    {"set_up", set_up},       {"memory", memory},       {"transfers", transfers},
    {"atomics", atomics},     {"old_atomics", old_atomics},
    {"signals", signals},     {"waits", waits},         {"collectives", collectives},
    {"active_sets", active_sets}, {"teams", teams},     {"contexts", contexts},
    {"locks", locks},         {"threads", threads},     {"generics", generics},
    {"caches", caches},         {"corners", corners},
};

int main(int argc, char **argv) {
    int provided = -1;
    CHECK(shmem_init_thread(SHMEM_THREAD_MULTIPLE, &provided) == 0);
    CHECK(provided == SHMEM_THREAD_MULTIPLE);
    me = shmem_my_pe();
    n = shmem_n_pes();
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (argc > 1 && strcmp(argv[1], parts[i].name)) continue;
        shmem_barrier_all();
        parts[i].run();
        shmem_barrier_all();
    }
    shmem_finalize();
    printf("done\n");
    return 0;
}
