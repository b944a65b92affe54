/* OpenSHMEM: as Open MPI brings it, and rsm's. */
#include "../../c/pair.h"
#include <shmem.h>

#ifndef PEER
#define PEER "openshmem"
#endif

static char *memory; /* symmetric */
static int other;
static long signals_seen;

static void put_bytes(const void *from, size_t size, size_t at)
{
	if (size == 8)
		shmem_uint64_p((uint64_t *)(memory + at), *(const uint64_t *)from, other);
	else
		shmem_putmem(memory + at, from, size, other);
}

static void get_bytes(void *to, size_t size, size_t at)
{
	if (size == 8)
		*(uint64_t *)to = shmem_uint64_g((uint64_t *)(memory + at), other);
	else
		shmem_getmem(to, memory + at, size, other);
}

#define push() ((void)0)
#define order() shmem_fence()
#define flush() shmem_quiet()
#define look() ((void)0)

/* A counter that is added to and waited for: what a signal is in OpenSHMEM 1.4. */
static void post(uint64_t s)
{
	(void)s;
	shmem_long_atomic_inc((long *)(memory + PONG), other);
}

static void await_signal(struct pair *p, uint64_t s)
{
	(void)p, (void)s;
	shmem_long_wait_until((long *)(memory + PONG), SHMEM_CMP_GE, ++signals_seen);
}

#include "onesided.h"

static void fetch_add(struct pair *p, struct job *j)
{
	shmem_uint64_p((uint64_t *)(memory + COUNT), j->first, other);
	shmem_quiet();
	CLOCK(p, j, s, KEEP(shmem_long_atomic_fetch_add((long *)(memory + COUNT), 1, other)));
}

static void meet(struct pair *p, struct job *j)
{
	if (p->side == 0)
		CLOCK(p, j, s, shmem_barrier_all());
	else
		REPEAT(j, s, shmem_barrier_all())
}

static const struct op OPS[] = {
    ONE_SIDED_OPS,
    {"fetch-add", fetch_add, word_check},
    {"meet", meet, NULL},
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
	pair_serve(&p, PEER, OPS);
	shmem_finalize();
	return 0;
}
