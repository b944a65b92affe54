//! Makes of the table: the exported functions, `shmem.h`, the lists of names for the linker, and the manual.

use rsm_shmem_table as table;
use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let out = std::env::var_os("OUT_DIR").expect("cargo says where");
    let write = |name: &str, text: &str| {
        let path = Path::new(&out).join(name);
        std::fs::write(&path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    };
    write("exports.rs", &table::rust::exports());
    write("shmem.h", &table::header::text());
    write("rsm_shmem.7", &table::manual::text());
    let names = table::names();
    write("names", &(names.join("\n") + "\n"));
    let listed: String = names.iter().map(|name| format!("        {name};\n")).collect();
    // What programs call that `rsm-ctl cc` builds, as librsm has it.
    write("race_names", &(table::RACE.join("\n") + "\n"));
    let race: String = table::RACE.iter().map(|name| format!("        {name};\n")).collect();
    let map = format!("RSM_SHMEM_1.5 {{\n    global:\n{listed}    local:\n        *;\n}};\n");
    write("librsm_shmem.map", &format!("{map}\nRSM_RACE_1.0 {{\n    global:\n{race}}};\n"));
}
