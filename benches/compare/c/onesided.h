/*
 * The operations of a library with one-sided access, made of what each library has. Before this is included there are:
 *
 *     memory                         the own memory, which the partner reaches
 *     put_bytes(from, size, at)      a put, perhaps not complete
 *     get_bytes(to, size, at)        a get, complete
 *     push()                         until the puts before may be forgotten, and go on by themselves
 *     order()                        puts before come before puts after
 *     flush()                        until the puts before are complete
 *     look()                         what the library wants before its memory is looked at
 *     post(stamp), await_signal(p, stamp)   a signal to the partner, and the wait for its next
 */
static void word_check(struct pair *p, size_t size, uint64_t last)
{
	(void)p, (void)size;
	look();
	same_word(get_word(word_of(memory, COUNT)), last);
}

static void data_check(struct pair *p, size_t size, uint64_t last)
{
	(void)p;
	look();
	intact(memory + HEAD, size, last);
}

/* Without completion of each; all of a batch are complete before its clock stops. */
static void put64(struct pair *p, struct job *j)
{
	uint64_t done = 0;
	CLOCK(p, j, s, put_bytes(&s, 8, COUNT); if (++done == j->batch) { flush(); done = 0; });
}

static void barrier(struct pair *p, struct job *j)
{
	CLOCK(p, j, s, put_bytes(&s, 8, COUNT); flush());
}

static void get64(struct pair *p, struct job *j)
{
	uint64_t value;
	CLOCK(p, j, s, get_bytes(&value, 8, COUNT); KEEP(value));
}

static void put(struct pair *p, struct job *j)
{
	make_buffer(p, j->size, last_of(j));
	CLOCK(p, j, s, put_bytes(p->buffer, j->size, HEAD); push());
	flush();
}

static void get(struct pair *p, struct job *j)
{
	make_buffer(p, j->size, last_of(j));
	put_bytes(p->buffer, j->size, HEAD);
	flush();
	CLOCK(p, j, s, get_bytes(p->buffer, j->size, HEAD));
	intact(p->buffer, j->size, last_of(j));
}

static inline void put_flag(uint64_t s)
{
	put_bytes(&s, 8, PING);
	push();
}

#define SEND(s) \
	if (j->size > 8) { \
		stamp_data(p->buffer, j->size, s); \
		put_bytes(p->buffer, j->size, HEAD); \
		order(); \
	} \
	put_flag(s)
#define RECEIVE(s) UNTIL(p, (look(), get_word(word_of(memory, PING)) == s))
#define SEE(s) \
	if (j->size > 8) \
		arrived(memory + HEAD, j->size, s)

static void latency(struct pair *p, struct job *j)
{
	make_buffer(p, j->size, 0);
	if (p->side == 0)
		CLOCK(p, j, s, SEND(s); RECEIVE(s); SEE(s));
	else
		REPEAT(j, s, RECEIVE(s); SEE(s); SEND(s))
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

static void signals(struct pair *p, struct job *j)
{
	if (p->side == 0)
		CLOCK(p, j, s, post(s); await_signal(p, s));
	else
		REPEAT(j, s, await_signal(p, s); post(s))
}

static void notify(struct pair *p, struct job *j)
{
	make_buffer(p, j->size, 0);
	if (p->side == 0)
		CLOCK(p, j, s, stamp_data(p->buffer, j->size, s); put_bytes(p->buffer, j->size, HEAD); order(); post(s);
		      await_signal(p, s));
	else
		REPEAT(j, s, await_signal(p, s); look(); arrived(memory + HEAD, j->size, s); post(s))
}

#define ONE_SIDED_OPS \
	{"put64", put64, word_check}, {"barrier", barrier, word_check}, {"get64", get64, NULL}, {"put", put, data_check}, \
	    {"get", get, data_check}, {"latency", latency, NULL}, {"ack", ack, NULL}, {"signal", signals, NULL}, \
	    {"notify", notify, NULL}
