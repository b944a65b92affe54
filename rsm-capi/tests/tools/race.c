/*
 * Two threads and a word of the program. A signal orders them; with an argument, nothing does.
 */
#include <pthread.h>
#include <rsmapi.h>
#include <stdio.h>
#include <stdlib.h>

static rsm_memseg_export_handle_t e;
static int word;

static void *waiter(void *unused)
{
    (void)unused;
    if (rsm_intr_signal_wait(e, 20000) != RSM_SUCCESS)
        abort();
    return NULL;
}

static void *racer(void *unused)
{
    word++;
    return waiter(unused);
}

int main(int argc, char **argv)
{
    char name[] = "shm0";
    rsmapi_controller_handle_t c;
    rsm_memseg_import_handle_t i;
    rsm_memseg_id_t id = 0x400000;
    pthread_t thread;
    void *memory = aligned_alloc(65536, 65536);
    (void)argv;
    if (rsm_get_controller(name, &c) || rsm_memseg_export_create(c, &e, memory, 65536, 0) ||
        rsm_memseg_export_publish(e, &id, NULL, 0) || rsm_memseg_import_connect(c, 1, id, RSM_PERM_RDWR, &i))
        return 3;
    pthread_create(&thread, NULL, argc > 1 ? racer : waiter, NULL);
    word++;
    rsm_intr_signal_post(i, 0);
    pthread_join(thread, NULL);
    puts("walked");
    return 0;
}
