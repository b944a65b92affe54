//! The one table of what OpenSHMEM has: types, functions, and what is said of them. The header, the exported functions, the
//! list of names and the manual are made of it, at the build, and tests compare the library with it.

mod families;
pub mod header;
pub mod manual;
pub mod rust;
mod types;

pub use families::FAMILIES;
pub use types::SETS;
pub use types::{TYPES, Type};

/// A set of types, as the bits of `types`.
pub type Set = u32;

/// What a family has a function for.
#[derive(Clone, Copy)]
pub enum Over {
    /// One function.
    Once,
    /// One for each of these types; `{T}` in the name.
    Types(Set),
    /// One for each of these widths in bits; `{S}` in the name.
    Widths,
}

/// What of `rsm/race.h` the library has, for programs that are built to be looked at.
pub const RACE: [&str; 15] = [
    "rsm_race_granules",
    "rsm_race_sees",
    "rsm_race_access",
    "rsm_race_value",
    "rsm_race_benign",
    "rsm_race_happens",
    "rsm_race_threads",
    "rsm_race_module",
    "rsm_race_thread_creates",
    "rsm_race_thread_begins",
    "rsm_race_thread_created",
    "rsm_race_thread_named",
    "rsm_race_thread_joined",
    "rsm_race_thread_does",
    "rsm_race_leads",
];

/// The widths of transfers, in bits.
pub const WIDTHS: [usize; 5] = [8, 16, 32, 64, 128];

/// How a generic name of C11 finds its function.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Generic {
    /// There is none.
    No,
    /// By what the first argument points to; or the second one, where the first is a context.
    Context,
    /// By what the first argument points to.
    First,
    /// By what the second argument points to; the first is a team.
    Second,
}

/// Functions that differ in a type, a width or a context only.
pub struct Family {
    /// The heading it stands under in header and manual.
    pub group: &'static str,
    /// The name, with `{T}` or `{S}`.
    pub name: &'static str,
    /// What it gives, in C; `T` is the type.
    pub returns: &'static str,
    /// Its parameters, in C; `T` is the type.
    pub parameters: &'static str,
    /// The body, in Rust. `{N}` is the function's name, `{C}` its context, `{H}` that's
    /// handle, `{T}` its type, `{W}` the bytes of an element.
    pub body: &'static str,
    pub over: Over,
    /// Whether there is a second function, with a context before the other arguments.
    pub context: bool,
    pub generic: Generic,
    /// Of an older standard, and kept.
    pub deprecated: bool,
    /// What it does, for the manual.
    pub says: &'static str,
}

/// One function.
pub struct Function<'a> {
    pub family: &'a Family,
    /// Its name, which begins with `shmem_` but for some of the oldest.
    pub name: String,
    pub with_context: bool,
    pub of_type: Option<&'static Type>,
    /// Bits of an element, where the name has them.
    pub width: Option<usize>,
}

/// A parameter, in C.
#[derive(Clone, Debug)]
pub struct Parameter {
    pub is_const: bool,
    pub base: String,
    pub stars: usize,
    pub name: String,
}

impl Function<'_> {
    /// Name of the profiling interface for it.
    pub fn profiled(&self) -> String {
        profiled(&self.name)
    }

    /// Its parameters, with the type in the place of `T`.
    pub fn parameters(&self) -> Vec<Parameter> {
        let context = self.with_context.then_some("shmem_ctx_t ctx");
        let others = self.family.parameters.split(", ").filter(|text| !text.is_empty() && *text != "...");
        context.into_iter().chain(others).map(|text| self.parameter(text)).collect()
    }

    fn parameter(&self, text: &str) -> Parameter {
        let (_, name) = text.rsplit_once([' ', '*']).expect("a type and a name");
        let left = &text[..text.len() - name.len()];
        let stars = left.matches('*').count();
        let plain = left.replace('*', "");
        let plain = plain.trim();
        let (is_const, base) = plain.strip_prefix("const ").map_or((false, plain), |base| (true, base));
        Parameter { is_const, base: self.c_type(base), stars, name: name.to_owned() }
    }

    /// Whether there are more arguments than parameters.
    pub fn is_variadic(&self) -> bool {
        self.family.parameters.ends_with("...")
    }

    /// Whether a `long double` itself comes or goes, which Rust has no words for.
    pub fn moves_long_double(&self) -> bool {
        let by_value = self.parameters().iter().any(|p| p.stars == 0 && p.base == "long double");
        by_value || self.c_type(self.family.returns) == "long double"
    }

    /// A type of the table's words, in C.
    pub fn c_type(&self, word: &str) -> String {
        match self.of_type {
            Some(of) if word == "T" => of.c.to_owned(),
            _ => word.to_owned(),
        }
    }
}

/// Every function of the table.
pub fn functions() -> Vec<Function<'static>> {
    let mut all = Vec::new();
    for family in FAMILIES {
        let mut add = |name: String, of_type, width| {
            let plain = Function { family, name: name.clone(), with_context: false, of_type, width };
            all.push(plain);
            if family.context {
                let name = name.replacen("shmem_", "shmem_ctx_", 1);
                all.push(Function { family, name, with_context: true, of_type, width });
            }
        };
        match family.over {
            Over::Once => add(family.name.to_owned(), None, None),
            Over::Types(set) => {
                for of in TYPES.iter().filter(|of| of.sets & set != 0) {
                    add(family.name.replace("{T}", of.name), Some(of), None);
                }
            }
            Over::Widths => {
                for width in WIDTHS {
                    add(family.name.replace("{S}", &width.to_string()), None, Some(width));
                }
            }
        }
    }
    all
}

/// The name of C11 for all functions of a family.
pub fn generic_name(family: &Family) -> String {
    family.name.replace("{T}_", "")
}

/// The name under which a tool that stands before a function reaches it.
pub fn profiled(name: &str) -> String {
    format!("p{name}")
}

/// Every name that the library exports, in order.
pub fn names() -> Vec<String> {
    let mut names: Vec<String> = functions().iter().flat_map(|f| [f.name.clone(), f.profiled()]).collect();
    names.sort();
    names
}
