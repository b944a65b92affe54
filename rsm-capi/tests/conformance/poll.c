/* poll descriptors. */
#define _GNU_SOURCE
#include "suite.h"

#include <fcntl.h>

static struct pollfd descriptor_of(void *segment)
{
    struct pollfd fd = {-1, 0, 0x1234};
    OK(rsm_memseg_get_pollfd(segment, &fd));
    CHECK(fd.fd >= 3 && fd.events == POLLRDNORM && fd.revents == 0x1234);
    fd.revents = 0;
    return fd;
}

/* What poll(2) says of one descriptor. */
static int look(struct pollfd fd, int timeout)
{
    const int ready = poll(&fd, 1, timeout);
    CHECK(ready >= 0 && ready == (fd.revents != 0));
    return fd.revents;
}

ASSERTION(239, ALL, "get_pollfd gives a descriptor and the event to poll it for")
{
    struct scene s;
    stage(&s);
    CHECK(descriptor_of(s.i).fd == descriptor_of(s.i).fd);
    if (s.e != NULL) {
        CHECK(descriptor_of(s.e).fd == descriptor_of(s.e).fd);
        CHECK(descriptor_of(s.e).fd != descriptor_of(s.i).fd);
    }
    /* Also when nothing is published. */
    rsm_memseg_export_handle_t e;
    OK(rsm_memseg_export_create(s.controller, &e, pages(1), P, 0));
    descriptor_of(e);
}

ASSERTION(240, ALL, "get_pollfd and release_pollfd of NULL; a release too many")
{
    struct scene s;
    struct pollfd fd;
    stage(&s);
    EXPECT(RSMERR_BAD_SEG_HNDL, rsm_memseg_get_pollfd(NULL, &fd));
    EXPECT(RSMERR_BAD_SEG_HNDL, rsm_memseg_get_pollfd(NULL, NULL));
    EXPECT(RSMERR_BAD_SEG_HNDL, rsm_memseg_release_pollfd(NULL));
    EXPECT(RSMERR_BAD_SEG_HNDL, rsm_memseg_get_pollfd(s.controller, &fd));
    EXPECT(RSMERR_BAD_SEG_HNDL, rsm_memseg_release_pollfd(s.controller));
    EXPECT(RSMERR_BAD_ADDR, rsm_memseg_get_pollfd(s.i, NULL));
    OK(rsm_memseg_release_pollfd(s.i));
    OK(rsm_memseg_get_pollfd(s.i, &fd));
    OK(rsm_memseg_release_pollfd(s.i));
    OK(rsm_memseg_release_pollfd(s.i));
    OK(rsm_memseg_import_disconnect(s.i));
}

static void poll_shows(struct scene *s, bool import)
{
    void *segment = import ? (void *)s->i : (void *)s->e;
    const struct pollfd fd = descriptor_of(segment);
    CHECK(look(fd, 0) == 0);
    for (int round = 0; round < 50; round++) {
        for (int k = 0; k < 2; k++)
            OK(import ? e_post(s, 0) : rsm_intr_signal_post(s->i, 0));
        CHECK(look(fd, 5000) == POLLRDNORM);
        CHECK(look(fd, 0) == POLLRDNORM);
        OK(rsm_intr_signal_wait(segment, 0));
        /* One is left. */
        CHECK(look(fd, 5000) == POLLRDNORM);
        OK(rsm_intr_signal_wait(segment, 0));
        CHECK(look(fd, 0) == 0);
    }
}

ASSERTION(241, ALL, "poll(2) shows that there are signals and takes none")
{
    struct scene s;
    stage(&s);
    poll_shows(&s, true);
    if (s.e != NULL)
        poll_shows(&s, false);
    /* A descriptor that comes after the signal shows it, too. */
    rsm_memseg_import_handle_t other;
    OK(rsm_memseg_import_connect(s.controller, s.node, s.id, RSM_PERM_RDWR, &other));
    OK(e_post(&s, 0));
    CHECK(look(descriptor_of(other), 5000) == POLLRDNORM);
    /* An abort shows, after the signals (D-60). */
    OK(e_unpublish(&s));
    const struct pollfd fd = descriptor_of(other);
    EVENTUALLY(5000, (look(fd, 100) & POLLHUP) != 0);
}

ASSERTION(242, ALL, "wait_pollfd takes one signal of every segment that has one")
{
    struct scene s;
    rsm_memseg_import_handle_t other;
    int count = -1;
    stage(&s);
    OK(rsm_memseg_import_connect(s.controller, s.node, s.id, RSM_PERM_RDWR, &other));
    struct pollfd fds[2] = {descriptor_of(s.i), descriptor_of(other)};
    OK(e_post(&s, 0));
    CHECK(look(fds[0], 5000) != 0 && look(fds[1], 5000) != 0);
    OK(rsm_intr_signal_wait(other, 0));
    OK(rsm_intr_signal_wait_pollfd(fds, 2, 5000, &count));
    CHECK(count == 1 && fds[0].revents == POLLRDNORM && fds[1].revents == 0);
    EXPECT(RSMERR_TIMEOUT, rsm_intr_signal_wait(s.i, 0));
    for (int k = 0; k < 3; k++)
        OK(e_post(&s, 0));
    for (int k = 0; k < 3; k++) {
        CHECK(look(fds[0], 5000) != 0 && look(fds[1], 5000) != 0);
        OK(rsm_intr_signal_wait_pollfd(fds, 2, 5000, &count));
        CHECK(count == 2 && fds[0].revents == POLLRDNORM && fds[1].revents == POLLRDNORM);
    }
    EXPECT(RSMERR_TIMEOUT, rsm_intr_signal_wait_pollfd(fds, 2, 0, &count));
    CHECK(count == 0);
    /* A segment that is there twice gives two (3.8). */
    fds[1] = fds[0];
    OK(e_post(&s, 0));
    OK(e_post(&s, 0));
    CHECK(look(fds[0], 5000) != 0);
    /* From another host they need not come together. */
    for (int taken = 0; taken < 2; taken += count) {
        OK(rsm_intr_signal_wait_pollfd(fds, 2, 5000, &count));
        CHECK(count == 2 || (signals_are_late() && count == 1));
    }
    EXPECT(RSMERR_TIMEOUT, rsm_intr_signal_wait(s.i, 0));
}

ASSERTION(243, ALL, "wait_pollfd with nothing ready, and with bad arguments")
{
    struct scene s;
    int count = -1;
    stage(&s);
    struct pollfd fd = descriptor_of(s.i);
    EXPECT(RSMERR_TIMEOUT, rsm_intr_signal_wait_pollfd(&fd, 1, 0, &count));
    CHECK(count == 0);
    count = -1;
    int64_t began = now_ms();
    EXPECT(RSMERR_TIMEOUT, rsm_intr_signal_wait_pollfd(&fd, 1, 50, &count));
    CHECK(count == 0 && now_ms() - began >= 50);
    /* D-65. */
    began = now_ms();
    EXPECT(RSMERR_TIMEOUT, rsm_intr_signal_wait_pollfd(NULL, 0, 50, &count));
    CHECK(now_ms() - began >= 50);
    EXPECT(RSMERR_BAD_ADDR, rsm_intr_signal_wait_pollfd(NULL, 1, 0, &count));
    EXPECT(RSMERR_BAD_ARGS_ERRORS, rsm_intr_signal_wait_pollfd(&fd, (nfds_t)-1, 0, &count));
    EXPECT(RSMERR_BAD_ARGS_ERRORS, rsm_intr_signal_wait_pollfd(&fd, (nfds_t)1 << 60, 0, NULL));
}

ASSERTION(244, ALL, "wait_pollfd with other descriptors")
{
    struct scene s;
    int ends[2], count = -1;
    char byte = 1;
    stage(&s);
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    struct pollfd fds[3] = {{ends[0], POLLIN, 0}, descriptor_of(s.i), {-1, POLLIN, 0}};
    EXPECT(RSMERR_TIMEOUT, rsm_intr_signal_wait_pollfd(fds, 3, 0, &count));
    CHECK(write(ends[1], &byte, 1) == 1);
    OK(rsm_intr_signal_wait_pollfd(fds, 3, 5000, &count));
    CHECK(count == 1 && fds[0].revents == POLLIN && fds[1].revents == 0 && fds[2].revents == 0);
    /* Both. The pipe is not read. */
    OK(e_post(&s, 0));
    CHECK(look(fds[1], 5000) != 0);
    OK(rsm_intr_signal_wait_pollfd(fds, 3, 5000, &count));
    CHECK(count == 2 && fds[0].revents == POLLIN && fds[1].revents == POLLRDNORM);
    CHECK(read(ends[0], &byte, 1) == 1);
    EXPECT(RSMERR_TIMEOUT, rsm_intr_signal_wait_pollfd(fds, 3, 0, &count));
}

ASSERTION(245, ALL, "wait_pollfd need not count, and tells of an abort")
{
    struct scene s;
    int count = -1;
    stage(&s);
    struct pollfd fd = descriptor_of(s.i);
    OK(e_post(&s, 0));
    OK(rsm_intr_signal_wait_pollfd(&fd, 1, 5000, NULL));
    CHECK(fd.revents == POLLRDNORM);
    EXPECT(RSMERR_TIMEOUT, rsm_intr_signal_wait_pollfd(&fd, 1, 0, NULL));
    OK(e_unpublish(&s));
    OK(rsm_intr_signal_wait_pollfd(&fd, 1, 5000, &count));
    CHECK(count == 1 && (fd.revents & POLLHUP) != 0);
}

ASSERTION(246, ALL, "after release_pollfd a segment ends, and wait_pollfd takes nothing of it")
{
    struct scene s;
    struct pollfd fd;
    stage(&s);
    fd = descriptor_of(s.i);
    descriptor_of(s.i);
    OK(rsm_memseg_release_pollfd(s.i));
    EXPECT(RSMERR_POLLFD_IN_USE, rsm_memseg_import_disconnect(s.i));
    OK(rsm_memseg_release_pollfd(s.i));
    OK(rsm_memseg_import_disconnect(s.i));
    if (s.e != NULL) {
        descriptor_of(s.e);
        EXPECT(RSMERR_POLLFD_IN_USE, rsm_memseg_export_destroy(s.e));
        OK(rsm_memseg_release_pollfd(s.e));
        OK(rsm_memseg_export_destroy(s.e));
    }
    (void)fd;
}

ASSERTION(247, ALL, "poll descriptors are closed by exec")
{
    struct scene s;
    stage(&s);
    CHECK(fcntl(descriptor_of(s.i).fd, F_GETFD) & FD_CLOEXEC);
    if (s.e != NULL)
        CHECK(fcntl(descriptor_of(s.e).fd, F_GETFD) & FD_CLOEXEC);
}
