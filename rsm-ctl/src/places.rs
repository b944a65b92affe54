//! Where in a program a call was made: file and line where there is debug information, module and offset where not.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use addr2line::Loader;
use cpp_demangle::{DemangleOptions, Symbol};
use rsm::lens::gate::{Frame, Point};

/// How the functions of librsm and of librsm_shmem begin, for programs that they are linked into. Those of OpenSHMEM have a name with
/// a `p` before it as well.
const RSM: [&str; 8] = [
    "rsm_memseg_",
    "rsm_intr_signal_",
    "rsm_get_",
    "rsm_create_localmemory_handle",
    "rsm_free_",
    "rsm_release_controller",
    "rsm_ext_",
    "rsm_race_",
];
const SHMEM: [&str; 8] = ["shmem_", "start_pes", "_my_pe", "_num_pes", "shmalloc", "shfree", "shrealloc", "shmemalign"];
/// The libraries, by the beginnings of their names.
const LIBRARIES: [&str; 2] = ["librsm.", "librsm_shmem."];
/// Those of Rust that are rsm's, and those that stand between them.
const OURS: [&str; 5] = ["rsm::", "rsm_core::", "rsm_shm::", "rsm_capi::", "rsm_shmem::"];
const BEHIND: [&str; 4] = ["rsm_core::", "rsm_shm::", "rsm_capi::", "rsm_shmem::"];
/// Of the second, some have names of no path: what catches panics, marks where traces begin, and hands on to the compiler's own.
const BETWEEN: [&str; 5] = ["core::", "std::", "alloc::", "__rust_", "__rustc::"];

/// Who made a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The function of rsm that was called, as far as names tell.
    pub(crate) api: Option<String>,
    /// The function of the program that called it, where its name is known.
    pub(crate) function: Option<String>,
    /// Where the program called it.
    pub(crate) place: Option<String>,
    /// The frame of the program; all frames where it is not known.
    pub(crate) key: Vec<Frame>,
}

/// What is known of the modules of programs.
#[derive(Default)]
pub(crate) struct Places {
    modules: HashMap<String, Option<Loader>>,
    here: PathBuf,
}

/// A function that a frame is in, or that was inlined there, from the inside out.
struct Function {
    /// Empty where there is none.
    name: String,
    file: Option<PathBuf>,
    place: Option<String>,
}

impl Places {
    pub(crate) fn new() -> Places {
        Places { modules: HashMap::new(), here: std::env::current_dir().unwrap_or_default() }
    }

    /// Who made a call, noted with these modules.
    pub(crate) fn caller(&mut self, point: &Point, modules: &[String]) -> Caller {
        self.caller_in(&point.frames, modules)
    }

    /// The same for return addresses, from the inside out.
    pub(crate) fn caller_in(&mut self, frames: &[Frame], modules: &[String]) -> Caller {
        let (mut api, mut through_library) = (None, false);
        for &frame in frames {
            let Some(path) = modules.get(frame.module as usize) else { continue };
            let is_library = Path::new(path).file_name().is_some_and(|name| {
                LIBRARIES.iter().any(|library| name.as_encoded_bytes().starts_with(library.as_bytes()))
            });
            through_library |= is_library;
            let functions = self.functions(path, frame);
            // The name of what was not inlined is whole.
            let outermost = functions.last().map(|function| function.name.as_str()).unwrap_or_default();
            let known = || Some(short(outermost)).filter(|name| !name.is_empty());
            if is_library || is_of(outermost, &OURS) || is_of_c(outermost) {
                // What is behind the API is nobody's word.
                let is_behind = !is_library && is_of(outermost, &BEHIND);
                api = if is_behind { api } else { known().map(without_profiling).or(api) };
            } else if !outermost.is_empty() {
                if is_of(outermost, &BETWEEN) {
                    continue;
                }
                let (inlined, others) = functions.split_at(functions.iter().take_while(|f| f.is_ours()).count());
                api = inlined
                    .last()
                    .filter(|f| f.is_api() && !is_of(&f.name, &BETWEEN))
                    .map(|function| short(&function.name))
                    .or(api);
                let place = others.first().and_then(|function| function.place.clone());
                let place = place.unwrap_or_else(|| format!("{}, {}", short(outermost), offset(path, frame)));
                let function = others.first().map(|function| short(&function.name)).filter(|name| !name.is_empty());
                return Caller { api, function, place: Some(place), key: vec![frame] };
            } else if through_library {
                return Caller { api, function: None, place: Some(offset(path, frame)), key: vec![frame] };
            }
        }
        Caller { api, function: None, place: None, key: frames.to_vec() }
    }

    /// What was called and where, as far as names tell.
    pub(crate) fn site(&mut self, point: &Point, modules: &[String]) -> Option<String> {
        match self.caller(point, modules) {
            Caller { api: Some(api), place: Some(place), .. } => Some(format!("{api} ({place})")),
            Caller { api, place, .. } => api.or(place),
        }
    }

    /// Where the counting process called from, as a sentence has it.
    pub(crate) fn name(&mut self, point: &Point, modules: &[String]) -> String {
        let Caller { api, place, .. } = self.caller(point, modules);
        let api = api.unwrap_or_else(|| point.call.to_string());
        place.map_or_else(|| api.clone(), |place| format!("{api} ({place})"))
    }

    fn functions(&mut self, path: &str, frame: Frame) -> Vec<Function> {
        let here = self.here.clone();
        let loader = self.modules.entry(path.to_owned()).or_insert_with(|| Loader::new(path).ok());
        let Some(loader) = loader else { return Vec::new() };
        // What is noted is where the call returns to, which may be another line or function.
        let at = frame.offset.saturating_sub(1);
        let mut functions = Vec::new();
        if let Ok(mut frames) = loader.find_frames(at) {
            while let Ok(Some(frame)) = frames.next() {
                let name = frame.function.and_then(|name| name.raw_name().ok().map(|name| as_written(&name)));
                let file = frame.location.as_ref().and_then(|location| location.file).map(PathBuf::from);
                let line = frame.location.and_then(|location| location.line);
                let place = file.as_ref().zip(line).map(|(file, line)| format!("{}:{line}", shown(file, &here)));
                functions.push(Function { name: name.unwrap_or_default(), file, place });
            }
        }
        // What stands in line tables alone may be no more than the last name.
        let symbol = loader.find_symbol(at).map(as_written);
        match (functions.last_mut(), symbol) {
            (None, symbol) => functions.push(Function { name: symbol.unwrap_or_default(), file: None, place: None }),
            (Some(outermost), Some(symbol)) => outermost.name = symbol,
            (Some(_), None) => {}
        }
        functions
    }
}

impl Caller {
    /// Whether it called rsm.
    pub(crate) fn is_api(&self) -> bool {
        self.api.is_some()
    }
}

impl Function {
    /// Whether its name says where it is from: not of what only its parameters are.
    fn is_whole(&self) -> bool {
        self.name.starts_with('<') || self.name.split('<').next().is_some_and(|name| name.contains("::"))
    }

    /// Whether it is one that programs call.
    fn is_api(&self) -> bool {
        let behind = ["rsm-core", "rsm-shm", "rsm-capi"];
        let is_behind = |part: &str| behind.iter().any(|name| part.starts_with(name));
        let file = self.file.as_deref().unwrap_or(Path::new(""));
        !is_file_of_std(file) && !file.components().any(|part| part.as_os_str().to_str().is_some_and(is_behind))
    }

    /// Whether it is rsm's, or stands between it and the program. Inlined functions may be known by their last name only: then
    /// their file tells.
    fn is_ours(&self) -> bool {
        if self.is_whole() || is_of_c(&self.name) {
            return is_of_c(&self.name) || [&OURS[..], &BETWEEN].iter().any(|of| is_of(&self.name, of));
        }
        self.file.as_deref().is_some_and(is_our_file)
    }
}

/// Whether a source file is one of rsm's, as they lie here or in a registry, or of the standard library.
fn is_our_file(file: &Path) -> bool {
    const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../");
    let root = Path::new(ROOT).components().fold(PathBuf::new(), |path, part| match part {
        std::path::Component::ParentDir => path.parent().map(Path::to_owned).unwrap_or_default(),
        part => path.join(part),
    });
    let crates = ["src", "rsm-core/src", "rsm-shm/src", "rsm-capi/src"];
    if crates.iter().any(|folder| file.starts_with(root.join(folder))) || is_file_of_std(file) {
        return true;
    }
    let is_version = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    let is_package = |name: &str| {
        let name = name.strip_prefix("rsm").unwrap_or_default();
        let crates = ["-core-", "-shm-", "-capi-", "-"];
        crates.iter().any(|part| name.strip_prefix(part).is_some_and(is_version))
    };
    let folders: Vec<&str> = file.components().filter_map(|part| part.as_os_str().to_str()).collect();
    folders.windows(2).any(|pair| is_package(pair[0]) && pair[1] == "src")
}

/// Whether a source file is one of the standard library, as it was built, or as it lies in a toolchain that has its source.
fn is_file_of_std(file: &Path) -> bool {
    let parts: Vec<&str> = file.components().filter_map(|part| part.as_os_str().to_str()).collect();
    file.starts_with("/rustc") || parts.windows(4).any(|parts| parts == ["rustlib", "src", "rust", "library"])
}

/// Whether a function, or what it is a method of, is of one of these; of a type that is no path, such as a parameter, the trait tells.
fn is_of(name: &str, of: &[&str]) -> bool {
    let method = name.strip_prefix('<').and_then(|name| name.split_once(" as "));
    let name = method.filter(|(of, _)| !of.contains("::")).map_or(name, |(_, of)| of);
    let name = name.trim_start_matches(['<', '&', '*', '(']);
    let name = ["dyn ", "mut "].iter().find_map(|word| name.strip_prefix(word)).unwrap_or(name);
    of.iter().any(|of| name.starts_with(of))
}

/// Whether a function is one that the libraries have for C.
fn is_of_c(name: &str) -> bool {
    is_of(name, &RSM) || is_of(name.strip_prefix('p').unwrap_or(name), &SHMEM)
}

/// The name of a function of Rust or C++ as programs and suppressions have it: without a hash, parameters, and what is returned.
fn as_written(symbol: &str) -> String {
    if let Some(name) = addr2line::demangle(symbol, addr2line::gimli::DW_LANG_Rust) {
        return without_hash(&name);
    }
    let options = DemangleOptions::new().no_params().no_return_type();
    let name = Symbol::new(symbol).ok().and_then(|name| name.demangle_with_options(&options).ok());
    let name = name.unwrap_or_else(|| symbol.to_owned());
    // What stood behind the parameters, and which copy of the function it is.
    let mut name = name.split(" [clone ").next().unwrap_or_default();
    while let Some(shorter) = [" const", " volatile", " &&", " &"].iter().find_map(|end| name.strip_suffix(end)) {
        name = shorter;
    }
    name.to_owned()
}

/// Without the hash at the end of names of Rust functions.
fn without_hash(name: &str) -> String {
    let hash =
        |hash: &&str| hash.len() == 17 && hash.starts_with('h') && hash[1..].bytes().all(|b| b.is_ascii_hexdigit());
    match name.rsplit_once("::").filter(|(_, last)| hash(last)) {
        Some((name, _)) => name.to_owned(),
        None => name.to_owned(),
    }
}

/// The name of the standard, where a function of OpenSHMEM has one for tools that measure as well.
fn without_profiling(name: String) -> String {
    let plain = name.strip_prefix('p').filter(|plain| is_of(plain, &SHMEM)).map(str::to_owned);
    plain.unwrap_or(name)
}

/// The last two words of a path, as `Import::put`.
fn short(name: &str) -> String {
    let mut depth = 0_u32;
    // What stands in angle brackets, but for the type of a method, is left out.
    let method = name.split_once("<impl ").map(|(_, name)| name).or_else(|| name.strip_prefix('<'));
    let (of, rest) = match method.and_then(|name| name.split_once(">::")) {
        Some((of, rest)) => (of.split(" as ").next().map(|of| of.split(" for ").last().unwrap_or(of)), rest),
        None => (None, name),
    };
    let plain = |text: &str| -> String {
        let is_plain = |c: &char| {
            depth += u32::from(*c == '<');
            let plain = depth == 0;
            depth = depth.saturating_sub(u32::from(*c == '>'));
            plain
        };
        text.chars().filter(is_plain).collect::<String>().replace("::{{closure}}", "").trim_end_matches(':').to_owned()
    };
    let whole = [of, Some(rest)].into_iter().flatten().map(plain).collect::<Vec<_>>().join("::");
    let words: Vec<&str> = whole.split("::").filter(|word| !word.is_empty()).collect();
    words[words.len().saturating_sub(2)..].join("::")
}

/// A file as it is called from here; without its folders where it is elsewhere.
fn shown(file: &Path, here: &Path) -> String {
    let below = file.strip_prefix(here).ok().or_else(|| file.file_name().map(Path::new));
    below.unwrap_or(file).display().to_string()
}

/// Where nothing else is known.
fn offset(path: &str, frame: Frame) -> String {
    let module =
        Path::new(path).file_name().map_or_else(|| path.to_owned(), |name| name.to_string_lossy().into_owned());
    format!("{module}+{:#x}", frame.offset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsm::lens::gate::Call;

    #[test]
    fn names_are_short() {
        for (long, expected) in [
            ("rsm_intr_signal_wait", "rsm_intr_signal_wait"),
            ("rsm::import::Import::put64", "Import::put64"),
            ("<rsm::export::Export as core::ops::drop::Drop>::drop", "Export::drop"),
            ("<rsm::node::Node>::controller", "Node::controller"),
            ("rsm::span::Span<T>::close", "Span::close"),
            ("rsm::import::Import::put::<[u8; 4]>", "Import::put"),
            ("rsm::export::Export::wait::{{closure}}", "Export::wait"),
            ("rsm::m::life::<impl core::ops::drop::Drop for rsm::m::Segment>::drop", "Segment::drop"),
            ("rsm::m::take::<impl rsm::m::Membership>::take", "Membership::take"),
            ("put<rsm::Word>", "put"),
            ("main", "main"),
            ("", ""),
        ] {
            assert_eq!(short(long), expected, "{long}");
        }
        assert_eq!(without_hash("app::main::h0123456789abcdef"), "app::main");
        assert_eq!(without_hash("app::main::handle"), "app::main::handle");
        for (symbol, expected) in [
            ("_ZN3app4main17h0123456789abcdefE", "app::main"),
            ("_RNvC3app4main", "app::main"),
            ("main", "main"),
            ("operator()", "operator()"),
            ("_ZL3puti", "put"),
            ("_ZN12_GLOBAL__N_13putEm", "(anonymous namespace)::put"),
            ("_ZNK3app3BoxIPFiiEE3putEiPFvvE", "app::Box<int (*)(int)>::put"),
            ("_Z3putIiEvT_", "put<int>"),
            ("_ZZ4mainENKUliE_clEi", "main::{lambda(int)#1}::operator()"),
        ] {
            assert_eq!(as_written(symbol), expected);
        }
    }

    #[test]
    fn whose_functions_are_told() {
        for name in ["rsm::a", "<rsm_shm::a::B>::c", "<&rsm::a::B as core::fmt::Debug>::fmt"] {
            assert!(is_of(name, &OURS), "{name}");
        }
        for name in ["rsmtest::main", "<app::Guard as core::ops::drop::Drop>::drop", "main"] {
            assert!(!is_of(name, &OURS) && !is_of(name, &BETWEEN) && !is_of_c(name), "{name}");
        }
        for name in [
            "core::ptr::drop_in_place::<rsm::Import>",
            "__rust_try",
            "__rustc::rust_begin_unwind",
            "std::panicking::catch_unwind::do_call",
            "std::sys::backtrace::__rust_begin_short_backtrace",
            "<F as core::ops::function::FnOnce<()>>::call_once",
            "<&mut F as core::ops::function::FnMut<A>>::call_mut",
            "<[T] as core::slice::cmp::SlicePartialEq<T>>::equal",
            "<core::panic::unwind_safe::AssertUnwindSafe<app::Work> as core::ops::function::FnOnce<()>>::call_once",
        ] {
            assert!(is_of(name, &BETWEEN) && !is_of(name, &OURS), "{name}");
        }
        for name in ["<T as app::Copy>::copy", "<u8 as app::core::Copy>::copy", "rust_try", "<app::T as core::a::B>::c"]
        {
            assert!(!is_of(name, &BETWEEN) && !is_of(name, &OURS), "{name}");
        }
        assert!(is_of_c("rsm_memseg_import_put64") && !is_of_c("rsm_try"));
    }

    /// What the libraries export is in a list of one, and made of the other's table.
    #[test]
    fn all_functions_of_the_libraries_are_known() {
        let read = |file: &str| {
            std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file)).expect("a list")
        };
        let (map, table) = (read("rsm-capi/librsm.map"), read("rsm-shmem/table/families.rs"));
        let exported =
            map.lines().filter_map(|line| line.trim().strip_suffix(';')).filter(|name| name.starts_with("rsm_"));
        // A name is the first string of a line, with the type of what is given after it.
        let rows = table.lines().map(|line| line.trim().trim_start_matches("#[old] "));
        let rows = rows.filter_map(|row| row.strip_prefix('"')?.split_once("\" \""));
        let names: Vec<&str> = exported.chain(rows.map(|(name, _)| name)).collect();
        for name in ["rsm_ext_end_run", "rsm_race_access", "shmem_init", "start_pes", "shmem_malloc"] {
            assert!(names.contains(&name), "{name}: {names:?}");
        }
        for name in names {
            assert!(is_of_c(name), "{name}");
            let profiled = format!("p{name}");
            let is_profiled = is_of_c(&profiled);
            assert_eq!(is_profiled, !name.starts_with("rsm_"), "{name}");
            assert_eq!(without_profiling(profiled) == name, is_profiled, "{name}");
        }
    }

    #[test]
    fn files_of_rsm_are_known() {
        let here = concat!(env!("CARGO_MANIFEST_DIR"), "/../rsm-shm/src/a.rs").replace("/rsm-ctl/..", "");
        for file in [
            &*here,
            "/r/rsm-0.1.0/src/import.rs",
            "/r/rsm-shm-1.2.3/src/a/b.rs",
            "/rustc/0/library/core/src/a.rs",
            "/t/stable/lib/rustlib/src/rust/library/std/src/panicking.rs",
        ] {
            assert!(is_our_file(Path::new(file)), "{file}");
        }
        for file in ["/home/rsm/src/main.rs", "/r/rsmtest-0.1.0/src/main.rs", "main.rs", "/r/rsm-shm-1.0/tests/a.rs"] {
            assert!(!is_our_file(Path::new(file)), "{file}");
        }
    }

    #[test]
    fn places_are_told_from_here() {
        assert_eq!(shown(Path::new("/src/app/token.c"), Path::new("/src/app")), "token.c");
        assert_eq!(shown(Path::new("/src/app/a/token.c"), Path::new("/src/app")), "a/token.c");
        assert_eq!(shown(Path::new("/elsewhere/token.c"), Path::new("/src/app")), "token.c");
    }

    #[test]
    fn a_module_that_cannot_be_read_is_told_by_name() {
        let frames = vec![Frame { module: 0, offset: 0x10 }, Frame { module: 1, offset: 0x20 }];
        let point = Point { number: 6, call: Call::Wait, node: 1, id: 2, patience: None, frames: frames.clone() };
        let mut places = Places::new();
        let modules = ["/no/such/librsm.so.1".to_owned(), "/no/such/token".to_owned()];
        assert_eq!(places.name(&point, &modules), "wait (token+0x20)");
        assert_eq!(places.caller(&point, &modules).key, frames[1..]);
        // With rsm in it, nobody knows where it ends and the program begins.
        let modules = ["/no/such/token".to_owned(), "/no/such/token".to_owned()];
        assert_eq!(places.name(&point, &modules), "wait");
        assert_eq!(places.caller(&point, &modules).key, frames);
    }
}
