//! `shmem.h`.

use super::{FAMILIES, Family, Function, Generic, Over, TYPES, Type, functions, generic_name};
use std::fmt::Write;

/// What stands before the functions.
const BEGIN: &str = r#"/*
 * OpenSHMEM 1.5 on rsm, with what 1.4 deprecates. Generated; the table it comes from is rsm-shmem/table.
 *
 * oshcc and oshc++ compile programs, oshrun -n N ./program runs them; see rsm_shmem(7).
 */
#ifndef RSM_SHMEM_H
#define RSM_SHMEM_H

#include <stddef.h>
#include <stdint.h>

#define SHMEM_MAJOR_VERSION 1
#define SHMEM_MINOR_VERSION 5
#define SHMEM_MAX_NAME_LEN 64
#define SHMEM_VENDOR_STRING "rsm"
#define _SHMEM_MAJOR_VERSION SHMEM_MAJOR_VERSION
#define _SHMEM_MINOR_VERSION SHMEM_MINOR_VERSION
#define _SHMEM_MAX_NAME_LEN SHMEM_MAX_NAME_LEN
#define _SHMEM_VENDOR_STRING SHMEM_VENDOR_STRING

enum { SHMEM_THREAD_SINGLE, SHMEM_THREAD_FUNNELED, SHMEM_THREAD_SERIALIZED, SHMEM_THREAD_MULTIPLE };
enum { SHMEM_CMP_EQ = 1, SHMEM_CMP_NE, SHMEM_CMP_GT, SHMEM_CMP_LE, SHMEM_CMP_LT, SHMEM_CMP_GE };
#define _SHMEM_CMP_EQ SHMEM_CMP_EQ
#define _SHMEM_CMP_NE SHMEM_CMP_NE
#define _SHMEM_CMP_GT SHMEM_CMP_GT
#define _SHMEM_CMP_LE SHMEM_CMP_LE
#define _SHMEM_CMP_LT SHMEM_CMP_LT
#define _SHMEM_CMP_GE SHMEM_CMP_GE
enum { SHMEM_SIGNAL_SET = 1, SHMEM_SIGNAL_ADD };
#define SHMEM_CTX_SERIALIZED 1L
#define SHMEM_CTX_PRIVATE 2L
#define SHMEM_CTX_NOSTORE 4L
#define SHMEM_MALLOC_ATOMICS_REMOTE 1L
#define SHMEM_MALLOC_SIGNAL_REMOTE 2L
#define SHMEM_TEAM_NUM_CONTEXTS 1L

/* Words of pSync, for every operation over an active set, and elements of pWrk. */
#define SHMEM_SYNC_VALUE 0L
#define SHMEM_SYNC_SIZE 65
#define SHMEM_BARRIER_SYNC_SIZE SHMEM_SYNC_SIZE
#define SHMEM_BCAST_SYNC_SIZE SHMEM_SYNC_SIZE
#define SHMEM_COLLECT_SYNC_SIZE SHMEM_SYNC_SIZE
#define SHMEM_REDUCE_SYNC_SIZE SHMEM_SYNC_SIZE
#define SHMEM_ALLTOALL_SYNC_SIZE SHMEM_SYNC_SIZE
#define SHMEM_ALLTOALLS_SYNC_SIZE SHMEM_SYNC_SIZE
#define SHMEM_REDUCE_MIN_WRKDATA_SIZE 1
#define _SHMEM_SYNC_VALUE SHMEM_SYNC_VALUE
#define _SHMEM_SYNC_SIZE SHMEM_SYNC_SIZE
#define _SHMEM_BARRIER_SYNC_SIZE SHMEM_SYNC_SIZE
#define _SHMEM_BCAST_SYNC_SIZE SHMEM_SYNC_SIZE
#define _SHMEM_COLLECT_SYNC_SIZE SHMEM_SYNC_SIZE
#define _SHMEM_REDUCE_SYNC_SIZE SHMEM_SYNC_SIZE
#define _SHMEM_ALLTOALL_SYNC_SIZE SHMEM_SYNC_SIZE
#define _SHMEM_ALLTOALLS_SYNC_SIZE SHMEM_SYNC_SIZE
#define _SHMEM_REDUCE_MIN_WRKDATA_SIZE SHMEM_REDUCE_MIN_WRKDATA_SIZE

/* Handles: numbers in the clothes of pointers, never followed. */
typedef struct rsm_shmem_ctx *shmem_ctx_t;
typedef struct rsm_shmem_team *shmem_team_t;
#define SHMEM_CTX_INVALID ((shmem_ctx_t)0)
#define SHMEM_CTX_DEFAULT ((shmem_ctx_t)1)
#define SHMEM_TEAM_INVALID ((shmem_team_t)0)
#define SHMEM_TEAM_WORLD ((shmem_team_t)1)
#define SHMEM_TEAM_SHARED ((shmem_team_t)2)
typedef struct {
    int num_contexts;
} shmem_team_config_t;

#ifdef __cplusplus
#include <complex>
typedef std::complex<float> rsm_shmem_complexf;
typedef std::complex<double> rsm_shmem_complexd;
extern "C" {
#else
typedef float _Complex rsm_shmem_complexf;
typedef double _Complex rsm_shmem_complexd;
#endif

#if defined(__GNUC__)
#define RSM_SHMEM_NORETURN __attribute__((__noreturn__))
#else
#define RSM_SHMEM_NORETURN
#endif
"#;

/// What stands after them, before the generic names.
const BETWEEN: &str = r#"
#ifdef __cplusplus
}
static inline int shmem_sync(shmem_team_t team) { return shmem_team_sync(team); }
#endif

#if !defined(__cplusplus) && defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
/* Generic names. What an argument is of no type of the standard for has no function, and the compiler says so. */
#define RSM_SHMEM_FIRST_(first, ...) first
#define RSM_SHMEM_FIRST(...) RSM_SHMEM_FIRST_(__VA_ARGS__, 0)
#define RSM_SHMEM_SECOND_(first, second, ...) second
#define RSM_SHMEM_SECOND(...) RSM_SHMEM_SECOND_(__VA_ARGS__, 0, 0)
struct rsm_shmem_no_function_for_this_type {
    int none;
};
extern struct rsm_shmem_no_function_for_this_type rsm_shmem_no_function_for_this_type;
#define shmem_sync(...) \
    _Generic(RSM_SHMEM_FIRST(__VA_ARGS__), shmem_team_t: shmem_team_sync, default: shmem_sync)(__VA_ARGS__)
"#;

const END: &str = "#endif\n\n#endif\n";

/// The header.
pub fn text() -> String {
    let mut text = BEGIN.to_owned();
    let mut group = "";
    for function in functions() {
        if function.family.group != group {
            group = function.family.group;
            write!(text, "\n/* {group}. */\n").expect("a string takes everything");
        }
        for name in [function.name.clone(), function.profiled()] {
            writeln!(text, "{};", declaration(&function, &name)).expect("a string takes everything");
        }
    }
    text.push_str(BETWEEN);
    for family in FAMILIES {
        if family.generic != Generic::No {
            write_generic(&mut text, family);
        }
    }
    text.push_str(END);
    text
}

/// The declaration of a function, under a name.
pub fn declaration(function: &Function<'_>, name: &str) -> String {
    let mut parameters: Vec<String> = function
        .parameters()
        .iter()
        .map(|p| {
            let constant = if p.is_const { "const " } else { "" };
            format!("{constant}{} {}{}", p.base, "*".repeat(p.stars), p.name)
        })
        .collect();
    if function.is_variadic() {
        parameters.push("...".to_owned());
    }
    let parameters = if parameters.is_empty() { "void".to_owned() } else { parameters.join(", ") };
    let returns = function.c_type(function.family.returns);
    let space = if returns.ends_with('*') { "" } else { " " };
    let attribute = if function.name == "shmem_global_exit" { " RSM_SHMEM_NORETURN" } else { "" };
    format!("{returns}{space}{name}({parameters}){attribute}")
}

/// The basic types that a family is for, and the type whose function each gets.
fn basic_types(family: &Family) -> Vec<&'static Type> {
    let Over::Types(set) = family.over else { return Vec::new() };
    let mut chosen: Vec<&Type> = Vec::new();
    // By its own name where it has one in the family.
    let own_first = |own: bool| TYPES.iter().filter(move |of| of.sets & set != 0 && (of.c == of.basic) == own);
    for of in own_first(true).chain(own_first(false)) {
        if !chosen.iter().any(|other| other.basic == of.basic) {
            chosen.push(of);
        }
    }
    chosen
}

fn write_generic(text: &mut String, family: &Family) {
    let types = basic_types(family);
    let function = |of: &Type| family.name.replace("{T}", of.name);
    let none = "default: rsm_shmem_no_function_for_this_type";
    // What is pointed to, without its qualifiers.
    let pointed = |argument: &str| {
        let cases: Vec<String> = types.iter().map(|of| format!("{}: {}", of.basic, function(of))).collect();
        format!("_Generic(*({argument}(__VA_ARGS__)), {}, {none})", cases.join(", "))
    };
    // The argument itself, which may be no pointer at all.
    let pointer = |argument: &str, prefix: &str| {
        let cases: Vec<String> = types
            .iter()
            .flat_map(|of| {
                let name = function(of).replacen("shmem_", prefix, 1);
                ["", "const ", "volatile "].map(|qualifier| format!("{qualifier}{} *: {name}", of.basic))
            })
            .collect();
        format!("_Generic({argument}(__VA_ARGS__), {}, {none})", cases.join(", "))
    };
    let chosen = match family.generic {
        Generic::No => return,
        Generic::First => pointed("RSM_SHMEM_FIRST"),
        Generic::Second => pointed("RSM_SHMEM_SECOND"),
        Generic::Context => format!(
            "_Generic(RSM_SHMEM_FIRST(__VA_ARGS__), shmem_ctx_t: {}, default: {})",
            pointer("RSM_SHMEM_SECOND", "shmem_ctx_"),
            pointer("RSM_SHMEM_FIRST", "shmem_")
        ),
    };
    writeln!(text, "#define {}(...) {chosen}(__VA_ARGS__)", generic_name(family)).expect("a string takes everything");
}
