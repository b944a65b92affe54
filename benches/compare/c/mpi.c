/* One-sided operations of MPI: Open MPI and MPICH, whichever compiler wrapper builds this. */
#include "../../c/pair.h"
#include <mpi.h>

static MPI_Win window;
static char *memory; /* the own part of the window */
static int other;

static void put_bytes(const void *from, size_t size, size_t at)
{
	MPI_Put(from, (int)size, MPI_BYTE, other, (MPI_Aint)at, (int)size, MPI_BYTE, window);
}

static void flush(void)
{
	MPI_Win_flush(other, window);
}

static void get_bytes(void *to, size_t size, size_t at)
{
	MPI_Get(to, (int)size, MPI_BYTE, other, (MPI_Aint)at, (int)size, MPI_BYTE, window);
	flush();
}

/* There is no moment between a put's start and its completion that says anything. */
#define push() flush()
#define order() flush()

/* Accesses to a window may need the library of its owner. */
static void progress(void)
{
	int there;
	MPI_Iprobe(MPI_ANY_SOURCE, 77, MPI_COMM_WORLD, &there, MPI_STATUS_IGNORE);
}

static void look(void)
{
	MPI_Win_sync(window);
#ifndef OPEN_MPI
	progress();
#endif
}

static void post(uint64_t s)
{
	MPI_Send(&s, 1, MPI_UINT64_T, other, 0, MPI_COMM_WORLD);
}

static void await_signal(struct pair *p, uint64_t s)
{
	uint64_t found;
	(void)p;
	MPI_Recv(&found, 1, MPI_UINT64_T, other, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
	same_word(found, s);
}

#include "onesided.h"

static void fetch_add(struct pair *p, struct job *j)
{
	uint64_t one = 1, old;
	put_bytes(&j->first, 8, COUNT);
	MPI_Win_flush(other, window);
	CLOCK(p, j, s, MPI_Fetch_and_op(&one, &old, MPI_UINT64_T, other, COUNT, MPI_SUM, window);
	      MPI_Win_flush(other, window));
}

static void meet(struct pair *p, struct job *j)
{
	if (p->side == 0)
		CLOCK(p, j, s, MPI_Barrier(MPI_COMM_WORLD));
	else
		REPEAT(j, s, MPI_Barrier(MPI_COMM_WORLD))
}

/* A window made and locked by both: what exporting, publishing, connecting and mapping are together. */
static void publish(struct pair *p, struct job *j)
{
	uint64_t sum = 0, end = 0, sample = 0;
	REPEAT(j, s, {
		MPI_Win fresh;
		char *start;
		MPI_Barrier(MPI_COMM_WORLD);
		uint64_t began = now();
		MPI_Win_allocate((MPI_Aint)j->size, 1, MPI_INFO_NULL, MPI_COMM_WORLD, &start, &fresh);
		MPI_Win_lock_all(0, fresh);
		sum += now() - began;
		MPI_Put(&s, 1, MPI_UINT64_T, other, 0, 1, MPI_UINT64_T, fresh);
		MPI_Win_flush(other, fresh);
		MPI_Barrier(MPI_COMM_WORLD);
		MPI_Win_sync(fresh);
		same_word(get_word(word_of(start, 0)), s);
		MPI_Win_unlock_all(fresh);
		MPI_Win_free(&fresh);
		if (++end == j->batch) {
			if (sample++ >= j->warm)
				p->taken[sample - 1 - j->warm] = sum;
			end = sum = 0;
		}
	})
}

static const struct op OPS[] = {
    ONE_SIDED_OPS,
    {"fetch-add", fetch_add, word_check},
    {"meet", meet, NULL},
    {"publish", publish, NULL},
    {NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
	struct pair p;
	int rank, count;
	MPI_Init(&argc, &argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	MPI_Comm_size(MPI_COMM_WORLD, &count);
	pair_open(&p, rank);
	other = 1 - rank;
	if (count != 2)
		fail("%d processes were started, not 2", count);
	MPI_Info info;
	MPI_Info_create(&info);
	MPI_Info_set(info, "alloc_shm", "true");
	MPI_Win_allocate((MPI_Aint)(HEAD + p.room), 1, info, MPI_COMM_WORLD, &memory, &window);
	MPI_Info_free(&info);
	memset(memory, 0, HEAD + p.room);
	MPI_Win_lock_all(0, window);
	MPI_Barrier(MPI_COMM_WORLD);
	p.idle = progress;
	/* The first access may need the partner's help, which it gives only inside the library. */
	put_flag(0);
	MPI_Barrier(MPI_COMM_WORLD);
#ifdef OPEN_MPI
	pair_serve(&p, "openmpi", OPS);
#else
	pair_serve(&p, "mpich", OPS);
#endif
	MPI_Win_unlock_all(window);
	MPI_Win_free(&window);
	MPI_Finalize();
	return 0;
}
