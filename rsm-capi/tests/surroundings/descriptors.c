/* Poll descriptors that the program closes, or that have another file at their number. */
#include "surroundings.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>

void changed_descriptors(void)
{
    rsmapi_controller_handle_t controller;
    rsm_memseg_export_handle_t exported;
    rsm_memseg_import_handle_t imported;
    rsm_memseg_id_t id = 0x400000;
    struct pollfd fd, again;
    int ready, pair[2];
    char byte = 'x';
    void *memory = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MUST(memory != MAP_FAILED);
    signal(SIGPIPE, SIG_DFL);
    MUST(rsm_get_controller("shm0", &controller) == 0);
    MUST(rsm_memseg_export_create(controller, &exported, memory, 65536, 0) == 0);
    MUST(rsm_memseg_export_publish(exported, &id, NULL, 0) == 0);
    MUST(rsm_memseg_import_connect(controller, node(), id, RSM_PERM_RDWR, &imported) == 0);

    /* Another file at its number is another file: what it says is told, and no signal is taken for it. */
    MUST(rsm_memseg_get_pollfd(exported, &fd) == 0);
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    MUST(dup2(pair[0], fd.fd) == fd.fd);
    MUST(rsm_intr_signal_post(imported, 0) == 0);
    fd.events = POLLIN;
    MUST(rsm_intr_signal_wait_pollfd(&fd, 1, 0, &ready) == RSMERR_TIMEOUT);
    MUST(write(pair[1], &byte, 1) == 1);
    MUST(rsm_intr_signal_wait_pollfd(&fd, 1, 10000, &ready) == 0 && ready == 1 && fd.revents == POLLIN);
    MUST(read(pair[0], &byte, 1) == 1 && byte == 'x');
    puts("another file is another file");

    /* The handle has a new one when it is asked again, and nothing was lost. */
    MUST(rsm_memseg_get_pollfd(exported, &again) == 0);
    MUST(again.fd != fd.fd);
    MUST(rsm_intr_signal_wait_pollfd(&again, 1, 10000, &ready) == 0 && again.revents == POLLRDNORM);
    MUST(rsm_intr_signal_wait(exported, 0) == RSMERR_TIMEOUT);
    puts("a new one is made");

    /* Closed: the signal goes nowhere that kills, and is there to be waited for. */
    MUST(close(again.fd) == 0);
    for (int i = 0; i < 100; i++) {
        MUST(rsm_intr_signal_post(imported, 0) == 0);
        MUST(rsm_intr_signal_wait(exported, 10000) == 0);
    }
    MUST(fcntl(again.fd, F_GETFD) == -1);
    puts("a closed one harms nobody");

    MUST(rsm_memseg_release_pollfd(exported) == 0);
    MUST(rsm_memseg_release_pollfd(exported) == 0);
    MUST(rsm_memseg_import_disconnect(imported) == 0);
    MUST(rsm_memseg_export_destroy(exported) == 0);
    MUST(fcntl(fd.fd, F_GETFD) != -1 && fcntl(pair[0], F_GETFD) != -1);
    MUST(recv(pair[1], &byte, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
}
