/* What nodes may tell each other something by, in C. */
#include "means.h"

static volatile sig_atomic_t signalled;

static void on_signal(int number)
{
    signalled = number;
}

/* A word that two processes have in common, and that is no segment's. */
static uint64_t *in_common(int protection)
{
    const int file = open(aside(), O_CREAT | O_RDWR, 0600);
    NEEDS(file >= 0 && ftruncate(file, 4096) == 0);
    void *const map = mmap(NULL, 4096, protection, MAP_SHARED, file, 0);
    NEEDS(map != MAP_FAILED);
    return map;
}

static int endpoint(void)
{
    struct sockaddr_un name;
    const int end = socket(AF_UNIX, SOCK_DGRAM, 0);
    NEEDS(end >= 0);
    memset(&name, 0, sizeof name);
    name.sun_family = AF_UNIX;
    /* The end of the path, as a name that is none of a file. */
    const size_t length = strlen(aside()), room = sizeof name.sun_path - 2;
    strcpy(name.sun_path + 1, aside() + (length > room ? length - room : 0));
    if (me == 2)
        NEEDS(bind(end, (struct sockaddr *)&name, sizeof name) == 0);
    else
        UNTIL(connect(end, (struct sockaddr *)&name, sizeof name) == 0);
    return end;
}

static int is(const char *means, const char *word)
{
    return strcmp(means, word) == 0;
}

static uint64_t *common;
static int end = -1, pipe_to = -1;

/* What is made before anything is put. */
static void prepare(const char *means)
{
    if (is(means, "fifo") || is(means, "pointer") || is(means, "stream") || is(means, "token"))
        NEEDS(mkfifo(aside(), 0600) == 0 || errno == EEXIST);
    if (is(means, "memory"))
        common = in_common(PROT_READ | PROT_WRITE);
    if (is(means, "later")) {
        common = in_common(PROT_READ);
        NEEDS(mprotect(common, 4096, PROT_READ | PROT_WRITE) == 0);
    }
    if (is(means, "pointer") && me != 3)
        NEEDS((pipe_to = open(aside(), O_RDWR)) >= 0);
    if (is(means, "socket") && me != 3)
        end = endpoint();
    if (is(means, "signal") && me == 2) {
        char made[4096];
        struct sigaction action;
        memset(&action, 0, sizeof action);
        action.sa_handler = on_signal;
        NEEDS(sigaction(SIGUSR1, &action, NULL) == 0);
        snprintf(made, sizeof made, "%s.new", aside());
        FILE *const file = fopen(made, "w");
        NEEDS(file != NULL && fprintf(file, "%ld", (long)getpid()) > 0 && fclose(file) == 0);
        NEEDS(rename(made, aside()) == 0);
    }
}

static void say(const char *means)
{
    if (is(means, "fifo") || is(means, "token")) {
        if (is(means, "token"))
            RSM_ANNOTATE_HAPPENS_BEFORE(7);
        const int pipe = open(aside(), O_WRONLY);
        NEEDS(pipe >= 0 && write(pipe, "!", 1) == 1 && close(pipe) == 0);
    } else if (is(means, "pointer")) {
        /* Taken by code, which makes the address one of the program's where that is linked to one place. */
        ssize_t (*volatile writes)(int, const void *, size_t) = write;
        NEEDS(pipe_to >= 0 && writes(pipe_to, "!", 1) == 1);
    } else if (is(means, "stream")) {
        FILE *const stream = fopen(aside(), "w");
        NEEDS(stream != NULL && fputs("!\n", stream) >= 0 && fclose(stream) == 0);
    } else if (is(means, "file")) {
        const int file = open(aside(), O_CREAT | O_WRONLY, 0600);
        NEEDS(file >= 0 && close(file) == 0);
    } else if (is(means, "call")) {
        NEEDS(syscall(SYS_openat, AT_FDCWD, aside(), O_CREAT | O_WRONLY, 0600) >= 0);
    } else if (is(means, "command")) {
        char command[4096];
        snprintf(command, sizeof command, ": > '%s'", aside());
        NEEDS(system(command) == 0);
    } else if (is(means, "memory") || is(means, "later")) {
        __atomic_store_n(common, 1, __ATOMIC_RELEASE);
    } else if (is(means, "socket")) {
        NEEDS(send(end, "!", 1, 0) == 1);
    } else if (is(means, "signal")) {
        long process = 0;
        FILE *file = NULL;
        UNTIL((file = fopen(aside(), "r")) != NULL);
        NEEDS(fscanf(file, "%ld", &process) == 1 && fclose(file) == 0 && kill((pid_t)process, SIGUSR1) == 0);
    } else if (!is(means, "nothing")) {
        fail("%s is no means", means);
    }
}

static void hear(const char *means)
{
    char byte[8];
    if (is(means, "pointer")) {
        NEEDS(read(pipe_to, byte, 1) == 1);
    } else if (is(means, "fifo") || is(means, "token")) {
        const int pipe = open(aside(), O_RDONLY);
        NEEDS(pipe >= 0 && read(pipe, byte, 1) == 1 && close(pipe) == 0);
        if (is(means, "token"))
            RSM_ANNOTATE_HAPPENS_AFTER(7);
    } else if (is(means, "stream")) {
        FILE *const stream = fopen(aside(), "r");
        NEEDS(stream != NULL && fgets(byte, sizeof byte, stream) != NULL && fclose(stream) == 0);
    } else if (is(means, "memory") || is(means, "later")) {
        UNTIL(__atomic_load_n(common, __ATOMIC_ACQUIRE) == 1);
    } else if (is(means, "socket")) {
        NEEDS(recv(end, byte, 1, 0) == 1);
    } else if (is(means, "signal")) {
        UNTIL(signalled == SIGUSR1);
    } else if (is(means, "nothing")) {
        spend(200000);
    } else {
        UNTIL(access(aside(), F_OK) == 0);
    }
}

int main(int argc, char **argv)
{
    const char *const means = argc > 1 ? argv[1] : "";
    char word[] = "good";
    char *words[] = {argv[0], word, NULL};
    ready(2, words, 3);
    prepare(means);
    gather(1);
    if (me == 1) {
        PUT(lobby[3], DATA, BYTES); /* SITE */
        say(means);
    } else if (me == 2) {
        hear(means);
        PUT(lobby[3], DATA, BYTES); /* SITE */
        tell(1, FLAG, 1);
        tell(3, FLAG, 1);
    }
    /* No call of the others comes in between: it would tell what they have done, or may have seen. */
    if (me != 2)
        await(FLAG, 1);
    return finish();
}
