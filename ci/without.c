/*
 * without CALL[,CALL..] COMMAND..: runs COMMAND on a machine that does not have these system calls (ENOSYS), as an older
 * kernel, or a container's filter, has it. CALL=ERRNO refuses with that number instead.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static const struct {
    const char *name;
    int number;
} calls[] = {
    {"userfaultfd", SYS_userfaultfd}, {"memfd_create", SYS_memfd_create}, {"pidfd_open", SYS_pidfd_open},
    {"clone3", SYS_clone3},           {"futex_waitv", 449},               {"unshare", SYS_unshare},
    {"close_range", SYS_close_range}, {"membarrier", SYS_membarrier},     {"getrandom", SYS_getrandom},
    {"mremap", SYS_mremap},           {"prctl", SYS_prctl},               {"statx", SYS_statx},
};

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: %s CALL[=ERRNO][,..] COMMAND..\n", argv[0]);
        return 2;
    }
    struct sock_filter filter[128];
    unsigned short n = 0;
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (char *word = strtok(argv[1], ","); word; word = strtok(NULL, ",")) {
        unsigned refusal = ENOSYS;
        char *equals = strchr(word, '=');
        if (equals) {
            *equals = 0;
            refusal = (unsigned)atoi(equals + 1);
        }
        size_t at = 0;
        while (at < sizeof calls / sizeof *calls && strcmp(calls[at].name, word) != 0)
            at++;
        if (at == sizeof calls / sizeof *calls || n + 3u > sizeof filter / sizeof *filter) {
            fprintf(stderr, "%s: unknown system call \"%s\"\n", argv[0], word);
            return 2;
        }
        filter[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)calls[at].number, 0, 1);
        filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (refusal & SECCOMP_RET_DATA));
    }
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {n, filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) {
        perror("seccomp");
        return 77;
    }
    execvp(argv[2], argv + 2);
    perror(argv[2]);
    return 127;
}
