//! What a node takes, and that it says so.

use std::env;
use std::process::Command;

#[test]
fn without_root_it_says_so_and_fails() {
    // In a user namespace of its own, root's process is nobody, but may still read what was built.
    let test = "deployment::of_three_pods_one_has_the_file_and_its_app_sees_it";
    let itself = env::current_exe().unwrap();
    let output = Command::new("unshare").arg("--user").arg(itself).args(["--exact", test]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("a node takes root, for namespaces, mounts and cgroups: run this as root"), "{said}");
}
