//! Relative relocations take three words each, are a tenth of the program, and are read at each start of each of its
//! processes; packed (DT_RELR, glibc 2.36) they take a bit.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
}
