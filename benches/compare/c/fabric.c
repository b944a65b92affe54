/* libfabric with its shm provider: one-sided operations of a reliable datagram endpoint. */
#include "../../c/pair.h"
#include <rdma/fabric.h>
#include <rdma/fi_cm.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_endpoint.h>
#include <rdma/fi_rma.h>

static struct fid_ep *ep;
static struct fid_cq *cq;
static fi_addr_t partner;
static uint64_t remote, key; /* the partner's memory */
static char *memory;

#define OK(call) \
	do { \
		long status_ = (long)(call); \
		if (status_) \
			fail("%s: %s", #call, fi_strerror((int)-status_)); \
	} while (0)

static void progress(void)
{
	struct fi_cq_entry entry;
	fi_cq_read(cq, &entry, 1);
}

static void completed(void)
{
	struct fi_cq_entry entry;
	ssize_t count;
	while ((count = fi_cq_read(cq, &entry, 1)) == -FI_EAGAIN)
		relax();
	if (count != 1)
		fail("fi_cq_read: %s", fi_strerror((int)-count));
}

static void put_bytes(const void *from, size_t size, size_t at)
{
	ssize_t status;
	while ((status = fi_write(ep, from, size, NULL, partner, remote + at, key, NULL)) == -FI_EAGAIN)
		progress();
	OK(status);
	completed();
}

static void get_bytes(void *to, size_t size, size_t at)
{
	ssize_t status;
	while ((status = fi_read(ep, to, size, NULL, partner, remote + at, key, NULL)) == -FI_EAGAIN)
		progress();
	OK(status);
	completed();
}

/* Its puts are complete when they return. */
#define push() ((void)0)
#define order() ((void)0)
#define flush() ((void)0)
#define look() progress()

static void post(uint64_t s)
{
	put_bytes(&s, 8, PING);
}

static void await_signal(struct pair *p, uint64_t s)
{
	UNTIL(p, (progress(), get_word(word_of(memory, PING)) == s));
}

#include "onesided.h"

static const struct op OPS[] = {
    ONE_SIDED_OPS,
    {NULL, NULL, NULL},
};

static void meet_partner(struct pair *p)
{
	struct fi_info *hints = fi_allocinfo(), *info;
	struct fid_fabric *fabric;
	struct fid_domain *domain;
	struct fid_av *av;
	struct fid_mr *mr;
	struct fi_cq_attr cq_attr = {.format = FI_CQ_FORMAT_CONTEXT, .wait_obj = FI_WAIT_NONE};
	struct fi_av_attr av_attr = {.type = FI_AV_UNSPEC};
	size_t length = HEAD + p->room, name_length = 1024;
	char *mine = p->region + HEAD + (p->side ? p->room : 0), *theirs = p->region + HEAD + (p->side ? 0 : p->room);
	uint64_t told[7] = {0}, heard[7];

	hints->ep_attr->type = FI_EP_RDM;
	hints->caps = FI_MSG | FI_RMA;
	hints->mode = FI_CONTEXT;
	hints->domain_attr->mr_mode = FI_MR_VIRT_ADDR | FI_MR_ALLOCATED | FI_MR_PROV_KEY | FI_MR_LOCAL;
	hints->fabric_attr->prov_name = strdup("shm");
	OK(fi_getinfo(FI_VERSION(1, 15), NULL, NULL, 0, hints, &info));
	OK(fi_fabric(info->fabric_attr, &fabric, NULL));
	OK(fi_domain(fabric, info, &domain, NULL));
	OK(fi_cq_open(domain, &cq_attr, &cq, NULL));
	OK(fi_av_open(domain, &av_attr, &av, NULL));
	OK(fi_endpoint(domain, info, &ep, NULL));
	OK(fi_ep_bind(ep, &cq->fid, FI_TRANSMIT | FI_RECV));
	OK(fi_ep_bind(ep, &av->fid, 0));
	OK(fi_enable(ep));
	memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (memory == MAP_FAILED)
		fail("no memory for %zu bytes", length);
	OK(fi_mr_reg(domain, memory, length, FI_REMOTE_READ | FI_REMOTE_WRITE, 0, 77, 0, &mr, NULL));
	OK(fi_getname(&ep->fid, mine, &name_length));
	told[0] = (info->domain_attr->mr_mode & FI_MR_VIRT_ADDR) ? (uint64_t)(uintptr_t)memory : 0;
	told[1] = fi_mr_key(mr);
	pair_introduce(p, told, heard);
	remote = heard[0];
	key = heard[1];
	if (fi_av_insert(av, theirs, 1, &partner, 0, NULL) != 1)
		fail("fi_av_insert refuses the partner's address");
}

int main(void)
{
	struct pair p;
	pair_open(&p, pair_side());
	meet_partner(&p);
	p.idle = progress;
	pair_serve(&p, "libfabric", OPS);
	return 0;
}
