/*
 * A party of a measuring pair, in C: what rsm-perf/src/party.rs is in Rust. The conversation is described in
 * rsm-perf/src/protocol.rs. A party is a program with a table of operations; the raw ones, which are the limits
 * of the others, are here.
 */
#ifndef RSM_PERF_PAIR_H
#define RSM_PERF_PAIR_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* Places in shared memory, as in rsm-perf/src/region.rs. */
enum { PING = 0, WOKE = 256, ANSWERED = 384, READY = 640, AT_WORK = 768, COUNT = 512, SETUP_0 = 1024, SETUP_1 = 2048, SLOTS_AT = 4096 };
enum { PONG = 40 << 10, HEAD = 64 << 10, SLOTS = 512, CREDIT = 64 };

typedef _Atomic uint64_t word_t;

struct job {
	char op[40];
	size_t size;
	uint64_t batch, warm, samples, first;
};

struct pair {
	int side; /* 0 active, 1 passive */
	int cpu;
	char *region;
	size_t room;
	int commands;
	FILE *in, *out;
	uint64_t *taken; /* samples of the job */
	char *buffer;    /* as much data as the job moves, stamped */
	/* What a library needs done while its partner is at work; may be null. */
	void (*idle)(void);
};

/* One operation of a party: clocked by the active side, answered by the passive one. */
struct op {
	const char *name;
	void (*run)(struct pair *, struct job *);
	/* Sees what arrived, after operations in which the passive side takes no part; may be null. */
	void (*check)(struct pair *, size_t size, uint64_t last);
};

static struct pair *the_pair;

/* Tells the conductor why this party cannot go on, and ends it. */
__attribute__((noreturn, format(printf, 1, 2))) static void fail(const char *format, ...)
{
	va_list list;
	FILE *to = the_pair && the_pair->out ? the_pair->out : stderr;
	va_start(list, format);
	fputs("err ", to);
	vfprintf(to, format, list);
	fputc('\n', to);
	fflush(to);
	va_end(list);
	_exit(1);
}

static inline uint64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("isb" ::: "memory");
#endif
}

static inline word_t *word_of(char *base, size_t offset)
{
	return (word_t *)(base + offset);
}

static inline void put_word(word_t *at, uint64_t value)
{
	atomic_store_explicit(at, value, memory_order_release);
}

static inline uint64_t get_word(word_t *at)
{
	return atomic_load_explicit(at, memory_order_acquire);
}

/* Ends the party when nobody is left to wait for. */
static void worth_it(struct pair *p)
{
	struct pollfd event = {.fd = p->commands, .events = POLLIN};
	if (poll(&event, 1, 0) > 0)
		fail("the conductor has gone, or gave up");
}

/* Spins until the condition holds. */
#define UNTIL(p, ...) \
	do { \
		unsigned rounds_ = 0; \
		while (!(__VA_ARGS__)) { \
			relax(); \
			if (!(++rounds_ & 0xffff)) \
				worth_it(p); \
		} \
	} while (0)

/* Clocks the statements for every stamp of the job. */
#define CLOCK(p, j, stamp, ...) \
	do { \
		uint64_t stamp = (j)->first; \
		for (uint64_t sample_ = 0; sample_ < (j)->warm + (j)->samples; sample_++) { \
			uint64_t began_ = now(); \
			for (uint64_t left_ = (j)->batch; left_; left_--) { \
				stamp++; \
				__VA_ARGS__; \
			} \
			uint64_t took_ = now() - began_; \
			if (sample_ >= (j)->warm) \
				(p)->taken[sample_ - (j)->warm] = took_; \
		} \
	} while (0)

/* The statements as often, without a clock. */
#define REPEAT(j, stamp, ...) \
	for (uint64_t stamp = (j)->first + 1; stamp <= last_of(j); stamp++) { \
		__VA_ARGS__; \
	}

static inline uint64_t last_of(const struct job *j)
{
	return j->first + (j->warm + j->samples) * j->batch;
}

static inline uint64_t payload(uint64_t i)
{
	return (i + 1) * 0x9e3779b97f4a7c15u;
}

static inline void stamp_data(char *data, size_t size, uint64_t stamp)
{
	memcpy(data, &stamp, 8);
	memcpy(data + size - 8, &stamp, 8);
}

static inline void arrived(const char *data, size_t size, uint64_t stamp)
{
	uint64_t head, tail;
	memcpy(&head, data, 8);
	memcpy(&tail, data + size - 8, 8);
	if (head != stamp || tail != stamp)
		fail("%zu bytes stamped %llu arrived as [%llu, %llu]", size, (unsigned long long)stamp,
		    (unsigned long long)head, (unsigned long long)tail);
}

static void intact(const char *data, size_t size, uint64_t stamp)
{
	arrived(data, size, stamp);
	for (size_t i = 1; i + 1 < size / 8; i++) {
		uint64_t found;
		memcpy(&found, data + 8 * i, 8);
		if (found != payload(i))
			fail("word %zu of %zu bytes arrived as %#llx", i, size, (unsigned long long)found);
	}
}

static void same_word(uint64_t found, uint64_t wanted)
{
	if (found != wanted)
		fail("8 bytes stamped %llu arrived as %llu", (unsigned long long)wanted, (unsigned long long)found);
}

static uint64_t sum_of(const char *data, size_t size)
{
	uint64_t sum = 0;
	for (size_t at = 0; at + 8 <= size; at += 8) {
		uint64_t value;
		memcpy(&value, data + at, 8);
		sum += value;
	}
	return sum;
}

static uint64_t expected_sum(size_t size)
{
	uint64_t sum = 0;
	for (size_t i = 1; i + 1 < size / 8; i++)
		sum += payload(i);
	return sum;
}

static void read_all(const char *data, size_t size, uint64_t expected, uint64_t stamp)
{
	if (sum_of(data, size) != expected + 2 * stamp)
		fail("data stamped %llu has another sum", (unsigned long long)stamp);
}

/* Page-aligned memory with the pattern, in p->buffer. */
static void make_buffer(struct pair *p, size_t size, uint64_t stamp)
{
	free(p->buffer);
	if (posix_memalign((void **)&p->buffer, 4096, size + 4096))
		fail("no memory for %zu bytes", size);
	for (size_t i = 0; i < size / 8; i++) {
		uint64_t value = payload(i);
		memcpy(p->buffer + 8 * i, &value, 8);
	}
	stamp_data(p->buffer, size, stamp);
}

/* Passes more time than any waiter spins before it sleeps. */
static void linger(void)
{
	uint64_t began = now();
	while (now() - began < 200000)
		relax();
}

/* A ping-pong of sleepers, as Job::asleep in party.rs. */
#define ASLEEP(p, j, stamp, send, receive) \
	do { \
		word_t *woke_ = word_of((p)->region, WOKE), *answered_ = word_of((p)->region, ANSWERED); \
		if ((p)->side == 0) { \
			uint64_t stamp = (j)->first; \
			for (uint64_t sample_ = 0; sample_ < (j)->warm + (j)->samples; sample_++) { \
				uint64_t sum_ = 0; \
				for (uint64_t left_ = (j)->batch; left_; left_--) { \
					stamp++; \
					linger(); \
					uint64_t sent_ = now(); \
					send; \
					receive; \
					uint64_t back_ = now(); \
					sum_ += get_word(woke_) - sent_ + back_ - get_word(answered_); \
				} \
				if (sample_ >= (j)->warm) \
					(p)->taken[sample_ - (j)->warm] = sum_; \
			} \
		} else { \
			REPEAT(j, stamp, receive; put_word(woke_, now()); linger(); put_word(answered_, now()); send) \
		} \
	} while (0)

static uint32_t *half_of(struct pair *p, size_t offset)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return (uint32_t *)(p->region + offset);
#else
	return (uint32_t *)(p->region + offset + 4);
#endif
}

static void wake_word(struct pair *p, size_t offset, uint64_t stamp)
{
	__atomic_store_n(half_of(p, offset), (uint32_t)stamp, __ATOMIC_RELEASE);
	syscall(SYS_futex, half_of(p, offset), FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void sleep_until(struct pair *p, size_t offset, uint64_t stamp)
{
	struct timespec step = {.tv_sec = 1};
	uint32_t found;
	while ((found = __atomic_load_n(half_of(p, offset), __ATOMIC_ACQUIRE)) != (uint32_t)stamp) {
		if (syscall(SYS_futex, half_of(p, offset), FUTEX_WAIT, found, &step, NULL, 0) < 0 && errno == ETIMEDOUT)
			worth_it(p);
	}
}

#ifdef __SSE2__
static void copy_past_caches(char *to, const char *from, size_t size)
{
	size_t whole = size / 64 * 64;
	for (size_t at = 0; at < whole; at += 64)
		for (size_t i = 0; i < 64; i += 16)
			_mm_stream_si128((__m128i *)(to + at + i), _mm_loadu_si128((const __m128i *)(from + at + i)));
	memcpy(to + whole, from + whole, size - whole);
	_mm_sfence();
}
#endif

#define RAW_WORDS word_t *ping = word_of(p->region, PING), *pong = word_of(p->region, PONG)
#define KEEP(value) __asm__ volatile("" : : "r"(value) : "memory")

static void raw_store(struct pair *p, struct job *j)
{
	RAW_WORDS;
	(void)pong;
	CLOCK(p, j, s, atomic_store_explicit(ping, s, memory_order_relaxed));
}

static void raw_store_check(struct pair *p, size_t size, uint64_t last)
{
	(void)size;
	same_word(get_word(word_of(p->region, PING)), last);
}

static void raw_load(struct pair *p, struct job *j)
{
	word_t *at = word_of(p->region, PING);
	CLOCK(p, j, s, KEEP(atomic_load_explicit(at, memory_order_relaxed)));
}

static void raw_xchg(struct pair *p, struct job *j)
{
	word_t *at = word_of(p->region, PING);
	CLOCK(p, j, s, atomic_exchange_explicit(at, s, memory_order_acq_rel));
}

static void raw_xadd(struct pair *p, struct job *j)
{
	word_t *at = word_of(p->region, COUNT);
	CLOCK(p, j, s, KEEP(atomic_fetch_add_explicit(at, 1, memory_order_acq_rel)));
}

static void raw_copy(struct pair *p, struct job *j)
{
	char *to = p->region + HEAD;
	make_buffer(p, j->size, last_of(j));
	CLOCK(p, j, s, KEEP(p->buffer); memcpy(to, p->buffer, j->size); KEEP(to));
}

static void raw_copy_check(struct pair *p, size_t size, uint64_t last)
{
	intact(p->region + HEAD, size, last);
}

static void raw_read(struct pair *p, struct job *j)
{
	char *from = p->region + HEAD;
	make_buffer(p, j->size, last_of(j));
	CLOCK(p, j, s, KEEP(from); memcpy(p->buffer, from, j->size); KEEP(p->buffer));
}

static void raw_latency(struct pair *p, struct job *j)
{
	RAW_WORDS;
	size_t size = j->size;
	word_t *mine = p->side ? pong : ping, *theirs = p->side ? ping : pong;
	char *to = p->region + HEAD + (p->side ? size : 0), *from = p->region + HEAD + (p->side ? 0 : size);
	make_buffer(p, size, 0);
#define RAW_SEND(s) \
	if (size > 8) { \
		stamp_data(p->buffer, size, s); \
		memcpy(to, p->buffer, size); \
	} \
	put_word(mine, s)
#define RAW_RECEIVE(s) \
	UNTIL(p, get_word(theirs) == s); \
	if (size > 8) \
		arrived(from, size, s)
	if (p->side == 0)
		CLOCK(p, j, s, RAW_SEND(s); RAW_RECEIVE(s));
	else
		REPEAT(j, s, RAW_RECEIVE(s); RAW_SEND(s))
}

static void raw_exchange(struct pair *p, struct job *j)
{
	RAW_WORDS;
	if (p->side == 0)
		CLOCK(p, j, s, atomic_exchange(ping, s); UNTIL(p, get_word(pong) == s));
	else
		REPEAT(j, s, UNTIL(p, get_word(ping) == s); atomic_exchange(pong, s))
}

static void raw_meet(struct pair *p, struct job *j)
{
	RAW_WORDS;
	if (p->side == 0)
		CLOCK(p, j, s, put_word(ping, s); UNTIL(p, get_word(pong) >= s));
	else
		REPEAT(j, s, put_word(pong, s); UNTIL(p, get_word(ping) >= s))
}

static void raw_notify(struct pair *p, struct job *j)
{
	RAW_WORDS;
	char *data = p->region + HEAD;
	make_buffer(p, j->size, 0);
	if (p->side == 0)
		CLOCK(p, j, s, stamp_data(p->buffer, j->size, s); memcpy(data, p->buffer, j->size); put_word(ping, s);
		      UNTIL(p, get_word(pong) == s));
	else
		REPEAT(j, s, UNTIL(p, get_word(ping) == s); arrived(data, j->size, s); put_word(pong, s))
}

static void raw_rate(struct pair *p, struct job *j)
{
	word_t *pong = word_of(p->region, PONG);
	uint64_t last = last_of(j), room = j->first;
#define RAW_SLOT(s) word_of(p->region, SLOTS_AT + (s) % SLOTS * 64)
	if (p->side == 0)
		CLOCK(p, j, s, if (s > room + SLOTS) UNTIL(p, (room = get_word(pong)) + SLOTS >= s && room <= s);
		      put_word(RAW_SLOT(s), s); if (s == last) UNTIL(p, get_word(pong) == last));
	else
		REPEAT(j, s, UNTIL(p, get_word(RAW_SLOT(s)) == s);
		       if ((s - j->first) % CREDIT == 0 || s == last) put_word(pong, s))
}

static void raw_ack_with(struct pair *p, struct job *j, int past)
{
	RAW_WORDS;
	char *data = p->region + HEAD;
	uint64_t expected = expected_sum(j->size);
	(void)past;
	make_buffer(p, j->size, 0);
#ifdef __SSE2__
#define RAW_MOVE if (past) copy_past_caches(data, p->buffer, j->size); else memcpy(data, p->buffer, j->size)
#else
#define RAW_MOVE memcpy(data, p->buffer, j->size)
#endif
	if (p->side == 0)
		CLOCK(p, j, s, stamp_data(p->buffer, j->size, s); RAW_MOVE; put_word(ping, s);
		      UNTIL(p, get_word(pong) == s));
	else
		REPEAT(j, s, UNTIL(p, get_word(ping) == s); read_all(data, j->size, expected, s); put_word(pong, s))
}

static void raw_ack(struct pair *p, struct job *j)
{
	raw_ack_with(p, j, 0);
}

#ifdef __SSE2__
static void raw_ack_nt(struct pair *p, struct job *j)
{
	raw_ack_with(p, j, 1);
}

static void raw_copy_nt(struct pair *p, struct job *j)
{
	char *to = p->region + HEAD;
	make_buffer(p, j->size, last_of(j));
	CLOCK(p, j, s, KEEP(p->buffer); copy_past_caches(to, p->buffer, j->size); KEEP(to));
}
#endif

static void raw_futex(struct pair *p, struct job *j)
{
	size_t own = p->side ? PONG : PING, other = p->side ? PING : PONG;
	ASLEEP(p, j, s, wake_word(p, own, s), sleep_until(p, other, s));
}

static const struct op RAW_OPS[] = {
    {"raw-store", raw_store, raw_store_check},
    {"raw-load", raw_load, NULL},
    {"raw-xchg", raw_xchg, raw_store_check},
    {"raw-xadd", raw_xadd, NULL},
    {"raw-copy", raw_copy, raw_copy_check},
    {"raw-read", raw_read, NULL},
    {"raw-latency", raw_latency, NULL},
    {"raw-exchange", raw_exchange, NULL},
    {"raw-meet", raw_meet, NULL},
    {"raw-notify", raw_notify, NULL},
    {"raw-rate", raw_rate, NULL},
    {"raw-ack", raw_ack, NULL},
    {"raw-futex", raw_futex, NULL},
#ifdef __SSE2__
    {"raw-copy-nt", raw_copy_nt, raw_copy_check},
    {"raw-ack-nt", raw_ack_nt, NULL},
#endif
    {NULL, NULL, NULL},
};

/* The side that the environment says, or -1. */
static inline int pair_side(void)
{
	const char *side = getenv("RSM_PERF_SIDE");
	return side ? atoi(side) : -1;
}

/* Opens what the conductor offers. For a launcher's program `side` is the number the library gave it. */
static void pair_open(struct pair *p, int side)
{
	char directory[64], path[128];
	int memory, in[2], out[2], cpu[2];
	unsigned long long room;
	const char *meeting = getenv("RSM_PERF");
	memset(p, 0, sizeof *p);
	the_pair = p;
	if (!meeting || sscanf(meeting, "%63s %d %d %d %d %d %d %d %llu", directory, &memory, &in[0], &out[0], &in[1],
	        &out[1], &cpu[0], &cpu[1], &room) != 9)
		fail("$RSM_PERF is not what a conductor writes");
	if (side != 0 && side != 1)
		fail("a pair has sides 0 and 1, not %d", side);
	prctl(PR_SET_PDEATHSIG, 9);
	p->side = side;
	p->cpu = cpu[side];
	p->room = room;
	snprintf(path, sizeof path, "%s/%d", directory, out[side]);
	p->out = fopen(path, "w");
	snprintf(path, sizeof path, "%s/%d", directory, in[side]);
	p->in = fopen(path, "r");
	if (!p->in || !p->out)
		fail("%s: %s", path, strerror(errno));
	p->commands = fileno(p->in);
	snprintf(path, sizeof path, "%s/%d", directory, memory);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	p->region = fd < 0 ? MAP_FAILED : mmap(NULL, HEAD + 2 * room, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p->region == MAP_FAILED)
		fail("%s: %s", path, strerror(errno));
	close(fd);
}

/* Tells the partner seven numbers and hears its own; once. */
static inline void pair_introduce(struct pair *p, const uint64_t mine[7], uint64_t theirs[7])
{
	size_t own = p->side ? SETUP_1 : SETUP_0, other = p->side ? SETUP_0 : SETUP_1;
	for (int i = 0; i < 7; i++)
		put_word(word_of(p->region, own + 8 + 8 * (size_t)i), mine[i]);
	put_word(word_of(p->region, own), 1);
	while (!get_word(word_of(p->region, other))) {
		worth_it(p);
		usleep(1000);
	}
	for (int i = 0; i < 7; i++)
		theirs[i] = get_word(word_of(p->region, other + 8 + 8 * (size_t)i));
}

static const struct op *find_op(const struct op *ops, const char *name)
{
	for (const struct op *op = ops; op->name; op++)
		if (!strcmp(op->name, name))
			return op;
	for (const struct op *op = RAW_OPS; op->name; op++)
		if (!strcmp(op->name, name))
			return op;
	fail("no operation %s", name);
}

/* Helps a partner that works, and looks every millisecond whether it does. */
static void await_command(struct pair *p)
{
	struct pollfd event = {.fd = p->commands, .events = POLLIN};
	while (p->idle && poll(&event, 1, get_word(word_of(p->region, AT_WORK)) ? 0 : 1) == 0)
		p->idle();
}

/* Obeys the conductor until it has no more commands. */
static void pair_serve(struct pair *p, const char *name, const struct op *ops)
{
	char line[256], op[40];
	struct job j;
	unsigned long long a, b, c, d, e;
	if (p->cpu >= 0) {
		cpu_set_t set;
		CPU_ZERO(&set);
		CPU_SET((size_t)p->cpu, &set);
		if (sched_setaffinity(0, sizeof set, &set))
			fail("cannot pin to CPU %d: %s", p->cpu, strerror(errno));
	}
	fprintf(p->out, "hello %s", name);
	for (const struct op *o = ops; o->name; o++)
		fprintf(p->out, " %s", o->name);
	for (const struct op *o = RAW_OPS; o->name; o++)
		fprintf(p->out, " %s", o->name);
	fputc('\n', p->out);
	fflush(p->out);
	/* Commands are read without reading ahead: whoever waits looks at the descriptor. */
	setvbuf(p->in, NULL, _IONBF, 0);
	while (await_command(p), fgets(line, sizeof line, p->in)) {
		if (sscanf(line, "run %39s %llu %llu %llu %llu %llu", op, &a, &b, &c, &d, &e) == 6) {
			memcpy(j.op, op, sizeof op);
			j.size = a, j.batch = b, j.warm = c, j.samples = d, j.first = e;
			if (j.size > p->room && strcmp(op, "connect") && strcmp(op, "publish") && j.size > 8)
				fail("%zu bytes do not fit into %zu", j.size, p->room);
			free(p->taken);
			p->taken = calloc(j.samples, sizeof *p->taken);
			if (p->side == 0)
				put_word(word_of(p->region, AT_WORK), 1);
			find_op(ops, op)->run(p, &j);
			if (p->side == 0)
				put_word(word_of(p->region, AT_WORK), 0);
			fputs("ok", p->out);
			for (uint64_t i = 0; p->side == 0 && i < j.samples; i++)
				fprintf(p->out, " %llu", (unsigned long long)p->taken[i]);
		} else if (sscanf(line, "check %39s %llu %llu", op, &a, &b) == 3) {
			const struct op *found = find_op(ops, op);
			if (found->check)
				found->check(p, a, b);
			fputs("ok", p->out);
		} else {
			fail("not a command: %s", line);
		}
		fputc('\n', p->out);
		fflush(p->out);
	}
}

#endif
