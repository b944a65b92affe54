/* A program that loads the library, uses it, lets go of it, and goes on: the library's threads run its code. */
#include "surroundings.h"
#include <dlfcn.h>
#include <sys/mman.h>
#include <sys/wait.h>

static void *library;

static void *symbol(const char *name)
{
    void *found = dlsym(library, name);
    MUST(found != NULL);
    return found;
}

static void use(void)
{
    int (*get)(char *, rsmapi_controller_handle_t *);
    int (*create)(rsmapi_controller_handle_t, rsm_memseg_export_handle_t *, void *, size_t, uint_t);
    int (*destroy)(rsm_memseg_export_handle_t);
    rsmapi_controller_handle_t controller;
    rsm_memseg_export_handle_t exported;
    char name[] = "shm0";
    void *memory = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MUST(memory != MAP_FAILED);
    *(void **)&get = symbol("rsm_get_controller");
    *(void **)&create = symbol("rsm_memseg_export_create");
    *(void **)&destroy = symbol("rsm_memseg_export_destroy");
    MUST(get(name, &controller) == 0);
    MUST(create(controller, &exported, memory, 65536, 0) == 0);
    MUST(destroy(exported) == 0);
}

static void forked_child(void)
{
    int status;
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    MUST(waitpid(child, &status, 0) == child && status == 0);
}

int main(int count, char **words)
{
    MUST(count == 2);
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 0; i < 3; i++) {
        library = dlopen(words[1], RTLD_NOW | RTLD_LOCAL);
        if (library == NULL)
            puts(dlerror());
        MUST(library != NULL);
        use();
        MUST(dlclose(library) == 0);
        /* Hooks that it has registered run, and its threads. */
        forked_child();
    }
    MUST(atexit(forked_child) == 0);
    puts("end");
    return 0;
}
