//! The functions, a line or a few for each family.

use super::types::{
    AMO, AMO_BITS, AMO_MOVE, ARITHMETIC, BITS, OLD_AMO, OLD_AMO_MOVE, OLD_ARITHMETIC, OLD_BITS, OLD_ORDER, OLD_WAIT,
    ORDER, RMA, WAIT,
};
use super::{Family, Generic, Over};

macro_rules! families {
    ($($group:literal: [$($(#[$mark:ident])* $name:literal $returns:literal ($parameters:literal) $over:expr, $context:literal, $generic:ident,
        $body:literal, $says:literal;)*])*) => {
        /// Every family, in the order of header and manual.
        pub const FAMILIES: &[Family] = &[$($(Family {
            group: $group, name: $name, returns: $returns, parameters: $parameters, over: $over, context: $context,
            generic: Generic::$generic, body: $body, deprecated: false $(|| stringify!($mark).len() == "old".len())*, says: $says,
        },)*)*];
    };
}

families! {
"Library set-up, exit, and query": [
    "shmem_init" "void" ("") Over::Once, false, No,
        "setup::init({N});",
        "Joins the cluster, makes the symmetric heap and the program's global variables symmetric, and waits for all PEs. Again, it does nothing.";
    "shmem_init_thread" "int" ("int requested, int *provided") Over::Once, false, No,
        "setup::init_thread({N}, requested, Local::of(provided))",
        "As shmem_init; SHMEM_THREAD_MULTIPLE is provided, whatever level is asked for. Gives 0; not 0 for a level that does not exist.";
    "shmem_query_thread" "void" ("int *provided") Over::Once, false, No,
        "setup::query_thread({N}, Local::of(provided));",
        "The level of threads that is provided.";
    "shmem_finalize" "void" ("") Over::Once, false, No,
        "setup::finalize({N});",
        "Completes what is outstanding, waits for all PEs and gives back what the library holds. It ends with the program at the latest.";
    "shmem_global_exit" "void" ("int status") Over::Once, false, No,
        "exit::global_exit({N}, status);",
        "Ends every PE with this status, and does not return. Each flushes its stdio streams.";
    "shmem_my_pe" "int" ("") Over::Once, false, No, "setup::my_pe({N})", "Number of the calling PE, from 0.";
    "shmem_n_pes" "int" ("") Over::Once, false, No, "setup::n_pes({N})", "Number of PEs.";
    "shmem_pe_accessible" "int" ("int pe") Over::Once, false, No,
        "setup::pe_accessible({N}, pe)", "1 if there is such a PE, else 0.";
    "shmem_addr_accessible" "int" ("const void *addr, int pe") Over::Once, false, No,
        "setup::addr_accessible({N}, Sym::of(addr), pe)", "1 if the address is that of symmetric memory that the PE has too, else 0.";
    "shmem_ptr" "void *" ("const void *dest, int pe") Over::Once, false, No,
        "setup::ptr({N}, Sym::of(dest), pe)",
        "Address at which the symmetric object of another PE can be loaded and stored, NULL where there is none. Every PE's symmetric memory has one.";
    "shmem_info_get_version" "void" ("int *major, int *minor") Over::Once, false, No,
        "setup::version({N}, Local::of(major), Local::of(minor));", "Version of the standard: 1 and 5.";
    "shmem_info_get_name" "void" ("char *name") Over::Once, false, No,
        "setup::name({N}, Local::of(name));", "SHMEM_VENDOR_STRING, with its end at most SHMEM_MAX_NAME_LEN bytes.";
    "shmem_pcontrol" "void" ("int level, ...") Over::Once, false, No,
        "setup::pcontrol({N}, level);",
        "For profiling tools, which take its place. The library has nothing to control; with SHMEM_DEBUG it says that it was called.";
    #[old] "start_pes" "void" ("int npes") Over::Once, false, No,
        "setup::start_pes({N}, npes);", "shmem_init. How many PEs there are, the launcher says; a number other than 0 and that one is told with SHMEM_DEBUG.";
    #[old] "_my_pe" "int" ("") Over::Once, false, No, "setup::my_pe({N})", "shmem_my_pe.";
    #[old] "_num_pes" "int" ("") Over::Once, false, No, "setup::n_pes({N})", "shmem_n_pes.";
]
"Memory management": [
    "shmem_malloc" "void *" ("size_t size") Over::Once, false, No,
        "heap::malloc({N}, size)",
        "Memory of the symmetric heap, at the same offset on each PE. Collective. NULL for 0 bytes and where the heap has no room.";
    "shmem_free" "void" ("void *ptr") Over::Once, false, No,
        "heap::free({N}, Sym::of(ptr));", "Gives it back. Collective. Nothing for NULL.";
    "shmem_realloc" "void *" ("void *ptr, size_t size") Over::Once, false, No,
        "heap::realloc({N}, Sym::of(ptr), size)",
        "Changes the size of a block, which may move. Collective. NULL where there is no room, and the block stays; NULL for 0 bytes, and it is freed.";
    "shmem_align" "void *" ("size_t alignment, size_t size") Over::Once, false, No,
        "heap::align({N}, alignment, size)",
        "shmem_malloc at a multiple of the alignment: a power of two, a multiple of the size of a pointer, at most 1 GiB.";
    "shmem_malloc_with_hints" "void *" ("size_t size, long hints") Over::Once, false, No,
        "heap::malloc_with_hints({N}, size, hints)",
        "shmem_malloc. The hints are 0, SHMEM_MALLOC_ATOMICS_REMOTE and SHMEM_MALLOC_SIGNAL_REMOTE: with either, the block begins a cache line and fills lines.";
    "shmem_calloc" "void *" ("size_t count, size_t size") Over::Once, false, No,
        "heap::calloc({N}, count, size)", "shmem_malloc of so many elements, zeroed.";
    #[old] "shmalloc" "void *" ("size_t size") Over::Once, false, No, "heap::malloc({N}, size)", "shmem_malloc.";
    #[old] "shfree" "void" ("void *ptr") Over::Once, false, No, "heap::free({N}, Sym::of(ptr));", "shmem_free.";
    #[old] "shrealloc" "void *" ("void *ptr, size_t size") Over::Once, false, No,
        "heap::realloc({N}, Sym::of(ptr), size)", "shmem_realloc.";
    #[old] "shmemalign" "void *" ("size_t alignment, size_t size") Over::Once, false, No,
        "heap::align({N}, alignment, size)", "shmem_align.";
]
"Teams": [
    "shmem_team_my_pe" "int" ("shmem_team_t team") Over::Once, false, No,
        "team::my_pe({N}, team)", "Number of the calling PE in the team; -1 for SHMEM_TEAM_INVALID.";
    "shmem_team_n_pes" "int" ("shmem_team_t team") Over::Once, false, No,
        "team::n_pes({N}, team)", "Number of PEs of the team; -1 for SHMEM_TEAM_INVALID.";
    "shmem_team_get_config" "int" ("shmem_team_t team, long config_mask, shmem_team_config_t *config") Over::Once, false, No,
        "team::get_config({N}, team, config_mask, Local::of(config))",
        "The team's configuration, as far as the mask asks for it. Gives 0; not 0 for SHMEM_TEAM_INVALID and an unknown mask.";
    "shmem_team_translate_pe" "int" ("shmem_team_t src_team, int src_pe, shmem_team_t dest_team") Over::Once, false, No,
        "team::translate({N}, src_team, src_pe, dest_team)",
        "Number that a PE of one team has in another; -1 where it is in none, and for SHMEM_TEAM_INVALID.";
    "shmem_team_split_strided" "int" ("shmem_team_t parent_team, int start, int stride, int size, const shmem_team_config_t *config, long config_mask, shmem_team_t *new_team") Over::Once, false, No,
        "split::split_strided({N}, parent_team, (start, stride, size), split::Wish::of(Local::of(config), config_mask), Local::of(new_team))",
        "A team of the parent's PEs start, start + stride ..: size of them. Collective over the parent. Gives 0, and SHMEM_TEAM_INVALID to PEs that are not in it; not 0 for numbers that do not fit, and where no team is left (62 at a time).";
    "shmem_team_split_2d" "int" ("shmem_team_t parent_team, int xrange, const shmem_team_config_t *xaxis_config, long xaxis_mask, shmem_team_t *xaxis_team, const shmem_team_config_t *yaxis_config, long yaxis_mask, shmem_team_t *yaxis_team") Over::Once, false, No,
        "split::split_2d({N}, parent_team, xrange, (split::Wish::of(Local::of(xaxis_config), xaxis_mask), Local::of(xaxis_team)), (split::Wish::of(Local::of(yaxis_config), yaxis_mask), Local::of(yaxis_team)))",
        "Lays the parent's PEs out in rows of xrange, and makes a team of each row and of each column. Collective over the parent. Results as of shmem_team_split_strided.";
    "shmem_team_destroy" "void" ("shmem_team_t team") Over::Once, false, No,
        "split::destroy({N}, team);",
        "Ends a team and its contexts. Collective over it. Nothing for SHMEM_TEAM_INVALID; the predefined teams stay.";
    "shmem_team_create_ctx" "int" ("shmem_team_t team, long options, shmem_ctx_t *ctx") Over::Once, false, No,
        "contexts::create_for({N}, team, options, Local::of(ctx))",
        "A context whose PEs are those of the team. Gives 0; not 0, and SHMEM_CTX_INVALID, for SHMEM_TEAM_INVALID and where none is left (1024 at a time).";
]
"Contexts": [
    "shmem_ctx_create" "int" ("long options, shmem_ctx_t *ctx") Over::Once, false, No,
        "contexts::create({N}, options, Local::of(ctx))",
        "A context: transfers through it are ordered and completed apart from others. Options: 0, SHMEM_CTX_SERIALIZED, SHMEM_CTX_PRIVATE, SHMEM_CTX_NOSTORE, which promise something and are not needed here.";
    "shmem_ctx_destroy" "void" ("shmem_ctx_t ctx") Over::Once, false, No,
        "contexts::destroy({N}, ctx);", "Completes what was begun through a context and ends it. Nothing for SHMEM_CTX_INVALID.";
    "shmem_ctx_get_team" "int" ("shmem_ctx_t ctx, shmem_team_t *team") Over::Once, false, No,
        "contexts::get_team({N}, ctx, Local::of(team))", "The team of a context. Gives 0; not 0, and SHMEM_TEAM_INVALID, for SHMEM_CTX_INVALID.";
]
"Remote memory access": [
    "shmem_{T}_put" "void" ("T *dest, const T *source, size_t nelems, int pe") Over::Types(RMA), true, Context,
        "rma::put::<{W}>({H}, {N}, Sym::of(dest), Local::of(source), nelems, pe);", "Copies elements to a PE. The source may be used again when it returns.";
    "shmem_put{S}" "void" ("void *dest, const void *source, size_t nelems, int pe") Over::Widths, true, No,
        "rma::put::<{W}>({H}, {N}, Sym::of(dest), Local::of(source), nelems, pe);", "The same for elements of so many bits.";
    "shmem_putmem" "void" ("void *dest, const void *source, size_t nelems, int pe") Over::Once, true, No,
        "rma::put::<1>({H}, {N}, Sym::of(dest), Local::of(source), nelems, pe);", "The same for bytes.";
    "shmem_{T}_p" "void" ("T *dest, T value, int pe") Over::Types(RMA), true, Context,
        "rma::p::<{T}>({H}, {N}, Sym::of(dest), value, pe);", "Stores one element on a PE, with one access.";
    "shmem_{T}_iput" "void" ("T *dest, const T *source, ptrdiff_t dst, ptrdiff_t sst, size_t nelems, int pe") Over::Types(RMA), true, Context,
        "rma::iput::<{W}>({C}, {N}, Sym::of(dest), Local::of(source), (dst, sst), nelems, pe);", "Copies elements that lie dst and sst elements apart; both at least 1.";
    "shmem_iput{S}" "void" ("void *dest, const void *source, ptrdiff_t dst, ptrdiff_t sst, size_t nelems, int pe") Over::Widths, true, No,
        "rma::iput::<{W}>({C}, {N}, Sym::of(dest), Local::of(source), (dst, sst), nelems, pe);", "The same for elements of so many bits.";
    "shmem_{T}_get" "void" ("T *dest, const T *source, size_t nelems, int pe") Over::Types(RMA), true, Context,
        "rma::get::<{W}>({H}, {N}, Local::of(dest), Sym::of(source), nelems, pe);", "Copies elements from a PE.";
    "shmem_get{S}" "void" ("void *dest, const void *source, size_t nelems, int pe") Over::Widths, true, No,
        "rma::get::<{W}>({H}, {N}, Local::of(dest), Sym::of(source), nelems, pe);", "The same for elements of so many bits.";
    "shmem_getmem" "void" ("void *dest, const void *source, size_t nelems, int pe") Over::Once, true, No,
        "rma::get::<1>({H}, {N}, Local::of(dest), Sym::of(source), nelems, pe);", "The same for bytes.";
    "shmem_{T}_g" "T" ("const T *source, int pe") Over::Types(RMA), true, Context,
        "rma::g::<{T}>({H}, {N}, Sym::of(source), pe)", "Loads one element from a PE, with one access.";
    "shmem_{T}_iget" "void" ("T *dest, const T *source, ptrdiff_t dst, ptrdiff_t sst, size_t nelems, int pe") Over::Types(RMA), true, Context,
        "rma::iget::<{W}>({C}, {N}, Local::of(dest), Sym::of(source), (dst, sst), nelems, pe);", "Copies elements that lie dst and sst elements apart; both at least 1.";
    "shmem_iget{S}" "void" ("void *dest, const void *source, ptrdiff_t dst, ptrdiff_t sst, size_t nelems, int pe") Over::Widths, true, No,
        "rma::iget::<{W}>({C}, {N}, Local::of(dest), Sym::of(source), (dst, sst), nelems, pe);", "The same for elements of so many bits.";
    "shmem_{T}_put_nbi" "void" ("T *dest, const T *source, size_t nelems, int pe") Over::Types(RMA), true, Context,
        "rma::put::<{W}>({H}, {N}, Sym::of(dest), Local::of(source), nelems, pe);", "Begins what shmem_quiet completes. The source is read at once.";
    "shmem_put{S}_nbi" "void" ("void *dest, const void *source, size_t nelems, int pe") Over::Widths, true, No,
        "rma::put::<{W}>({H}, {N}, Sym::of(dest), Local::of(source), nelems, pe);", "The same for elements of so many bits.";
    "shmem_putmem_nbi" "void" ("void *dest, const void *source, size_t nelems, int pe") Over::Once, true, No,
        "rma::put::<1>({H}, {N}, Sym::of(dest), Local::of(source), nelems, pe);", "The same for bytes.";
    "shmem_{T}_get_nbi" "void" ("T *dest, const T *source, size_t nelems, int pe") Over::Types(RMA), true, Context,
        "rma::get::<{W}>({H}, {N}, Local::of(dest), Sym::of(source), nelems, pe);", "Begins what shmem_quiet completes; here it is complete at once.";
    "shmem_get{S}_nbi" "void" ("void *dest, const void *source, size_t nelems, int pe") Over::Widths, true, No,
        "rma::get::<{W}>({H}, {N}, Local::of(dest), Sym::of(source), nelems, pe);", "The same for elements of so many bits.";
    "shmem_getmem_nbi" "void" ("void *dest, const void *source, size_t nelems, int pe") Over::Once, true, No,
        "rma::get::<1>({H}, {N}, Local::of(dest), Sym::of(source), nelems, pe);", "The same for bytes.";
]
"Atomic memory operations": [
    "shmem_{T}_atomic_fetch" "T" ("const T *source, int pe") Over::Types(AMO_MOVE), true, Context,
        "amo::fetch::<{T}>({H}, {N}, Sym::of(source), pe)", "Loads atomically.";
    "shmem_{T}_atomic_set" "void" ("T *dest, T value, int pe") Over::Types(AMO_MOVE), true, Context,
        "amo::set::<{T}>({H}, {N}, Sym::of(dest), value, pe);", "Stores atomically.";
    "shmem_{T}_atomic_swap" "T" ("T *dest, T value, int pe") Over::Types(AMO_MOVE), true, Context,
        "amo::swap::<{T}>({H}, {N}, Sym::of(dest), value, pe)", "Stores atomically, and gives what was there.";
    "shmem_{T}_atomic_compare_swap" "T" ("T *dest, T cond, T value, int pe") Over::Types(AMO), true, Context,
        "amo::compare_swap::<{T}>({H}, {N}, Sym::of(dest), cond, value, pe)", "Stores if what is there equals cond, and gives what was there.";
    "shmem_{T}_atomic_fetch_inc" "T" ("T *dest, int pe") Over::Types(AMO), true, Context,
        "amo::fetch_add::<{T}>({H}, {N}, Sym::of(dest), 1, pe)", "Adds 1, and gives what was there.";
    "shmem_{T}_atomic_inc" "void" ("T *dest, int pe") Over::Types(AMO), true, Context,
        "amo::fetch_add::<{T}>({H}, {N}, Sym::of(dest), 1, pe);", "Adds 1.";
    "shmem_{T}_atomic_fetch_add" "T" ("T *dest, T value, int pe") Over::Types(AMO), true, Context,
        "amo::fetch_add::<{T}>({H}, {N}, Sym::of(dest), value, pe)", "Adds, and gives what was there.";
    "shmem_{T}_atomic_add" "void" ("T *dest, T value, int pe") Over::Types(AMO), true, Context,
        "amo::fetch_add::<{T}>({H}, {N}, Sym::of(dest), value, pe);", "Adds.";
    "shmem_{T}_atomic_fetch_and" "T" ("T *dest, T value, int pe") Over::Types(AMO_BITS), true, Context,
        "amo::fetch_and::<{T}>({H}, {N}, Sym::of(dest), value, pe)", "Keeps the bits of the value, and gives what was there.";
    "shmem_{T}_atomic_and" "void" ("T *dest, T value, int pe") Over::Types(AMO_BITS), true, Context,
        "amo::fetch_and::<{T}>({H}, {N}, Sym::of(dest), value, pe);", "Keeps the bits of the value.";
    "shmem_{T}_atomic_fetch_or" "T" ("T *dest, T value, int pe") Over::Types(AMO_BITS), true, Context,
        "amo::fetch_or::<{T}>({H}, {N}, Sym::of(dest), value, pe)", "Sets the bits of the value, and gives what was there.";
    "shmem_{T}_atomic_or" "void" ("T *dest, T value, int pe") Over::Types(AMO_BITS), true, Context,
        "amo::fetch_or::<{T}>({H}, {N}, Sym::of(dest), value, pe);", "Sets the bits of the value.";
    "shmem_{T}_atomic_fetch_xor" "T" ("T *dest, T value, int pe") Over::Types(AMO_BITS), true, Context,
        "amo::fetch_xor::<{T}>({H}, {N}, Sym::of(dest), value, pe)", "Turns the bits of the value, and gives what was there.";
    "shmem_{T}_atomic_xor" "void" ("T *dest, T value, int pe") Over::Types(AMO_BITS), true, Context,
        "amo::fetch_xor::<{T}>({H}, {N}, Sym::of(dest), value, pe);", "Turns the bits of the value.";
    "shmem_{T}_atomic_fetch_nbi" "void" ("T *fetch, const T *source, int pe") Over::Types(AMO_MOVE), true, Context,
        "amo::into({N}, Local::of(fetch), || amo::fetch::<{T}>({H}, {N}, Sym::of(source), pe));", "As the function without _nbi; shmem_quiet completes it, and what was there is stored to fetch, which is complete at once here. So with the others.";
    "shmem_{T}_atomic_swap_nbi" "void" ("T *fetch, T *dest, T value, int pe") Over::Types(AMO_MOVE), true, Context,
        "amo::into({N}, Local::of(fetch), || amo::swap::<{T}>({H}, {N}, Sym::of(dest), value, pe));", "";
    "shmem_{T}_atomic_compare_swap_nbi" "void" ("T *fetch, T *dest, T cond, T value, int pe") Over::Types(AMO), true, Context,
        "amo::into({N}, Local::of(fetch), || amo::compare_swap::<{T}>({H}, {N}, Sym::of(dest), cond, value, pe));", "";
    "shmem_{T}_atomic_fetch_inc_nbi" "void" ("T *fetch, T *dest, int pe") Over::Types(AMO), true, Context,
        "amo::into({N}, Local::of(fetch), || amo::fetch_add::<{T}>({H}, {N}, Sym::of(dest), 1, pe));", "";
    "shmem_{T}_atomic_fetch_add_nbi" "void" ("T *fetch, T *dest, T value, int pe") Over::Types(AMO), true, Context,
        "amo::into({N}, Local::of(fetch), || amo::fetch_add::<{T}>({H}, {N}, Sym::of(dest), value, pe));", "";
    "shmem_{T}_atomic_fetch_and_nbi" "void" ("T *fetch, T *dest, T value, int pe") Over::Types(AMO_BITS), true, Context,
        "amo::into({N}, Local::of(fetch), || amo::fetch_and::<{T}>({H}, {N}, Sym::of(dest), value, pe));", "";
    "shmem_{T}_atomic_fetch_or_nbi" "void" ("T *fetch, T *dest, T value, int pe") Over::Types(AMO_BITS), true, Context,
        "amo::into({N}, Local::of(fetch), || amo::fetch_or::<{T}>({H}, {N}, Sym::of(dest), value, pe));", "";
    "shmem_{T}_atomic_fetch_xor_nbi" "void" ("T *fetch, T *dest, T value, int pe") Over::Types(AMO_BITS), true, Context,
        "amo::into({N}, Local::of(fetch), || amo::fetch_xor::<{T}>({H}, {N}, Sym::of(dest), value, pe));", "";
    #[old] "shmem_{T}_fetch" "T" ("const T *source, int pe") Over::Types(OLD_AMO_MOVE), false, First,
        "amo::fetch::<{T}>({H}, {N}, Sym::of(source), pe)", "shmem_TYPE_atomic_fetch; so with the others.";
    #[old] "shmem_{T}_set" "void" ("T *dest, T value, int pe") Over::Types(OLD_AMO_MOVE), false, First,
        "amo::set::<{T}>({H}, {N}, Sym::of(dest), value, pe);", "";
    #[old] "shmem_{T}_swap" "T" ("T *dest, T value, int pe") Over::Types(OLD_AMO_MOVE), false, First,
        "amo::swap::<{T}>({H}, {N}, Sym::of(dest), value, pe)", "";
    #[old] "shmem_swap" "long" ("long *dest, long value, int pe") Over::Once, false, No,
        "amo::swap::<c_long>({H}, {N}, Sym::of(dest), value, pe)", "shmem_long_swap.";
    #[old] "shmem_{T}_cswap" "T" ("T *dest, T cond, T value, int pe") Over::Types(OLD_AMO), false, First,
        "amo::compare_swap::<{T}>({H}, {N}, Sym::of(dest), cond, value, pe)", "";
    #[old] "shmem_{T}_finc" "T" ("T *dest, int pe") Over::Types(OLD_AMO), false, First,
        "amo::fetch_add::<{T}>({H}, {N}, Sym::of(dest), 1, pe)", "";
    #[old] "shmem_{T}_inc" "void" ("T *dest, int pe") Over::Types(OLD_AMO), false, First,
        "amo::fetch_add::<{T}>({H}, {N}, Sym::of(dest), 1, pe);", "";
    #[old] "shmem_{T}_fadd" "T" ("T *dest, T value, int pe") Over::Types(OLD_AMO), false, First,
        "amo::fetch_add::<{T}>({H}, {N}, Sym::of(dest), value, pe)", "";
    #[old] "shmem_{T}_add" "void" ("T *dest, T value, int pe") Over::Types(OLD_AMO), false, First,
        "amo::fetch_add::<{T}>({H}, {N}, Sym::of(dest), value, pe);", "";
]
"Signaling": [
    "shmem_{T}_put_signal" "void" ("T *dest, const T *source, size_t nelems, uint64_t *sig_addr, uint64_t signal, int sig_op, int pe") Over::Types(RMA), true, Context,
        "signal::put::<{W}>({C}, {N}, Sym::of(dest), Local::of(source), nelems, (Sym::of(sig_addr), signal, sig_op), pe);",
        "Copies elements to a PE and then updates its signal: SHMEM_SIGNAL_SET stores, SHMEM_SIGNAL_ADD adds. Who sees the signal sees the elements.";
    "shmem_put{S}_signal" "void" ("void *dest, const void *source, size_t nelems, uint64_t *sig_addr, uint64_t signal, int sig_op, int pe") Over::Widths, true, No,
        "signal::put::<{W}>({C}, {N}, Sym::of(dest), Local::of(source), nelems, (Sym::of(sig_addr), signal, sig_op), pe);", "The same for elements of so many bits.";
    "shmem_putmem_signal" "void" ("void *dest, const void *source, size_t nelems, uint64_t *sig_addr, uint64_t signal, int sig_op, int pe") Over::Once, true, No,
        "signal::put::<1>({C}, {N}, Sym::of(dest), Local::of(source), nelems, (Sym::of(sig_addr), signal, sig_op), pe);", "The same for bytes.";
    "shmem_{T}_put_signal_nbi" "void" ("T *dest, const T *source, size_t nelems, uint64_t *sig_addr, uint64_t signal, int sig_op, int pe") Over::Types(RMA), true, Context,
        "signal::put::<{W}>({C}, {N}, Sym::of(dest), Local::of(source), nelems, (Sym::of(sig_addr), signal, sig_op), pe);", "Begins what shmem_quiet completes.";
    "shmem_put{S}_signal_nbi" "void" ("void *dest, const void *source, size_t nelems, uint64_t *sig_addr, uint64_t signal, int sig_op, int pe") Over::Widths, true, No,
        "signal::put::<{W}>({C}, {N}, Sym::of(dest), Local::of(source), nelems, (Sym::of(sig_addr), signal, sig_op), pe);", "The same for elements of so many bits.";
    "shmem_putmem_signal_nbi" "void" ("void *dest, const void *source, size_t nelems, uint64_t *sig_addr, uint64_t signal, int sig_op, int pe") Over::Once, true, No,
        "signal::put::<1>({C}, {N}, Sym::of(dest), Local::of(source), nelems, (Sym::of(sig_addr), signal, sig_op), pe);", "The same for bytes.";
    "shmem_signal_fetch" "uint64_t" ("const uint64_t *sig_addr") Over::Once, false, No,
        "signal::fetch({N}, Sym::of(sig_addr))", "Value of a signal of the calling PE.";
    "shmem_signal_wait_until" "uint64_t" ("uint64_t *sig_addr, int cmp, uint64_t cmp_value") Over::Once, false, No,
        "signal::wait_until({N}, Sym::of(sig_addr), cmp, cmp_value)", "Waits until a signal of the calling PE compares so, and gives the value that did.";
]
"Collectives": [
    "shmem_barrier_all" "void" ("") Over::Once, false, No,
        "collective::barrier_all({N});", "shmem_quiet, then waits until all PEs have called it.";
    "shmem_sync_all" "void" ("") Over::Once, false, No,
        "collective::sync_all({N});", "Waits until all PEs have called it. What was put need not have arrived.";
    "shmem_team_sync" "int" ("shmem_team_t team") Over::Once, false, No,
        "collective::team_sync({N}, team)", "The same for a team; shmem_sync in C11 and C++. Gives 0; -1 for SHMEM_TEAM_INVALID, as the others with a team.";
    "shmem_{T}_broadcast" "int" ("shmem_team_t team, T *dest, const T *source, size_t nelems, int PE_root") Over::Types(RMA), false, Second,
        "collective::broadcast({N}, team, Sym::of(dest), Sym::of(source), nelems, {W}, PE_root)", "Copies the root's source to the dest of every PE of the team, the root's too.";
    "shmem_broadcastmem" "int" ("shmem_team_t team, void *dest, const void *source, size_t nelems, int PE_root") Over::Once, false, No,
        "collective::broadcast({N}, team, Sym::of(dest), Sym::of(source), nelems, 1, PE_root)", "The same for bytes.";
    "shmem_{T}_collect" "int" ("shmem_team_t team, T *dest, const T *source, size_t nelems") Over::Types(RMA), false, Second,
        "collective::collect({N}, team, Sym::of(dest), Sym::of(source), nelems, {W})", "Puts the sources of all PEs one after the other to the dest of each. Their numbers of elements may differ.";
    "shmem_collectmem" "int" ("shmem_team_t team, void *dest, const void *source, size_t nelems") Over::Once, false, No,
        "collective::collect({N}, team, Sym::of(dest), Sym::of(source), nelems, 1)", "The same for bytes.";
    "shmem_{T}_fcollect" "int" ("shmem_team_t team, T *dest, const T *source, size_t nelems") Over::Types(RMA), false, Second,
        "collective::fcollect({N}, team, Sym::of(dest), Sym::of(source), nelems, {W})", "As collect, with as many elements from each PE.";
    "shmem_fcollectmem" "int" ("shmem_team_t team, void *dest, const void *source, size_t nelems") Over::Once, false, No,
        "collective::fcollect({N}, team, Sym::of(dest), Sym::of(source), nelems, 1)", "The same for bytes.";
    "shmem_{T}_alltoall" "int" ("shmem_team_t team, T *dest, const T *source, size_t nelems") Over::Types(RMA), false, Second,
        "collective::alltoall({N}, team, Sym::of(dest), Sym::of(source), (1, 1), nelems, {W})", "Block j of PE i's source becomes block i of PE j's dest.";
    "shmem_alltoallmem" "int" ("shmem_team_t team, void *dest, const void *source, size_t nelems") Over::Once, false, No,
        "collective::alltoall({N}, team, Sym::of(dest), Sym::of(source), (1, 1), nelems, 1)", "The same for bytes.";
    "shmem_{T}_alltoalls" "int" ("shmem_team_t team, T *dest, const T *source, ptrdiff_t dst, ptrdiff_t sst, size_t nelems") Over::Types(RMA), false, Second,
        "collective::alltoall({N}, team, Sym::of(dest), Sym::of(source), (dst, sst), nelems, {W})", "The same for elements that lie dst and sst elements apart; both at least 1.";
    "shmem_alltoallsmem" "int" ("shmem_team_t team, void *dest, const void *source, ptrdiff_t dst, ptrdiff_t sst, size_t nelems") Over::Once, false, No,
        "collective::alltoall({N}, team, Sym::of(dest), Sym::of(source), (dst, sst), nelems, 1)", "The same for bytes.";
    "shmem_{T}_and_reduce" "int" ("shmem_team_t team, T *dest, const T *source, size_t nreduce") Over::Types(BITS), false, Second,
        "collective::reduce({N}, team, Sym::of(dest), Sym::of(source), nreduce, Folding::and::<{T}>())", "Element by element of the sources of all PEs, to the dest of each, which may be its source. The result is the same on every PE, to the last bit.";
    "shmem_{T}_or_reduce" "int" ("shmem_team_t team, T *dest, const T *source, size_t nreduce") Over::Types(BITS), false, Second,
        "collective::reduce({N}, team, Sym::of(dest), Sym::of(source), nreduce, Folding::or::<{T}>())", "";
    "shmem_{T}_xor_reduce" "int" ("shmem_team_t team, T *dest, const T *source, size_t nreduce") Over::Types(BITS), false, Second,
        "collective::reduce({N}, team, Sym::of(dest), Sym::of(source), nreduce, Folding::xor::<{T}>())", "";
    "shmem_{T}_max_reduce" "int" ("shmem_team_t team, T *dest, const T *source, size_t nreduce") Over::Types(ORDER), false, Second,
        "collective::reduce({N}, team, Sym::of(dest), Sym::of(source), nreduce, Folding::max::<{T}>())", "";
    "shmem_{T}_min_reduce" "int" ("shmem_team_t team, T *dest, const T *source, size_t nreduce") Over::Types(ORDER), false, Second,
        "collective::reduce({N}, team, Sym::of(dest), Sym::of(source), nreduce, Folding::min::<{T}>())", "";
    "shmem_{T}_sum_reduce" "int" ("shmem_team_t team, T *dest, const T *source, size_t nreduce") Over::Types(ARITHMETIC), false, Second,
        "collective::reduce({N}, team, Sym::of(dest), Sym::of(source), nreduce, Folding::sum::<{T}>())", "";
    "shmem_{T}_prod_reduce" "int" ("shmem_team_t team, T *dest, const T *source, size_t nreduce") Over::Types(ARITHMETIC), false, Second,
        "collective::reduce({N}, team, Sym::of(dest), Sym::of(source), nreduce, Folding::prod::<{T}>())", "";
]
"Collectives over active sets": [
    #[old] "shmem_barrier" "void" ("int PE_start, int logPE_stride, int PE_size, long *pSync") Over::Once, false, No,
        "active::barrier({N}, (PE_start, logPE_stride, PE_size, Sym::of(pSync)));", "shmem_quiet, then waits for the PEs PE_start, PE_start + 2^logPE_stride ..: PE_size of them. pSync is SHMEM_SYNC_SIZE words of symmetric memory that hold SHMEM_SYNC_VALUE, as they do afterwards.";
    #[old] "shmem_sync" "void" ("int PE_start, int logPE_stride, int PE_size, long *pSync") Over::Once, false, No,
        "active::sync({N}, (PE_start, logPE_stride, PE_size, Sym::of(pSync)));", "The same without shmem_quiet. In C11 and C++ shmem_sync of one argument is shmem_team_sync.";
    #[old] "shmem_broadcast32" "void" ("void *dest, const void *source, size_t nelems, int PE_root, int PE_start, int logPE_stride, int PE_size, long *pSync") Over::Once, false, No,
        "active::broadcast({N}, Sym::of(dest), Sym::of(source), nelems, 4, PE_root, (PE_start, logPE_stride, PE_size, Sym::of(pSync)));", "As with a team, but for the root's dest, which stays; PE_root counts in the set.";
    #[old] "shmem_broadcast64" "void" ("void *dest, const void *source, size_t nelems, int PE_root, int PE_start, int logPE_stride, int PE_size, long *pSync") Over::Once, false, No,
        "active::broadcast({N}, Sym::of(dest), Sym::of(source), nelems, 8, PE_root, (PE_start, logPE_stride, PE_size, Sym::of(pSync)));", "";
    #[old] "shmem_collect32" "void" ("void *dest, const void *source, size_t nelems, int PE_start, int logPE_stride, int PE_size, long *pSync") Over::Once, false, No,
        "active::collect({N}, Sym::of(dest), Sym::of(source), nelems, 4, (PE_start, logPE_stride, PE_size, Sym::of(pSync)));", "As with a team.";
    #[old] "shmem_collect64" "void" ("void *dest, const void *source, size_t nelems, int PE_start, int logPE_stride, int PE_size, long *pSync") Over::Once, false, No,
        "active::collect({N}, Sym::of(dest), Sym::of(source), nelems, 8, (PE_start, logPE_stride, PE_size, Sym::of(pSync)));", "";
    #[old] "shmem_fcollect32" "void" ("void *dest, const void *source, size_t nelems, int PE_start, int logPE_stride, int PE_size, long *pSync") Over::Once, false, No,
        "active::fcollect({N}, Sym::of(dest), Sym::of(source), nelems, 4, (PE_start, logPE_stride, PE_size, Sym::of(pSync)));", "";
    #[old] "shmem_fcollect64" "void" ("void *dest, const void *source, size_t nelems, int PE_start, int logPE_stride, int PE_size, long *pSync") Over::Once, false, No,
        "active::fcollect({N}, Sym::of(dest), Sym::of(source), nelems, 8, (PE_start, logPE_stride, PE_size, Sym::of(pSync)));", "";
    #[old] "shmem_alltoall32" "void" ("void *dest, const void *source, size_t nelems, int PE_start, int logPE_stride, int PE_size, long *pSync") Over::Once, false, No,
        "active::alltoall({N}, Sym::of(dest), Sym::of(source), (1, 1), nelems, 4, (PE_start, logPE_stride, PE_size, Sym::of(pSync)));", "";
    #[old] "shmem_alltoall64" "void" ("void *dest, const void *source, size_t nelems, int PE_start, int logPE_stride, int PE_size, long *pSync") Over::Once, false, No,
        "active::alltoall({N}, Sym::of(dest), Sym::of(source), (1, 1), nelems, 8, (PE_start, logPE_stride, PE_size, Sym::of(pSync)));", "";
    #[old] "shmem_alltoalls32" "void" ("void *dest, const void *source, ptrdiff_t dst, ptrdiff_t sst, size_t nelems, int PE_start, int logPE_stride, int PE_size, long *pSync") Over::Once, false, No,
        "active::alltoall({N}, Sym::of(dest), Sym::of(source), (dst, sst), nelems, 4, (PE_start, logPE_stride, PE_size, Sym::of(pSync)));", "";
    #[old] "shmem_alltoalls64" "void" ("void *dest, const void *source, ptrdiff_t dst, ptrdiff_t sst, size_t nelems, int PE_start, int logPE_stride, int PE_size, long *pSync") Over::Once, false, No,
        "active::alltoall({N}, Sym::of(dest), Sym::of(source), (dst, sst), nelems, 8, (PE_start, logPE_stride, PE_size, Sym::of(pSync)));", "";
    #[old] "shmem_{T}_and_to_all" "void" ("T *dest, const T *source, int nreduce, int PE_start, int logPE_stride, int PE_size, T *pWrk, long *pSync") Over::Types(OLD_BITS), false, No,
        "active::reduce({N}, Sym::of(dest), Sym::of(source), nreduce, Folding::and::<{T}>(), (PE_start, logPE_stride, PE_size, Sym::of(pSync)), Sym::of(pWrk));", "As with a team. pWrk must be symmetric, and is not needed.";
    #[old] "shmem_{T}_or_to_all" "void" ("T *dest, const T *source, int nreduce, int PE_start, int logPE_stride, int PE_size, T *pWrk, long *pSync") Over::Types(OLD_BITS), false, No,
        "active::reduce({N}, Sym::of(dest), Sym::of(source), nreduce, Folding::or::<{T}>(), (PE_start, logPE_stride, PE_size, Sym::of(pSync)), Sym::of(pWrk));", "";
    #[old] "shmem_{T}_xor_to_all" "void" ("T *dest, const T *source, int nreduce, int PE_start, int logPE_stride, int PE_size, T *pWrk, long *pSync") Over::Types(OLD_BITS), false, No,
        "active::reduce({N}, Sym::of(dest), Sym::of(source), nreduce, Folding::xor::<{T}>(), (PE_start, logPE_stride, PE_size, Sym::of(pSync)), Sym::of(pWrk));", "";
    #[old] "shmem_{T}_max_to_all" "void" ("T *dest, const T *source, int nreduce, int PE_start, int logPE_stride, int PE_size, T *pWrk, long *pSync") Over::Types(OLD_ORDER), false, No,
        "active::reduce({N}, Sym::of(dest), Sym::of(source), nreduce, Folding::max::<{T}>(), (PE_start, logPE_stride, PE_size, Sym::of(pSync)), Sym::of(pWrk));", "";
    #[old] "shmem_{T}_min_to_all" "void" ("T *dest, const T *source, int nreduce, int PE_start, int logPE_stride, int PE_size, T *pWrk, long *pSync") Over::Types(OLD_ORDER), false, No,
        "active::reduce({N}, Sym::of(dest), Sym::of(source), nreduce, Folding::min::<{T}>(), (PE_start, logPE_stride, PE_size, Sym::of(pSync)), Sym::of(pWrk));", "";
    #[old] "shmem_{T}_sum_to_all" "void" ("T *dest, const T *source, int nreduce, int PE_start, int logPE_stride, int PE_size, T *pWrk, long *pSync") Over::Types(OLD_ARITHMETIC), false, No,
        "active::reduce({N}, Sym::of(dest), Sym::of(source), nreduce, Folding::sum::<{T}>(), (PE_start, logPE_stride, PE_size, Sym::of(pSync)), Sym::of(pWrk));", "";
    #[old] "shmem_{T}_prod_to_all" "void" ("T *dest, const T *source, int nreduce, int PE_start, int logPE_stride, int PE_size, T *pWrk, long *pSync") Over::Types(OLD_ARITHMETIC), false, No,
        "active::reduce({N}, Sym::of(dest), Sym::of(source), nreduce, Folding::prod::<{T}>(), (PE_start, logPE_stride, PE_size, Sym::of(pSync)), Sym::of(pWrk));", "";
]
"Point-to-point synchronization": [
    "shmem_{T}_wait_until" "void" ("T *ivar, int cmp, T cmp_value") Over::Types(WAIT), false, First,
        "point::wait_until::<{T}>({N}, Sym::of(ivar), cmp, cmp_value);", "Waits until a variable of the calling PE compares so. cmp is SHMEM_CMP_EQ, NE, GT, GE, LT or LE.";
    "shmem_{T}_wait_until_all" "void" ("T *ivars, size_t nelems, const int *status, int cmp, T cmp_value") Over::Types(WAIT), false, First,
        "point::wait_until_all::<{T}>({N}, Sym::of(ivars), nelems, Local::of(status), cmp, Values::One(cmp_value));", "Waits for all of an array, but for elements whose status is not 0. status may be NULL.";
    "shmem_{T}_wait_until_any" "size_t" ("T *ivars, size_t nelems, const int *status, int cmp, T cmp_value") Over::Types(WAIT), false, First,
        "point::wait_until_any::<{T}>({N}, Sym::of(ivars), nelems, Local::of(status), cmp, Values::One(cmp_value))", "Waits for any of an array and gives its index; each has its turn. SIZE_MAX where there is none to wait for.";
    "shmem_{T}_wait_until_some" "size_t" ("T *ivars, size_t nelems, size_t *indices, const int *status, int cmp, T cmp_value") Over::Types(WAIT), false, First,
        "point::wait_until_some::<{T}>({N}, Sym::of(ivars), nelems, Local::of(indices), Local::of(status), cmp, Values::One(cmp_value))", "Waits until one or more of an array compare so; gives how many, and their indices. 0 where there is none to wait for.";
    "shmem_{T}_wait_until_all_vector" "void" ("T *ivars, size_t nelems, const int *status, int cmp, T *cmp_values") Over::Types(WAIT), false, First,
        "point::wait_until_all::<{T}>({N}, Sym::of(ivars), nelems, Local::of(status), cmp, Values::Each(Local::of(cmp_values)));", "As the function without _vector, with a value for each element. So with the others.";
    "shmem_{T}_wait_until_any_vector" "size_t" ("T *ivars, size_t nelems, const int *status, int cmp, T *cmp_values") Over::Types(WAIT), false, First,
        "point::wait_until_any::<{T}>({N}, Sym::of(ivars), nelems, Local::of(status), cmp, Values::Each(Local::of(cmp_values)))", "";
    "shmem_{T}_wait_until_some_vector" "size_t" ("T *ivars, size_t nelems, size_t *indices, const int *status, int cmp, T *cmp_values") Over::Types(WAIT), false, First,
        "point::wait_until_some::<{T}>({N}, Sym::of(ivars), nelems, Local::of(indices), Local::of(status), cmp, Values::Each(Local::of(cmp_values)))", "";
    "shmem_{T}_test" "int" ("T *ivar, int cmp, T cmp_value") Over::Types(WAIT), false, First,
        "point::test::<{T}>({N}, Sym::of(ivar), cmp, cmp_value)", "Whether the variable compares so, without waiting: 1 or 0. So with the others.";
    "shmem_{T}_test_all" "int" ("T *ivars, size_t nelems, const int *status, int cmp, T cmp_value") Over::Types(WAIT), false, First,
        "point::test_all::<{T}>({N}, Sym::of(ivars), nelems, Local::of(status), cmp, Values::One(cmp_value))", "";
    "shmem_{T}_test_any" "size_t" ("T *ivars, size_t nelems, const int *status, int cmp, T cmp_value") Over::Types(WAIT), false, First,
        "point::test_any::<{T}>({N}, Sym::of(ivars), nelems, Local::of(status), cmp, Values::One(cmp_value))", "";
    "shmem_{T}_test_some" "size_t" ("T *ivars, size_t nelems, size_t *indices, const int *status, int cmp, T cmp_value") Over::Types(WAIT), false, First,
        "point::test_some::<{T}>({N}, Sym::of(ivars), nelems, Local::of(indices), Local::of(status), cmp, Values::One(cmp_value))", "";
    "shmem_{T}_test_all_vector" "int" ("T *ivars, size_t nelems, const int *status, int cmp, T *cmp_values") Over::Types(WAIT), false, First,
        "point::test_all::<{T}>({N}, Sym::of(ivars), nelems, Local::of(status), cmp, Values::Each(Local::of(cmp_values)))", "";
    "shmem_{T}_test_any_vector" "size_t" ("T *ivars, size_t nelems, const int *status, int cmp, T *cmp_values") Over::Types(WAIT), false, First,
        "point::test_any::<{T}>({N}, Sym::of(ivars), nelems, Local::of(status), cmp, Values::Each(Local::of(cmp_values)))", "";
    "shmem_{T}_test_some_vector" "size_t" ("T *ivars, size_t nelems, size_t *indices, const int *status, int cmp, T *cmp_values") Over::Types(WAIT), false, First,
        "point::test_some::<{T}>({N}, Sym::of(ivars), nelems, Local::of(indices), Local::of(status), cmp, Values::Each(Local::of(cmp_values)))", "";
    #[old] "shmem_{T}_wait" "void" ("T *ivar, T cmp_value") Over::Types(OLD_WAIT), false, First,
        "point::wait_until::<{T}>({N}, Sym::of(ivar), point::NE, cmp_value);", "shmem_TYPE_wait_until with SHMEM_CMP_NE.";
    #[old] "shmem_wait" "void" ("long *ivar, long cmp_value") Over::Once, false, No,
        "point::wait_until::<c_long>({N}, Sym::of(ivar), point::NE, cmp_value);", "shmem_long_wait.";
    #[old] "shmem_wait_until" "void" ("long *ivar, int cmp, long cmp_value") Over::Once, false, No,
        "point::wait_until::<c_long>({N}, Sym::of(ivar), cmp, cmp_value);", "shmem_long_wait_until.";
]
"Memory ordering": [
    "shmem_fence" "void" ("") Over::Once, true, No,
        "order::fence({H}, {N});", "What is put to a PE before arrives there before what is put to it after; so with atomic operations and signals. Nothing for SHMEM_CTX_INVALID.";
    "shmem_quiet" "void" ("") Over::Once, true, No,
        "order::quiet_of({H}, {N});", "Waits until everything put before has arrived everywhere. Where it cannot be vouched for, the job ends with a line that says so. Nothing for SHMEM_CTX_INVALID.";
]
"Distributed locks": [
    "shmem_set_lock" "void" ("long *lock") Over::Once, false, No,
        "lock::set({N}, Sym::of(lock));", "Takes a lock, waiting in line. It is a symmetric long that is 0 on every PE at first. Threads of one PE wait for each other.";
    "shmem_clear_lock" "void" ("long *lock") Over::Once, false, No,
        "lock::clear({N}, Sym::of(lock));", "shmem_quiet, then gives the lock to the next in line.";
    "shmem_test_lock" "int" ("long *lock") Over::Once, false, No,
        "lock::test({N}, Sym::of(lock))", "Takes a lock if it is free: 0; else 1.";
]
"Cache management": [
    #[old] "shmem_set_cache_inv" "void" ("") Over::Once, false, No, "setup::coherent({N});", "Nothing: caches are coherent. So with the others.";
    #[old] "shmem_clear_cache_inv" "void" ("") Over::Once, false, No, "setup::coherent({N});", "";
    #[old] "shmem_set_cache_line_inv" "void" ("void *dest") Over::Once, false, No, "setup::coherent_at({N}, Sym::of(dest));", "";
    #[old] "shmem_clear_cache_line_inv" "void" ("void *dest") Over::Once, false, No, "setup::coherent_at({N}, Sym::of(dest));", "";
    #[old] "shmem_udcflush" "void" ("") Over::Once, false, No, "setup::coherent({N});", "";
    #[old] "shmem_udcflush_line" "void" ("void *dest") Over::Once, false, No, "setup::coherent_at({N}, Sym::of(dest));", "";
]
}
