//! The exported functions, in Rust: each converts its arguments and calls the core.

use super::{Function, functions};
use std::fmt::Write;

/// The source of the functions under their profiling names. The standard's names are weak: a tool, or the program, may have
/// functions of these names, and calls ours by the others.
pub fn exports() -> String {
    let mut text = String::new();
    for function in functions() {
        if !function.moves_long_double() {
            write_function(&mut text, &function);
        }
    }
    write_weak_names(&mut text);
    text
}

fn write_function(text: &mut String, function: &Function<'_>) {
    let parameters: Vec<String> = function
        .parameters()
        .iter()
        .map(|p| {
            let pointer = if p.is_const { "*const " } else { "*mut " };
            format!("{}: {}{}", p.name, pointer.repeat(p.stars), rust_type(function, &p.base))
        })
        .collect();
    let returns = match function.family.returns {
        "void" => String::new(),
        "void *" => " -> *mut c_void".to_owned(),
        other => format!(" -> {}", rust_type(function, &function.c_type(other))),
    };
    let context = if function.with_context { "context::of({N}, ctx)" } else { "context::default({N})" };
    let width = match (function.of_type, function.width) {
        (Some(of), _) => format!("size_of::<{}>()", of.rust),
        (None, Some(bits)) => (bits / 8).to_string(),
        (None, None) => String::new(),
    };
    let body = function
        .family
        .body
        .replace("{C}", context)
        .replace("{H}", if function.with_context { "ctx" } else { "job::ctx::DEFAULT" })
        .replace("{N}", &format!("&Call(\"{}\")", function.name))
        .replace("<{W}>", &format!("<{{ {width} }}>"))
        .replace("{W}", &width)
        .replace("{T}", function.of_type.map_or("", |of| of.rust));
    let name = function.profiled();
    writeln!(
        text,
        "#[unsafe(no_mangle)]\npub unsafe extern \"C\" fn {name}({}){returns} {{\n    // SAFETY: what pointers lead to is the caller's promise.\n    unsafe {{ {body} }}\n}}",
        parameters.join(", ")
    )
    .expect("a string takes everything");
}

/// What a type of C is in Rust.
fn rust_type(function: &Function<'_>, c: &str) -> String {
    if let Some(of) = function.of_type
        && of.c == c
    {
        return of.rust.to_owned();
    }
    match c {
        "void" => "c_void",
        "int" => "c_int",
        "long" => "c_long",
        "char" => "c_char",
        "size_t" => "usize",
        "ptrdiff_t" => "isize",
        "uint64_t" => "u64",
        "shmem_ctx_t" => "job::ctx::Handle",
        "shmem_team_t" => "job::team::Handle",
        "shmem_team_config_t" => "job::team::Config",
        other => panic!("the table has a type that Rust is not told of: {other}"),
    }
    .to_owned()
}

/// A weak name for each, which jumps. A second name for the same address would do, but only in the same object file, and
/// which one that is the compiler decides.
fn write_weak_names(text: &mut String) {
    text.push_str("#[cfg(target_arch = \"x86_64\")]\ncore::arch::global_asm!(\n    \".text\",\n");
    let write_all = |text: &mut String, kind: &str, jump: &str| {
        for function in functions() {
            let (name, to) = (&function.name, function.profiled());
            writeln!(
                text,
                "    \".weak {name}\", \".type {name}, {kind}\", \"{name}: {jump}\", \".size {name}, . - {name}\",",
                jump = jump.replace("{}", &to)
            )
            .expect("a string takes everything");
        }
    };
    write_all(text, "@function", "jmp {}@PLT");
    text.push_str(");\n#[cfg(target_arch = \"aarch64\")]\ncore::arch::global_asm!(\n    \".text\", \".balign 4\",\n");
    write_all(text, "%function", "b {}");
    text.push_str(");\n");
}
