//! `rsm_shmem(7)`: what the library has, family by family.

use super::{FAMILIES, Family, Generic, Over, TYPES, functions, generic_name, profiled};
use std::fmt::Write;

const BEGIN: &str = r#".\" Generated; the table it comes from is rsm-shmem/table.
.TH RSM_SHMEM 7 "" "rsm" "OpenSHMEM on rsm"
.SH NAME
rsm_shmem \- OpenSHMEM 1.5: symmetric memory for the processes of one machine
.SH SYNOPSIS
.nf
#include <shmem.h>
.P
oshcc \-o program program.c
oshrun \-n 4 ./program
.fi
.SH DESCRIPTION
A program runs as 1 to 63 processes (PEs), each of which is a node of a cluster of rsm. Symmetric memory is what every PE has:
the symmetric heap
.RB ( shmem_malloc )
and the global and static variables of the program itself. Those of shared libraries are not symmetric.
.P
Started without
.BR oshrun (1)
or
.BR "rsm\-ctl run" ,
a program is its only PE. In a cluster whose nodes are on two hosts
.B shmem_init
ends every PE with a line that says so: PEs use atomic operations on each other's memory, which no bridge between hosts carries.
.P
SHMEM_THREAD_MULTIPLE is provided in any case. Functions of the standard are weak symbols: a tool may define them, and calls those
whose names begin with
.BR pshmem_ .
.P
Children that a program forks share its symmetric variables with it; they must not use the library.
.SS Errors
OpenSHMEM has no error codes. An argument that cannot be (NULL, an address that is not symmetric or not aligned, a PE, team or
context that does not exist) ends the job: one line on standard error names the PE, the function and the argument, stdio streams
are flushed, and the exit code is 1. So does what was put and cannot be vouched for, at the next
.BR shmem_quiet ,
barrier, get or atomic operation, and a wait for a PE that has ended. The launcher ends the other PEs.
.SH ENVIRONMENT
.TP
.B SHMEM_SYMMETRIC_SIZE
Bytes of the symmetric heap, with K, M, G or T for powers of 1024; a fraction is allowed. 64M if not set. All PEs must have the
same.
.TP
.B SHMEM_INFO
If set, PE 0 prints these variables and what they are on standard output.
.TP
.B SHMEM_VERSION
If set, PE 0 prints the versions of the standard and of the library on standard output.
.TP
.B RSM_SHMEM_PROCESSORS
Processors that there are for the PEs, where they are fewer than the machine has: with more PEs than that, one that waits leaves its processor
to the next one. What PE 0 is told holds for all.
.TP
.B SHMEM_DEBUG
If set, each PE says on standard error what its memory is, and what it was told that has no effect.
.P
Those of
.BR rsm (3)
hold as well. In a cluster with a lens
.RB ( "oshrun \-\-chaos" )
what is put is late and out of order as far as the standard permits: a missing
.B shmem_fence
or
.B shmem_quiet
shows. Atomic operations are not late, and what a program stores by way of
.B shmem_ptr
is plain memory.
.SH TYPES
TYPE in the name of a function is one of these.
"#;

const END: &str = r#".SH SEE ALSO
.BR oshrun (1),
.BR rsm (3)
"#;

/// The page.
pub fn text() -> String {
    let mut text = BEGIN.to_owned();
    write_types(&mut text);
    write!(text, ".P\nThere are {} functions, each under two names.\n", functions().len()).expect(WRITES);
    let mut group = "";
    for family in FAMILIES {
        if family.group != group {
            group = family.group;
            writeln!(text, ".SH {}", group.to_uppercase()).expect(WRITES);
        }
        write_family(&mut text, family);
    }
    text + END
}

const WRITES: &str = "a string takes everything";

/// A table of letters: which types each kind of function has.
fn write_types(text: &mut String) {
    for of in TYPES {
        let families = FAMILIES.iter().filter(|family| matches!(family.over, Over::Types(set) if of.sets & set != 0));
        let count = families.count();
        write!(
            text,
            ".TP\n.B {}\n{} ({count} families)\n",
            of.name,
            of.c.replace("rsm_shmem_complexf", "float _Complex").replace("rsm_shmem_complexd", "double _Complex")
        )
        .expect(WRITES);
    }
}

fn write_family(text: &mut String, family: &Family) {
    let name = family.name.replace("{T}", "TYPE").replace("{S}", "SIZE");
    let parameters = if family.parameters.is_empty() { "void".to_owned() } else { typed(family.parameters) };
    let returns = typed(family.returns);
    let space = if returns.ends_with('*') { "" } else { " " };
    write!(text, ".TP\n.B {returns}{space}{name}({parameters});\n").expect(WRITES);
    let mut notes = Vec::new();
    match family.over {
        Over::Once => {}
        Over::Types(set) => {
            let names: Vec<&str> = TYPES.iter().filter(|of| of.sets & set != 0).map(|of| of.name).collect();
            notes.push(format!("TYPE: {}.", names.join(", ")));
        }
        Over::Widths => notes.push("SIZE: 8, 16, 32, 64, 128.".to_owned()),
    }
    if family.context {
        notes.push(format!("Also {}(shmem_ctx_t ctx, ...).", name.replacen("shmem_", "shmem_ctx_", 1)));
    }
    if family.generic != Generic::No {
        notes.push(format!("In C11 also {}(...).", generic_name(family)));
    }
    if family.deprecated {
        notes.push("Deprecated.".to_owned());
    }
    notes.push(format!("Profiling: {}.", profiled(&name)));
    let says = if family.says.is_empty() { String::new() } else { format!("{}\n.br\n", family.says) };
    writeln!(text, "{says}{}", notes.join(" ")).expect(WRITES);
}

/// Parameters, with TYPE in the place of `T`.
fn typed(parameters: &str) -> String {
    let word = |word: &str| if word == "T" { "TYPE".to_owned() } else { word.to_owned() };
    parameters.split(' ').map(word).collect::<Vec<_>>().join(" ")
}
