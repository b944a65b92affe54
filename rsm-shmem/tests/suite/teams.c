/* Teams and contexts. */
#include "suite.h"

static void predefined(void) {
    shmem_team_config_t config = {7};
    CHECK(shmem_team_my_pe(SHMEM_TEAM_WORLD) == me && shmem_team_n_pes(SHMEM_TEAM_WORLD) == n);
    CHECK(shmem_team_my_pe(SHMEM_TEAM_SHARED) == me && shmem_team_n_pes(SHMEM_TEAM_SHARED) == n);
    CHECK(shmem_team_my_pe(SHMEM_TEAM_INVALID) == -1 && shmem_team_n_pes(SHMEM_TEAM_INVALID) == -1);
    CHECK(shmem_team_get_config(SHMEM_TEAM_WORLD, SHMEM_TEAM_NUM_CONTEXTS, &config) == 0 && config.num_contexts == 0);
    CHECK(shmem_team_get_config(SHMEM_TEAM_WORLD, 0, NULL) == 0);
    CHECK(shmem_team_get_config(SHMEM_TEAM_WORLD, 64, &config) != 0);
    CHECK(shmem_team_get_config(SHMEM_TEAM_INVALID, SHMEM_TEAM_NUM_CONTEXTS, &config) == -1);
    CHECK(shmem_team_translate_pe(SHMEM_TEAM_WORLD, n - 1, SHMEM_TEAM_SHARED) == n - 1);
    CHECK(shmem_team_translate_pe(SHMEM_TEAM_WORLD, n, SHMEM_TEAM_SHARED) == -1);
    CHECK(shmem_team_translate_pe(SHMEM_TEAM_WORLD, -1, SHMEM_TEAM_SHARED) == -1);
    CHECK(shmem_team_translate_pe(SHMEM_TEAM_WORLD, 0, SHMEM_TEAM_INVALID) == -1);
    CHECK(shmem_team_translate_pe(SHMEM_TEAM_INVALID, 0, SHMEM_TEAM_WORLD) == -1);
    shmem_team_destroy(SHMEM_TEAM_INVALID);
}

static void strided(void) {
    shmem_team_t team = SHMEM_TEAM_WORLD, back = SHMEM_TEAM_WORLD, none = SHMEM_TEAM_WORLD;
    shmem_team_config_t config = {3}, got = {0};
    int size = (n + 1) / 2;
    CHECK(shmem_team_split_strided(SHMEM_TEAM_WORLD, 0, 2, size, &config, SHMEM_TEAM_NUM_CONTEXTS, &team) == 0);
    CHECK((team != SHMEM_TEAM_INVALID) == (me % 2 == 0));
    if (team != SHMEM_TEAM_INVALID) {
        CHECK(shmem_team_my_pe(team) == me / 2 && shmem_team_n_pes(team) == size);
        CHECK(shmem_team_get_config(team, SHMEM_TEAM_NUM_CONTEXTS, &got) == 0 && got.num_contexts == 3);
        CHECK(shmem_team_translate_pe(team, size - 1, SHMEM_TEAM_WORLD) == (size - 1) * 2);
        CHECK(shmem_team_translate_pe(SHMEM_TEAM_WORLD, 0, team) == 0);
        CHECK(n == 1 || shmem_team_translate_pe(SHMEM_TEAM_WORLD, 1, team) == -1);
        /* A team of a team, the other way round. */
        CHECK(shmem_team_split_strided(team, size - 1, -1, size, NULL, 0, &back) == 0);
        CHECK(shmem_team_my_pe(back) == size - 1 - me / 2);
        static int from, to;
        from = me;
        CHECK(shmem_int_broadcast(back, &to, &from, 1, 0) == 0 && to == (size - 1) * 2);
        shmem_team_destroy(back);
        shmem_team_destroy(team);
    }
    /* What does not fit. */
    CHECK(shmem_team_split_strided(SHMEM_TEAM_WORLD, 0, 1, n + 1, NULL, 0, &none) != 0 && none == SHMEM_TEAM_INVALID);
    CHECK(shmem_team_split_strided(SHMEM_TEAM_WORLD, n, 1, 1, NULL, 0, &none) != 0);
    CHECK(shmem_team_split_strided(SHMEM_TEAM_WORLD, 0, 1, 0, NULL, 0, &none) != 0);
    CHECK(shmem_team_split_strided(SHMEM_TEAM_WORLD, 0, 0, 2, NULL, 0, &none) != 0);
    CHECK(shmem_team_split_strided(SHMEM_TEAM_WORLD, 0, 1, 1, NULL, 64, &none) != 0);
    CHECK(shmem_team_split_strided(SHMEM_TEAM_INVALID, 0, 1, 1, NULL, 0, &none) != 0 && none == SHMEM_TEAM_INVALID);
}

static void rows_and_columns(void) {
    for (int range = 1; range <= n + 1; range++) {
        int wide = range < n ? range : n;
        shmem_team_t row, column;
        CHECK(shmem_team_split_2d(SHMEM_TEAM_WORLD, range, NULL, 0, &row, NULL, 0, &column) == 0);
        CHECK(shmem_team_my_pe(row) == me % wide && shmem_team_my_pe(column) == me / wide);
        CHECK(shmem_team_translate_pe(row, 0, SHMEM_TEAM_WORLD) == me / wide * wide);
        CHECK(shmem_team_translate_pe(column, 0, SHMEM_TEAM_WORLD) == me % wide);
        static long from, to;
        from = me;
        CHECK(shmem_long_sum_reduce(row, &to, &from, 1) == 0);
        long expected = 0;
        for (int pe = me / wide * wide; pe < n && pe < (me / wide + 1) * wide; pe++) expected += pe;
        CHECK(to == expected);
        CHECK(shmem_long_sum_reduce(column, &to, &from, 1) == 0);
        expected = 0;
        for (int pe = me % wide; pe < n; pe += wide) expected += pe;
        CHECK(to == expected);
        shmem_team_destroy(row);
        shmem_team_destroy(column);
    }
    shmem_team_t row, column;
    CHECK(shmem_team_split_2d(SHMEM_TEAM_WORLD, 0, NULL, 0, &row, NULL, 0, &column) != 0);
    CHECK(row == SHMEM_TEAM_INVALID && column == SHMEM_TEAM_INVALID);
    CHECK(shmem_team_split_2d(SHMEM_TEAM_INVALID, 1, NULL, 0, &row, NULL, 0, &column) != 0);
}

/* As many as there can be; then as many again. */
static void many(void) {
    shmem_team_t all[64];
    for (int round = 0; round < 2; round++) {
        int made = 0;
        while (shmem_team_split_strided(SHMEM_TEAM_WORLD, 0, 1, n, NULL, 0, &all[made]) == 0) made++;
        CHECK(made == 62 && all[made] == SHMEM_TEAM_INVALID);
        for (int i = 0; i < made; i++) CHECK(shmem_team_sync(all[i]) == 0);
        for (int i = 0; i < made; i++) shmem_team_destroy(all[i]);
    }
}

void teams(void) {
    predefined();
    strided();
    rows_and_columns();
    many();
}

void contexts(void) {
    static long box[8];
    shmem_ctx_t ctx, of_team;
    shmem_team_t team, got;
    CHECK(shmem_ctx_create(SHMEM_CTX_NOSTORE | SHMEM_CTX_PRIVATE, &ctx) == 0 && ctx != SHMEM_CTX_INVALID);
    CHECK(shmem_ctx_get_team(ctx, &got) == 0 && got == SHMEM_TEAM_WORLD);
    CHECK(shmem_ctx_get_team(SHMEM_CTX_DEFAULT, &got) == 0 && got == SHMEM_TEAM_WORLD);
    CHECK(shmem_ctx_get_team(SHMEM_CTX_INVALID, &got) != 0 && got == SHMEM_TEAM_INVALID);
    CHECK(shmem_team_create_ctx(SHMEM_TEAM_INVALID, 0, &of_team) != 0 && of_team == SHMEM_CTX_INVALID);
    /* Who is not in a team may do as the others. */
    shmem_ctx_fence(of_team);
    shmem_ctx_quiet(of_team);
    shmem_ctx_destroy(of_team);
    /* PEs of a context are those of its team. */
    CHECK(shmem_team_split_strided(SHMEM_TEAM_WORLD, n - 1, -1, n, NULL, 0, &team) == 0);
    CHECK(shmem_team_create_ctx(team, 0, &of_team) == 0);
    CHECK(shmem_ctx_get_team(of_team, &got) == 0 && got == team);
    shmem_barrier_all();
    shmem_ctx_long_p(of_team, box, me, 0);          /* all to the last PE, in the world */
    shmem_ctx_long_p(of_team, box + 1, me + 1, me); /* to its mirror image */
    shmem_ctx_quiet(of_team);
    shmem_barrier_all();
    CHECK(box[1] == n - me);
    CHECK(me == n - 1 ? box[0] >= 0 && box[0] < n : box[0] == 0);
    CHECK(shmem_ctx_long_g(of_team, box + 1, 0) == 1);
    shmem_barrier_all();
    shmem_ctx_fence(ctx);
    shmem_ctx_destroy(ctx);
    shmem_team_destroy(team); /* and its context */
    /* As many as there can be. */
    static shmem_ctx_t all[2000];
    int made = 0;
    while (made < 2000 && shmem_ctx_create(0, &all[made]) == 0) made++;
    CHECK(made == 1024 && all[made] == SHMEM_CTX_INVALID);
    shmem_ctx_long_p(all[1000], box + 2, 9, next_pe());
    shmem_ctx_quiet(all[1000]);
    shmem_barrier_all();
    CHECK(box[2] == 9);
    while (made-- > 10) shmem_ctx_destroy(all[made]);
    /* The others end with the library. */
    shmem_barrier_all();
    box[0] = box[1] = box[2] = 0;
}
