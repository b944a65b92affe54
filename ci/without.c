/*
 * without CALL[,CALL..] COMMAND..: runs COMMAND on a machine that does not have these system calls (ENOSYS), as an older
 * kernel, or a container's filter, has it. CALL=ERRNO refuses with that number instead. An option of sockets is refused by
 * its name, with ENOPROTOOPT: SO_PEERPIDFD,SO_PASSRIGHTS is what Linux before 6.5 does not have.
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
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The words that are compared are less than 2^31: their low half comes first. */
#define LOAD(field) (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define JUMP_UNLESS(value, over) (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)(value), 0, (over))

static const struct {
    const char *name;
    int number;
    int option; /* the second and third argument are SOL_SOCKET and this, where it is not 0 */
} calls[] = {
    {"userfaultfd", SYS_userfaultfd, 0}, {"memfd_create", SYS_memfd_create, 0}, {"pidfd_open", SYS_pidfd_open, 0},
    {"clone3", SYS_clone3, 0},           {"futex_waitv", 449, 0},               {"unshare", SYS_unshare, 0},
    {"close_range", SYS_close_range, 0}, {"membarrier", SYS_membarrier, 0},     {"getrandom", SYS_getrandom, 0},
    {"mremap", SYS_mremap, 0},           {"prctl", SYS_prctl, 0},               {"statx", SYS_statx, 0},
    {"shmget", SYS_shmget, 0},           {"shmat", SYS_shmat, 0},               {"shmctl", SYS_shmctl, 0},
    {"shmdt", SYS_shmdt, 0},             {"SO_PEERPIDFD", SYS_getsockopt, 77},  {"SO_PASSRIGHTS", SYS_setsockopt, 83},
};

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: %s CALL[=ERRNO][,..] COMMAND..\n", argv[0]);
        return 2;
    }
    struct sock_filter filter[128];
    unsigned short n = 0;
    filter[n++] = LOAD(nr);
    for (char *word = strtok(argv[1], ","); word; word = strtok(NULL, ",")) {
        unsigned refusal = 0;
        char *equals = strchr(word, '=');
        if (equals) {
            *equals = 0;
            refusal = (unsigned)atoi(equals + 1);
        }
        size_t at = 0;
        while (at < sizeof calls / sizeof *calls && strcmp(calls[at].name, word) != 0)
            at++;
        if (at == sizeof calls / sizeof *calls || n + 8u > sizeof filter / sizeof *filter) {
            fprintf(stderr, "%s: unknown system call \"%s\"\n", argv[0], word);
            return 2;
        }
        if (refusal == 0)
            refusal = calls[at].option ? ENOPROTOOPT : ENOSYS;
        unsigned const arguments = calls[at].option ? 5 : 0;
        filter[n++] = JUMP_UNLESS(calls[at].number, arguments + 1);
        if (arguments) {
            filter[n++] = LOAD(args[1]);
            filter[n++] = JUMP_UNLESS(SOL_SOCKET, 3);
            filter[n++] = LOAD(args[2]);
            filter[n++] = JUMP_UNLESS(calls[at].option, 1);
        }
        filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (refusal & SECCOMP_RET_DATA));
        if (arguments)
            filter[n++] = LOAD(nr);
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
