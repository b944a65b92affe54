/*
 * The operations of rsm through librsm, for `rsm-ctl perf --also rsm_perf`: the same list that rsm-ctl measures through
 * the Rust API.
 *
 *     sh rsm-capi/install.sh --prefix ~/.local
 *     cc -O2 -o rsm_perf benches/c/rsm_perf.c $(pkg-config --cflags --libs rsm)
 */
#include "pair.h"
#include <rsmapi.h>

#define FLAG 0
#define CHECK(call) \
	do { \
		const int error_ = (call); \
		if (error_ != RSM_SUCCESS) \
			fail("%s: RSMERR %d", #call, error_); \
	} while (0)

static rsmapi_controller_handle_t controller;
static rsm_memseg_export_handle_t seg;
static rsm_memseg_import_handle_t imp;
static rsm_node_id_t partner;
static rsmapi_barrier_t own_barrier;
static char *memory, *mapping; /* the own export; the partner's */

static rsm_memseg_id_t publish(rsm_memseg_export_handle_t handle)
{
	rsm_memseg_id_t id = 0;
	rsmapi_access_entry_t access = {.ae_node = partner, .ae_permission = RSM_ACCESS_TRUSTED};
	CHECK(rsm_memseg_export_publish(handle, &id, &access, 1));
	return id;
}

static char *pages(size_t length)
{
	char *start = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (start == MAP_FAILED)
		fail("no memory for %zu bytes", length);
	return start;
}

static void set_up(struct pair *p)
{
	char name[] = "shm0";
	void *address = NULL;
	size_t length = (HEAD + p->room + HEAD - 1) / HEAD * HEAD;
	const char *node = getenv("RSM_NODE_ID");
	uint64_t mine[7] = {node ? strtoull(node, NULL, 10) : 0}, theirs[7];
	CHECK(rsm_get_controller(name, &controller));
	memory = pages(length);
	CHECK(rsm_memseg_export_create(controller, &seg, memory, length, 0));
	/* Open to every node: who the partner is will be known when it has said so. */
	rsm_memseg_id_t id = 0;
	CHECK(rsm_memseg_export_publish(seg, &id, NULL, 0));
	mine[1] = id;
	pair_introduce(p, mine, theirs);
	partner = (rsm_node_id_t)theirs[0];
	CHECK(rsm_memseg_import_connect(controller, partner, (rsm_memseg_id_t)theirs[1], RSM_PERM_RDWR, &imp));
	/* All of it: transfers reach what is mapped. */
	CHECK(rsm_memseg_import_map(imp, &address, RSM_MAP_NONE, RSM_PERM_RDWR, 0, length));
	mapping = address;
	/* Implicit transfers need an import on which a barrier was initialised once. */
	CHECK(rsm_memseg_import_init_barrier(imp, RSM_BARRIER_NODE, &own_barrier));
}

static void mode(rsm_barrier_mode_t wanted)
{
	CHECK(rsm_memseg_import_set_mode(imp, wanted));
}

static inline void put64(off_t at, uint64_t value)
{
	CHECK(rsm_memseg_import_put64(imp, at, &value, 1));
}

static inline uint64_t get64(off_t at)
{
	uint64_t value;
	CHECK(rsm_memseg_import_get64(imp, at, &value, 1));
	return value;
}

static inline void post(void)
{
	CHECK(rsm_intr_signal_post(imp, 0));
}

static inline void wait_signal(void)
{
	CHECK(rsm_intr_signal_wait(seg, -1));
}

static void word_check(struct pair *p, size_t size, uint64_t last)
{
	(void)p, (void)size;
	same_word(get_word(word_of(memory, COUNT)), last);
}

static void store(struct pair *p, struct job *j)
{
	word_t *at = word_of(mapping, COUNT);
	CLOCK(p, j, s, atomic_store_explicit(at, s, memory_order_relaxed));
}

static void put64_explicit(struct pair *p, struct job *j)
{
	mode(RSM_BARRIER_MODE_EXPLICIT);
	CLOCK(p, j, s, put64(COUNT, s));
}

static void put64_implicit(struct pair *p, struct job *j)
{
	mode(RSM_BARRIER_MODE_IMPLICIT);
	CLOCK(p, j, s, put64(COUNT, s));
}

static void get64_explicit(struct pair *p, struct job *j)
{
	mode(RSM_BARRIER_MODE_EXPLICIT);
	CLOCK(p, j, s, KEEP(get64(COUNT)));
}

static void get64_implicit(struct pair *p, struct job *j)
{
	mode(RSM_BARRIER_MODE_IMPLICIT);
	CLOCK(p, j, s, KEEP(get64(COUNT)));
}

static void barrier(struct pair *p, struct job *j)
{
	rsmapi_barrier_t b;
	mode(RSM_BARRIER_MODE_EXPLICIT);
	CHECK(rsm_memseg_import_init_barrier(imp, RSM_BARRIER_NODE, &b));
	CLOCK(p, j, s, CHECK(rsm_memseg_import_open_barrier(&b)); put64(COUNT, s);
	      CHECK(rsm_memseg_import_close_barrier(&b)));
	CHECK(rsm_memseg_import_destroy_barrier(&b));
}

static void fetch_add(struct pair *p, struct job *j)
{
	word_t *at = word_of(mapping, COUNT);
	atomic_store(at, j->first);
	CLOCK(p, j, s, KEEP(atomic_fetch_add_explicit(at, 1, memory_order_acq_rel)));
}

static void post_only(struct pair *p, struct job *j)
{
	put_word(word_of(p->region, COUNT), last_of(j) - j->first);
	CLOCK(p, j, s, post());
}

static void post_check(struct pair *p, size_t size, uint64_t last)
{
	uint64_t taken = 0;
	int error;
	(void)size, (void)last;
	while ((error = rsm_intr_signal_wait(seg, 0)) == RSM_SUCCESS)
		taken++;
	if (error != RSMERR_TIMEOUT)
		fail("rsm_intr_signal_wait: RSMERR %d", error);
	same_word(taken, get_word(word_of(p->region, COUNT)));
}

static void put(struct pair *p, struct job *j)
{
	mode(RSM_BARRIER_MODE_EXPLICIT);
	make_buffer(p, j->size, last_of(j));
	CLOCK(p, j, s, CHECK(rsm_memseg_import_put(imp, HEAD, p->buffer, j->size)));
}

static void data_check(struct pair *p, size_t size, uint64_t last)
{
	(void)p;
	intact(memory + HEAD, size, last);
}

static void get(struct pair *p, struct job *j)
{
	mode(RSM_BARRIER_MODE_EXPLICIT);
	make_buffer(p, j->size, last_of(j));
	CHECK(rsm_memseg_import_put(imp, HEAD, p->buffer, j->size));
	CLOCK(p, j, s, CHECK(rsm_memseg_import_get(imp, HEAD, p->buffer, j->size)));
	intact(p->buffer, j->size, last_of(j));
}

/* Payload, then the word that the partner waits for; order_barrier keeps them so. */
#define SEND_DATA(s) \
	if (j->size > 8) { \
		stamp_data(p->buffer, j->size, s); \
		CHECK(rsm_memseg_import_put(imp, HEAD, p->buffer, j->size)); \
		CHECK(rsm_memseg_import_order_barrier(&b)); \
	} \
	put64(FLAG, s)
#define RECEIVE_WORD(s) UNTIL(p, get_word(word_of(memory, FLAG)) == s)

static void latency(struct pair *p, struct job *j)
{
	rsmapi_barrier_t b;
	mode(RSM_BARRIER_MODE_EXPLICIT);
	make_buffer(p, j->size, 0);
	CHECK(rsm_memseg_import_init_barrier(imp, RSM_BARRIER_NODE, &b));
	CHECK(rsm_memseg_import_open_barrier(&b));
#define RECEIVE_DATA(s) \
	RECEIVE_WORD(s); \
	if (j->size > 8) \
		arrived(memory + HEAD, j->size, s)
	if (p->side == 0)
		CLOCK(p, j, s, SEND_DATA(s); RECEIVE_DATA(s));
	else
		REPEAT(j, s, RECEIVE_DATA(s); SEND_DATA(s))
	CHECK(rsm_memseg_import_close_barrier(&b));
	CHECK(rsm_memseg_import_destroy_barrier(&b));
}

static void ack(struct pair *p, struct job *j)
{
	uint64_t expected = expected_sum(j->size);
	rsmapi_barrier_t b;
	mode(RSM_BARRIER_MODE_EXPLICIT);
	make_buffer(p, j->size, 0);
	CHECK(rsm_memseg_import_init_barrier(imp, RSM_BARRIER_NODE, &b));
	CHECK(rsm_memseg_import_open_barrier(&b));
	if (p->side == 0)
		CLOCK(p, j, s, SEND_DATA(s); RECEIVE_WORD(s));
	else
		REPEAT(j, s, RECEIVE_WORD(s); read_all(memory + HEAD, j->size, expected, s); put64(FLAG, s))
	CHECK(rsm_memseg_import_close_barrier(&b));
	CHECK(rsm_memseg_import_destroy_barrier(&b));
}

static void rate(struct pair *p, struct job *j)
{
	uint64_t last = last_of(j), room = j->first;
	word_t *flag = word_of(memory, FLAG);
	mode(RSM_BARRIER_MODE_EXPLICIT);
#define SLOT(s) (SLOTS_AT + (s) % SLOTS * 64)
	if (p->side == 0)
		CLOCK(p, j, s, if (s > room + SLOTS) UNTIL(p, (room = get_word(flag)) + SLOTS >= s && room <= s);
		      put64((off_t)SLOT(s), s); if (s == last) UNTIL(p, get_word(flag) == last));
	else
		REPEAT(j, s, UNTIL(p, get_word(word_of(memory, SLOT(s))) == s);
		       if ((s - j->first) % CREDIT == 0 || s == last) put64(FLAG, s))
}

static void meet(struct pair *p, struct job *j)
{
	word_t *flag = word_of(memory, FLAG);
	mode(RSM_BARRIER_MODE_EXPLICIT);
	if (p->side == 0)
		CLOCK(p, j, s, put64(FLAG, s); UNTIL(p, get_word(flag) >= s));
	else
		REPEAT(j, s, put64(FLAG, s); UNTIL(p, get_word(flag) >= s))
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
	mode(RSM_BARRIER_MODE_EXPLICIT);
	make_buffer(p, j->size, 0);
	if (p->side == 0)
		CLOCK(p, j, s, stamp_data(p->buffer, j->size, s);
		      CHECK(rsm_memseg_import_put(imp, HEAD, p->buffer, j->size)); post(); wait_signal());
	else
		REPEAT(j, s, wait_signal(); arrived(memory + HEAD, j->size, s); post())
}

static void signals_asleep(struct pair *p, struct job *j)
{
	ASLEEP(p, j, s, post(), wait_signal());
}

/* Clocks what is between BEGIN and END of the statements. */
#define COLLECT(p, j, s, ...) \
	do { \
		uint64_t s = (j)->first; \
		for (uint64_t sample_ = 0; sample_ < (j)->warm + (j)->samples; sample_++) { \
			uint64_t sum_ = 0; \
			for (uint64_t left_ = (j)->batch; left_; left_--) { \
				uint64_t took = 0; \
				s++; \
				__VA_ARGS__; \
				sum_ += took; \
			} \
			if (sample_ >= (j)->warm) \
				(p)->taken[sample_ - (j)->warm] = sum_; \
		} \
	} while (0)

static void connect_and_map(struct pair *p, struct job *j)
{
	if (p->side == 0) {
		sleep_until(p, READY, last_of(j));
		rsm_memseg_id_t id = (rsm_memseg_id_t)get_word(word_of(p->region, COUNT));
		COLLECT(p, j, s, {
			rsm_memseg_import_handle_t other;
			void *address = NULL;
			uint64_t began = now();
			CHECK(rsm_memseg_import_connect(controller, partner, id, RSM_PERM_RDWR, &other));
			CHECK(rsm_memseg_import_map(other, &address, RSM_MAP_NONE, RSM_PERM_RDWR, 0, j->size));
			put_word(word_of(address, FLAG), s);
			took = now() - began;
			CHECK(rsm_memseg_import_unmap(other));
			CHECK(rsm_memseg_import_disconnect(other));
			wake_word(p, PING, s);
			sleep_until(p, PONG, s);
		});
	} else {
		rsm_memseg_export_handle_t other;
		char *start = pages(j->size);
		CHECK(rsm_memseg_export_create(controller, &other, start, j->size, 0));
		put_word(word_of(p->region, COUNT), publish(other));
		wake_word(p, READY, last_of(j));
		REPEAT(j, s, sleep_until(p, PING, s); same_word(get_word(word_of(start, FLAG)), s); wake_word(p, PONG, s))
		CHECK(rsm_memseg_export_destroy(other));
		munmap(start, j->size);
	}
}

static void export_and_publish(struct pair *p, struct job *j)
{
	if (p->side == 0) {
		COLLECT(p, j, s, {
			rsm_memseg_export_handle_t other;
			uint64_t began = now();
			char *start = pages(j->size);
			CHECK(rsm_memseg_export_create(controller, &other, start, j->size, 0));
			rsm_memseg_id_t id = publish(other);
			took = now() - began;
			put_word(word_of(start, FLAG), s);
			put_word(word_of(p->region, COUNT), id);
			wake_word(p, PING, s);
			sleep_until(p, PONG, s);
			CHECK(rsm_memseg_export_destroy(other));
			munmap(start, j->size);
		});
	} else {
		REPEAT(j, s, {
			rsm_memseg_import_handle_t other;
			uint64_t found = 0;
			sleep_until(p, PING, s);
			rsm_memseg_id_t id = (rsm_memseg_id_t)get_word(word_of(p->region, COUNT));
			CHECK(rsm_memseg_import_connect(controller, partner, id, RSM_PERM_RDWR, &other));
			CHECK(rsm_memseg_import_set_mode(other, RSM_BARRIER_MODE_EXPLICIT));
			CHECK(rsm_memseg_import_get64(other, FLAG, &found, 1));
			CHECK(rsm_memseg_import_disconnect(other));
			same_word(found, s);
			wake_word(p, PONG, s);
		})
	}
}

static const struct op OPS[] = {
    {"store", store, word_check},
    {"put64", put64_explicit, word_check},
    {"put64-implicit", put64_implicit, word_check},
    {"get64", get64_explicit, NULL},
    {"get64-implicit", get64_implicit, NULL},
    {"barrier", barrier, word_check},
    {"fetch-add", fetch_add, word_check},
    {"post", post_only, post_check},
    {"put", put, data_check},
    {"get", get, data_check},
    {"latency", latency, NULL},
    {"ack", ack, NULL},
    {"rate", rate, NULL},
    {"meet", meet, NULL},
    {"signal", signals, NULL},
    {"notify", notify, NULL},
    {"signal-asleep", signals_asleep, NULL},
    {"connect", connect_and_map, NULL},
    {"publish", export_and_publish, NULL},
    {NULL, NULL, NULL},
};

int main(void)
{
	struct pair p;
	pair_open(&p, pair_side());
	set_up(&p);
	pair_serve(&p, "rsm-c", OPS);
	return 0;
}
