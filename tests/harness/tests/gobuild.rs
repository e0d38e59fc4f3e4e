//! Programs of Go are built when they have to be. Here, and not beside the code, because `cargo test` takes no Go.

use std::fs;
use std::process::Command;

use elector_xtask::gobuild::{GoProgram, Origin};

#[test]
fn only_a_program_of_the_checkout_is_built_again() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let program = |origin| GoProgram {
        name: "hello".to_owned(),
        module: folder.path().to_owned(),
        package: ".".to_owned(),
        key: "key/of/versions".to_owned(),
        ldflags: String::new(),
        tags: String::new(),
        origin,
    };
    let cache = folder.path().join("cache");
    let says = |origin| {
        let path = program(origin).path_in(&cache).unwrap();
        assert_eq!(path, cache.join("key/of/versions/hello"));
        let output = Command::new(path).output().unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    write("go.mod", "module hello\n\ngo 1.21\n");
    write("main.go", "package main\nfunc main() { print(1) }");
    // Two at once: one builds, the other waits for it.
    std::thread::scope(|scope| {
        for thread in [0, 1].map(|_| scope.spawn(|| says(Origin::Pinned))) {
            assert_eq!(thread.join().unwrap(), "1");
        }
    });
    write("main.go", "package main\nfunc main() { print(2) }");
    assert_eq!(says(Origin::Pinned), "1");
    assert_eq!(says(Origin::Checkout), "2");
    write("main.go", "package main\nfunc main() { fail }");
    assert!(program(Origin::Checkout).path_in(&cache).is_err());
}
