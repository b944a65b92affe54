/* UCX: one-sided operations of UCP. */
#include "../../c/pair.h"
#include <ucp/api/ucp.h>

static ucp_worker_h worker;
static ucp_ep_h ep;
static ucp_rkey_h rkey;
static uint64_t remote; /* address of the partner's memory, there */
static char *memory;

#define OK(call) \
	do { \
		ucs_status_t status_ = (call); \
		if (status_ != UCS_OK) \
			fail("%s: %s", #call, ucs_status_string(status_)); \
	} while (0)

static void done(ucs_status_ptr_t request)
{
	ucs_status_t status;
	if (request == NULL)
		return;
	if (UCS_PTR_IS_ERR(request))
		fail("%s", ucs_status_string(UCS_PTR_STATUS(request)));
	while ((status = ucp_request_check_status(request)) == UCS_INPROGRESS)
		ucp_worker_progress(worker);
	ucp_request_free(request);
	OK(status);
}

static const ucp_request_param_t plain;

static inline void put_bytes(const void *from, size_t size, size_t at)
{
	done(ucp_put_nbx(ep, from, size, remote + at, rkey, &plain));
}

static inline void flush(void)
{
	done(ucp_ep_flush_nbx(ep, &plain));
}

static inline void get_bytes(void *to, size_t size, size_t at)
{
	done(ucp_get_nbx(ep, to, size, remote + at, rkey, &plain));
}

#define push() ((void)0)
#define order() ucp_worker_fence(worker)
#define look() ((void)0)

static void post(uint64_t s)
{
	put_bytes(&s, 8, PING);
}

static void await_signal(struct pair *p, uint64_t s)
{
	UNTIL(p, get_word(word_of(memory, PING)) == s);
}

#include "onesided.h"

static void fetch_add(struct pair *p, struct job *j)
{
	uint64_t one = 1, old = 0;
	ucp_request_param_t param = {
	    .op_attr_mask = UCP_OP_ATTR_FIELD_DATATYPE | UCP_OP_ATTR_FIELD_REPLY_BUFFER,
	    .datatype = ucp_dt_make_contig(8),
	    .reply_buffer = &old,
	};
	put_bytes(&j->first, 8, COUNT);
	flush();
	CLOCK(p, j, s, done(ucp_atomic_op_nbx(ep, UCP_ATOMIC_OP_ADD, &one, 1, remote + COUNT, rkey, &param)); KEEP(old));
}

static const struct op OPS[] = {
    ONE_SIDED_OPS,
    {"fetch-add", fetch_add, word_check},
    {NULL, NULL, NULL},
};

/* Leaves the own worker's address and the key of the own memory where the partner finds them. */
static void meet_partner(struct pair *p)
{
	ucp_address_t *address;
	size_t address_length, key_length;
	void *key;
	ucp_context_h context;
	ucp_mem_h mapped;
	ucp_params_t params = {.field_mask = UCP_PARAM_FIELD_FEATURES, .features = UCP_FEATURE_RMA | UCP_FEATURE_AMO64};
	ucp_worker_params_t worker_params = {
	    .field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE, .thread_mode = UCS_THREAD_MODE_SINGLE};
	size_t length = HEAD + p->room;
	char *mine = p->region + HEAD + (p->side ? p->room : 0), *theirs = p->region + HEAD + (p->side ? 0 : p->room);
	uint64_t told[7] = {0}, heard[7];

	OK(ucp_init(&params, NULL, &context));
	OK(ucp_worker_create(context, &worker_params, &worker));
	ucp_mem_map_params_t map = {
	    .field_mask = UCP_MEM_MAP_PARAM_FIELD_LENGTH | UCP_MEM_MAP_PARAM_FIELD_FLAGS,
	    .length = length,
	    .flags = UCP_MEM_MAP_ALLOCATE,
	};
	OK(ucp_mem_map(context, &map, &mapped));
	ucp_mem_attr_t attributes = {.field_mask = UCP_MEM_ATTR_FIELD_ADDRESS};
	OK(ucp_mem_query(mapped, &attributes));
	memory = attributes.address;
	memset(memory, 0, length);
	OK(ucp_worker_get_address(worker, &address, &address_length));
	OK(ucp_rkey_pack(context, mapped, &key, &key_length));
	if (address_length + key_length > p->room)
		fail("an address of %zu bytes", address_length);
	memcpy(mine, address, address_length);
	memcpy(mine + address_length, key, key_length);
	told[0] = address_length, told[1] = (uint64_t)(uintptr_t)memory;
	pair_introduce(p, told, heard);
	remote = heard[1];
	ucp_ep_params_t ep_params = {
	    .field_mask = UCP_EP_PARAM_FIELD_REMOTE_ADDRESS, .address = (const ucp_address_t *)theirs};
	OK(ucp_ep_create(worker, &ep_params, &ep));
	OK(ucp_ep_rkey_unpack(ep, theirs + heard[0], &rkey));
	/* The first transfer connects, for which both have to be there. */
	uint64_t hello = 1;
	put_bytes(&hello, 8, READY);
	flush();
	UNTIL(p, (ucp_worker_progress(worker), get_word(word_of(memory, READY)) == 1));
}

int main(void)
{
	struct pair p;
	pair_open(&p, pair_side());
	meet_partner(&p);
	pair_serve(&p, "ucx", OPS);
	return 0;
}
