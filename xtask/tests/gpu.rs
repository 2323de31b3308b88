//! `cargo xtask gpu bundle` and `cargo xtask kernels bench`, in small workspaces without a GPU.

#![forbid(unsafe_code)]
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a failed test panics")]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::{programs, stderr, stdout, workspace, write, xtask};

/// Two tests of kernels, of which one would need a GPU.
const TESTS: &str = "mod scan { mod cuda { #[test] fn forward() { SAYS } } }\n\
    mod norm { mod emulated { #[test] fn forward() { panic!() } } }\n";
const SKIPS: &str = "println!(\"skipped, no device: no driver\");";

/// Shows its arguments; `--probe` fails where there is no file `gpu` in the workspace.
const BENCH: &str = r#"fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    println!("bench {arguments:?}");
    let has_gpu = concat!(env!("CARGO_MANIFEST_DIR"), "/../../gpu");
    if arguments[0] == "--probe" && !std::path::Path::new(has_gpu).exists() {
        eprintln!("error: no NVIDIA driver");
        std::process::exit(1);
    }
}
"#;

/// The packages that both commands build, with tests that say this.
fn packages(test: &str, says: &str) -> PathBuf {
    let tests = TESTS.replace("SAYS", says);
    let dis = "fn main() { println!(\"dis {:?}\", std::env::args().skip(1)); }";
    let root = workspace(
        test,
        &[
            ("dis", "src/main.rs", dis),
            ("ssm-kernels", "tests/device.rs", &tests),
            ("trainer", "tests/device.rs", &tests),
            ("benches", "kernels.rs", BENCH),
        ],
    );
    for name in ["dis", "ssm-kernels", "trainer", "benches"] {
        let bench = "[[bench]]\nname = \"kernels\"\npath = \"kernels.rs\"\nharness = false\n";
        let bench = if name == "benches" { bench } else { "" };
        let manifest = format!(
            "[package]\nname = \"{name}\"\nedition = \"2024\"\n[features]\ncuda = []\n{bench}"
        );
        write(&root, &format!("crates/{name}/Cargo.toml"), &manifest);
    }
    write(&root, "crates/ssm-kernels/src/lib.rs", "");
    write(&root, "crates/trainer/src/lib.rs", "");
    write(&root, "configs/quickstart.toml", "name = \"quickstart\"\n");
    root
}

fn run(root: &Path, arguments: &[&str], code: i32) -> Output {
    let output = xtask(root, arguments).output().unwrap();
    let said = format!("{}{}", stdout(&output), stderr(&output));
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    output
}

#[test]
fn help_says_what_is_needed_and_where_things_go() {
    let root = workspace("gpu_help", &[("philox", "src/lib.rs", "")]);
    let help = stdout(&run(&root, &["gpu", "bundle", "--help"], 0));
    assert!(help.contains("48 MiB") && help.contains("target/gpu-bundle"), "{help}");
    let help = stdout(&run(&root, &["kernels", "bench", "--help"], 0));
    assert!(help.contains("--json <FILE>") && help.contains("Without a GPU"), "{help}");
}

#[test]
fn nothing_is_timed_without_a_gpu() {
    let root = packages("no_gpu", SKIPS);
    let output = run(&root, &["kernels", "bench"], 1);
    assert_eq!(stdout(&output), "bench [\"--probe\", \"--bench\"]\n");
    assert!(stderr(&output).contains("error: no GPU to time kernels on"), "{}", stderr(&output));
}

#[test]
fn nothing_is_timed_that_was_not_checked() {
    let root = packages("unchecked", SKIPS);
    write(&root, "gpu", "");
    let output = run(&root, &["kernels", "bench"], 1);
    let why = "nothing is timed that was not checked: not everything found the GPU (0 passed, \
        0 failed, 1 skipped)";
    assert!(stderr(&output).contains(why), "{}", stderr(&output));

    let root = packages("checked", "");
    write(&root, "gpu", "");
    let output = run(&root, &["kernels", "bench", "--json", "a b.json", "--only", "scan"], 0);
    let timed = "bench [\"--json\", \"a b.json\", \"--only\", \"scan\", \"--bench\"]\n";
    assert!(stdout(&output).ends_with(timed), "{}", stdout(&output));
    assert!(stdout(&output).contains("scan::cuda::forward ... ok"), "{}", stdout(&output));
}

#[test]
fn a_bundle_holds_all_and_tries_itself() {
    let root = packages("bundle", SKIPS);
    let git = programs(&root, &[("git", "echo v1-dirty")]);
    let path = format!("{}:{}", git.display(), std::env::var("PATH").unwrap());
    let mut command = xtask(&root, &["gpu", "bundle", "--out", "b"]);
    let output = command.env("PATH", path).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let bundle = root.join("b");
    assert_eq!(std::fs::read_to_string(bundle.join("commit.txt")).unwrap(), "v1-dirty\n");
    for name in [
        "README.txt",
        "bin/dis",
        "bin/kernels-bench",
        "bin/kernels-parity",
        "bin/training-parity",
        "commit.txt",
        "config.toml",
        "run.sh",
    ] {
        assert!(bundle.join(name).is_file(), "{name}");
        assert!(stdout(&output).lines().any(|line| line.starts_with(name)), "{name}");
    }

    let tried = |flags: &[&str]| {
        let mut script = Command::new(bundle.join("run.sh"));
        let output = script.args(flags).arg("r").current_dir(&root).output().unwrap();
        let summary = std::fs::read_to_string(root.join("r/summary.txt")).unwrap();
        (output.status.code(), summary)
    };
    let (code, summary) = tried(&["--cpu", "--only", "doctor,kernels,bench"]);
    assert_eq!(code, Some(0), "{summary}");
    assert!(summary.contains("\nkernels    ok ") && summary.ends_with("\n0 failed\n"), "{summary}");
    assert!(!summary.contains("training"), "{summary}");
    assert!(root.join("r/kernels-parity/scan.cuda.forward.log").is_file());
    // Where there should be a GPU, what skipped has failed, and the steps behind it run all the same.
    let (code, summary) = tried(&["--only", "kernels,doctor,bench"]);
    assert_eq!(code, Some(1), "{summary}");
    assert!(summary.contains("\nkernels    FAILED ") && summary.contains("\nbench      ok "));

    // Made anew, but never where something else is.
    run(&root, &["gpu", "bundle", "--out", "b"], 0);
    let output = run(&root, &["gpu", "bundle", "--out", "crates"], 1);
    assert!(stderr(&output).contains("crates holds something that is no bundle"));
}
