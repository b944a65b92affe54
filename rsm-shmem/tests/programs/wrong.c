/* Mistakes, one at a time: PE 0 makes it, the others wait in a barrier. */
#include <shmem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static long word, words[8];
static long sync_words[SHMEM_SYNC_SIZE];
static double real;
static uint64_t flag;

int main(int argc, char **argv) {
    if (argc < 2) return 2;
    const char *mistake = argv[1];
#define IS(name) else if (!strcmp(mistake, name))
    if (!strcmp(mistake, "before_init")) shmem_barrier_all();
    shmem_init();
    int local = 0;
    long automatic = 0, *volatile null = NULL;
    char *odd = (char *)words + 3;
    shmem_team_t team = SHMEM_TEAM_INVALID;
    shmem_ctx_t ctx;
    shmem_ctx_create(0, &ctx);
    char *block = shmem_malloc(100);
    if (shmem_my_pe() != 0) {
        shmem_barrier_all();
        return 0;
    }
    if (0) {}
    IS("put_null_dest") shmem_long_put(null, &automatic, 1, 1);
    IS("put_null_source") shmem_long_put(&word, null, 1, 1);
    IS("put_stack") shmem_long_p(&automatic, 1, 1);
    IS("put_misaligned") shmem_long_put((long *)(void *)odd, &automatic, 1, 1);
    IS("put_beyond") shmem_putmem(block, block, (size_t)1 << 40, 1);
    IS("put_overflow") shmem_long_put(&word, &automatic, (size_t)1 << 62, 1);
    IS("put_pe") shmem_long_p(&word, 1, 2);
    IS("put_pe_negative") shmem_double_p(&real, 1, -1);
    IS("put_ctx_invalid") shmem_ctx_long_p(SHMEM_CTX_INVALID, &word, 1, 1);
    IS("put_ctx_destroyed") {
        shmem_ctx_destroy(ctx);
        shmem_ctx_long_p(ctx, &word, 1, 1);
    }
    IS("get_stack") shmem_long_get(&word, &automatic, 1, 1);
    IS("get_null_dest") shmem_getmem(null, &word, 8, 1);
    IS("iput_stride") shmem_long_iput(words, words, 0, 1, 2, 1);
    IS("atomic_misaligned") shmem_int_atomic_inc((int *)(void *)odd, 1);
    IS("atomic_null_fetch") shmem_long_atomic_fetch_nbi(null, &word, 1);
    IS("atomic_function") shmem_long_atomic_add((long *)(void *)main, 1, 1);
    IS("signal_op") shmem_long_put_signal(&word, &automatic, 1, &flag, 1, 77, 1);
    IS("signal_address") shmem_long_put_signal(&word, &automatic, 1, (uint64_t *)&automatic, 1, SHMEM_SIGNAL_SET, 1);
    IS("wait_cmp") shmem_long_wait_until(&word, 99, 1);
    IS("wait_stack") shmem_int_wait_until(&local, SHMEM_CMP_EQ, 0);
    IS("wait_indices") shmem_long_wait_until_some(words, 2, NULL, NULL, SHMEM_CMP_EQ, 0);
    IS("test_values") shmem_long_test_all_vector(words, 2, NULL, SHMEM_CMP_EQ, NULL);
    IS("free_inside") {
        shmem_free(block + 16);
    }
    IS("align") shmem_align(24, 8);
    IS("hints") shmem_malloc_with_hints(8, 1024);
    IS("broadcast_root") shmem_long_broadcast(SHMEM_TEAM_WORLD, &word, words, 1, 5);
    IS("team_garbage") shmem_team_n_pes((shmem_team_t)(void *)0x7700);
    IS("team_destroyed") {
        shmem_team_n_pes((shmem_team_t)(void *)(size_t)(256 + 2));
    }
    IS("team_world") shmem_team_destroy(SHMEM_TEAM_WORLD);
    IS("team_null") shmem_team_split_strided(team, 0, 1, 1, NULL, 0, NULL);
    IS("ctx_default") shmem_ctx_destroy(SHMEM_CTX_DEFAULT);
    IS("ctx_options") shmem_ctx_create(1024, &ctx);
    IS("ctx_null") shmem_ctx_create(0, NULL);
    IS("set_start") shmem_barrier(5, 0, 1, sync_words);
    IS("set_size") shmem_barrier(0, 0, 3, sync_words);
    IS("set_not_in") shmem_sync(1, 0, 1, sync_words);
    IS("set_null") shmem_sync(0, 0, 2, NULL);
    IS("lock_stack") shmem_set_lock(&automatic);
    IS("lock_used") {
        shmem_long_atomic_set(&word, 77, 0);
        shmem_long_atomic_set(&word, 77, 1);
        shmem_set_lock(&word);
    }
    IS("lock_not_held") shmem_clear_lock(&word);
    IS("provided_null") shmem_query_thread(NULL);
    IS("twice") {
        printf("not finalized by all\n");
        shmem_info_get_name(NULL);
    }
    else {
        fprintf(stderr, "no such mistake: %s\n", mistake);
        return 4;
    }
    fprintf(stderr, "it went on\n");
    return 5;
}
