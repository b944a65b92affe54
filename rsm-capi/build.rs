//! Gives the shared library that cargo builds its name and keeps it loaded: its threads run its code.
//!
//! `install.sh` links the installed library from the static one, with the version script that rustc's own link of a
//! cdylib does not keep.

fn main() {
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,librsm.so.2");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    println!("cargo:rerun-if-changed=build.rs");
}
