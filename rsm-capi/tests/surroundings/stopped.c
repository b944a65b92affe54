/* A forked child whose agent does not run: that of a private cluster is a thread of the parent. */
#include "surroundings.h"
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

void stopped_parent(void)
{
    rsmapi_controller_handle_t controller;
    rsm_memseg_export_handle_t exported;
    rsm_memseg_import_handle_t imported;
    rsm_memseg_id_t id = 0x400000;
    void *mapped = NULL;
    int status;
    void *memory = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MUST(memory != MAP_FAILED);
    MUST(rsm_get_controller("shm0", &controller) == 0);
    MUST(rsm_memseg_export_create(controller, &exported, memory, 65536, 0) == 0);
    MUST(rsm_memseg_export_publish(exported, &id, NULL, 0) == 0);
    MUST(rsm_memseg_import_connect(controller, node(), id, RSM_PERM_RDWR, &imported) == 0);
    pid_t child = fork();
    MUST(child >= 0);
    if (child == 0) {
        int word = 5, back, result;
        /* Nothing here may take longer, whatever comes of it. */
        alarm(30);
        MUST(kill(getppid(), SIGSTOP) == 0);
        result = rsm_memseg_import_map(imported, &mapped, 0, RSM_PERM_RDWR, 0, 65536);
        MUST(result == 0);
        ((volatile int *)mapped)[16] = word;
        back = ((volatile int *)memory)[16];
        MUST(back == 5);
        /* A thread may be in the middle of joining anew. */
        pid_t other = fork();
        MUST(other >= 0);
        if (other == 0)
            _exit(0);
        MUST(waitpid(other, &status, 0) == other && status == 0);
        MUST(kill(getppid(), SIGCONT) == 0);
        MUST(rsm_memseg_import_unmap(imported) == 0);
        _exit(0);
    }
    MUST(waitpid(child, &status, 0) == child);
    MUST(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    MUST(rsm_memseg_import_disconnect(imported) == 0);
    MUST(rsm_memseg_export_destroy(exported) == 0);
}
