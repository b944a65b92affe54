//! The look whether an access is to watched memory, made where the access is.
//!
//! The compiler puts a call before each access. Most are to memory that nobody watches, and then calling and returning is what
//! costs: for a loop that does nothing but load and store, three times what the look itself does. So the assembler is given a
//! macro before what the compiler wrote, by which such a call becomes a look at the byte of the address's granule, five instructions
//! of which none is a jump that is taken. The call is behind the rest of the section, as if it were a function that is called
//! where the look is: that is where it leaves its return address, for whoever unwinds the stack.
//!
//! Where that cannot be done calls stay calls, and nothing else differs.

use std::ffi::OsStr;
use std::fmt::Write;
use std::process::{Command, Stdio};

use super::Family;
use super::words::Words;

/// The lengths of accesses that have such calls, those first of which there are most: each is compared with in turn.
const LENGTHS: [u32; 5] = [8, 4, 1, 16, 2];

/// Ways to call: with position independent code, and without.
const WAYS: [&str; 2] = ["@PLT", ""];

impl Family {
    /// What it calls the instruction.
    fn call(self) -> &'static str {
        match self {
            Family::Gcc => "call",
            Family::Clang => "callq",
        }
    }
}

/// What the assembler is given first, on x86-64.
pub(super) fn macros(family: Family) -> String {
    // Within a link it may be given more than once.
    let mut text =
        format!(".ifndef .Lrsm_race_macros\n.set .Lrsm_race_macros, 1\n.macro {} target:vararg\n", family.call());
    // What stands before it keeps it from being the macro; it says that it should be no other instruction.
    let call = "{nooptimize} call \\target";
    for kind in ["", "unaligned_"] {
        for length in LENGTHS {
            for (access, number) in [("read", 0), ("write", 1)] {
                for way in WAYS {
                    // rdi has the address. Whatever a call may change is free. What is told is the address, the bytes, the kind and
                    // the place; two words are pushed so that the stack stays aligned.
                    _ = write!(
                        text,
                        ".ifc \\target,__tsan_{kind}{access}{length}{way}\n\
                         .hidden __rsm_race_granules, __rsm_race_tell\n\
                         movq __rsm_race_granules(%rip), %rax\n\
                         movl %edi, %ecx\n\
                         shrl $16, %ecx\n\
                         cmpb $0, (%rax,%rcx)\n\
                         jne 7702f\n\
                         7701:\n\
                         .subsection 1\n\
                         7702:\n\
                         movl ${length}, %esi\n\
                         movl ${number}, %edx\n\
                         leaq 7701b(%rip), %rcx\n\
                         pushq %rcx\n\
                         pushq %rcx\n\
                         .cfi_startproc\n\
                         .cfi_def_cfa_offset 16\n\
                         {{nooptimize}} call __rsm_race_tell\n\
                         addq $16, %rsp\n\
                         .cfi_endproc\n\
                         jmp 7701b\n\
                         .previous\n\
                         .exitm\n\
                         .endif\n"
                    );
                }
            }
        }
    }
    text + call + "\n.endm\n.endif\n"
}

/// Whether what this command line assembles can be given the macros.
pub(super) fn is_possible(compiler: &OsStr, family: Family, words: &Words) -> bool {
    words.is_assembled
        && !words.is_otherwise
        && ask(compiler, "-dumpmachine").is_some_and(|machine| machine.starts_with("x86_64"))
        // That of clang itself takes no file before the program's.
        && (family == Family::Gcc || has_assembler(compiler))
}

/// Whether there is an assembler that clang can call, and which takes what is written here.
fn has_assembler(compiler: &OsStr) -> bool {
    let Some(name) = ask(compiler, "-print-prog-name=as") else { return false };
    ask(OsStr::new(&name), "--version").is_some_and(|said| said.starts_with("GNU assembler"))
}

/// What a program says when it is asked this.
pub(super) fn ask(program: &OsStr, question: &str) -> Option<String> {
    let mut command = Command::new(program);
    let output = command.arg(question).stdin(Stdio::null()).env("LC_ALL", "C").output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_access_has_its_macro_and_other_calls_stay() {
        for (family, name) in [(Family::Gcc, "call"), (Family::Clang, "callq")] {
            let text = macros(family);
            assert!(text.contains(&format!("\n.macro {name} target:vararg\n")));
            for access in ["read1", "write2", "read16", "unaligned_write8"] {
                for way in WAYS {
                    assert_eq!(text.matches(&format!(",__tsan_{access}{way}\n")).count(), 1, "{access}{way}");
                }
            }
            assert!(text.ends_with("{nooptimize} call \\target\n.endm\n.endif\n"));
        }
    }
}
