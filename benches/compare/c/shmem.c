/* OpenSHMEM, as Open MPI brings it. */
#include "../../c/pair.h"
#include <shmem.h>

static char *memory; /* symmetric */
static int other;
static long signals_seen;

static void put_flag(uint64_t s)
{
	shmem_uint64_p((uint64_t *)(memory + PING), s, other);
}

static void word_check(struct pair *p, size_t size, uint64_t last)
{
	(void)p, (void)size;
	same_word(get_word(word_of(memory, COUNT)), last);
}

static void data_check(struct pair *p, size_t size, uint64_t last)
{
	(void)p;
	intact(memory + HEAD, size, last);
}

static void put64(struct pair *p, struct job *j)
{
	CLOCK(p, j, s, shmem_uint64_p((uint64_t *)(memory + COUNT), s, other));
	shmem_quiet();
}

static void barrier(struct pair *p, struct job *j)
{
	CLOCK(p, j, s, shmem_uint64_p((uint64_t *)(memory + COUNT), s, other); shmem_quiet());
}

static void get64(struct pair *p, struct job *j)
{
	CLOCK(p, j, s, KEEP(shmem_uint64_g((uint64_t *)(memory + COUNT), other)));
}

static void fetch_add(struct pair *p, struct job *j)
{
	shmem_uint64_p((uint64_t *)(memory + COUNT), j->first, other);
	shmem_quiet();
	CLOCK(p, j, s, KEEP(shmem_long_atomic_fetch_add((long *)(memory + COUNT), 1, other)));
}

static void put(struct pair *p, struct job *j)
{
	make_buffer(p, j->size, last_of(j));
	CLOCK(p, j, s, shmem_putmem(memory + HEAD, p->buffer, j->size, other));
	shmem_quiet();
}

static void get(struct pair *p, struct job *j)
{
	make_buffer(p, j->size, last_of(j));
	shmem_putmem(memory + HEAD, p->buffer, j->size, other);
	shmem_quiet();
	CLOCK(p, j, s, shmem_getmem(p->buffer, memory + HEAD, j->size, other));
	intact(p->buffer, j->size, last_of(j));
}

#define SEND(s) \
	if (j->size > 8) { \
		stamp_data(p->buffer, j->size, s); \
		shmem_putmem(memory + HEAD, p->buffer, j->size, other); \
		shmem_fence(); \
	} \
	put_flag(s)
#define RECEIVE(s) UNTIL(p, get_word(word_of(memory, PING)) == s)

static void latency(struct pair *p, struct job *j)
{
	make_buffer(p, j->size, 0);
	if (p->side == 0)
		CLOCK(p, j, s, SEND(s); RECEIVE(s); if (j->size > 8) arrived(memory + HEAD, j->size, s));
	else
		REPEAT(j, s, RECEIVE(s); if (j->size > 8) arrived(memory + HEAD, j->size, s); SEND(s))
}

static void ack(struct pair *p, struct job *j)
{
	uint64_t expected = expected_sum(j->size);
	make_buffer(p, j->size, 0);
	if (p->side == 0)
		CLOCK(p, j, s, SEND(s); RECEIVE(s));
	else
		REPEAT(j, s, RECEIVE(s); read_all(memory + HEAD, j->size, expected, s); put_flag(s))
}

static void meet(struct pair *p, struct job *j)
{
	if (p->side == 0)
		CLOCK(p, j, s, shmem_barrier_all());
	else
		REPEAT(j, s, shmem_barrier_all())
}

/* A counter that is added to and waited for: what a signal is in 1.4. */
static void post(void)
{
	shmem_long_atomic_inc((long *)(memory + PONG), other);
}

static void wait_signal(void)
{
	shmem_long_wait_until((long *)(memory + PONG), SHMEM_CMP_GE, ++signals_seen);
}

static void signals(struct pair *p, struct job *j)
{
	if (p->side == 0)
		CLOCK(p, j, s, post(); wait_signal());
	else
		REPEAT(j, s, wait_signal(); post())
}

static void notify(struct pair *p, struct job *j)
{
	make_buffer(p, j->size, 0);
	if (p->side == 0)
		CLOCK(p, j, s, stamp_data(p->buffer, j->size, s);
		      shmem_putmem(memory + HEAD, p->buffer, j->size, other); shmem_fence(); post(); wait_signal());
	else
		REPEAT(j, s, wait_signal(); arrived(memory + HEAD, j->size, s); post())
}

static const struct op OPS[] = {
    {"put64", put64, word_check},
    {"barrier", barrier, word_check},
    {"get64", get64, NULL},
    {"fetch-add", fetch_add, word_check},
    {"put", put, data_check},
    {"get", get, data_check},
    {"latency", latency, NULL},
    {"ack", ack, NULL},
    {"meet", meet, NULL},
    {"signal", signals, NULL},
    {"notify", notify, NULL},
    {NULL, NULL, NULL},
};

int main(void)
{
	struct pair p;
	shmem_init();
	pair_open(&p, shmem_my_pe());
	other = 1 - shmem_my_pe();
	memory = shmem_align(4096, HEAD + p.room);
	if (!memory)
		fail("no symmetric memory for %zu bytes", HEAD + p.room);
	memset(memory, 0, HEAD + p.room);
	shmem_barrier_all();
	pair_serve(&p, "openshmem", OPS);
	shmem_finalize();
	return 0;
}
