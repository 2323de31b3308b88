//! The program `xtask` itself, started in small workspaces made for the test.
//!
//! They have no dependencies, so cargo builds them in a second and needs no network.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a failed test panics")]

mod common;

#[cfg(unix)]
use std::path::PathBuf;

#[cfg(unix)]
use common::programs;
use common::{stderr, stdout, workspace, write, xtask};

/// A `dis` that shows its arguments and ends with the exit code in `DIS_EXIT_CODE`.
const ECHO: &str = r#"
#![forbid(unsafe_code)]
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    println!("{arguments:?}");
    let code = std::env::var("DIS_EXIT_CODE").unwrap_or_default();
    std::process::exit(code.parse().unwrap_or(0));
}
"#;

#[test]
fn arguments_and_exit_codes_of_dis_pass_through_untouched() {
    let root = workspace("pass_through", &[("dis", "src/main.rs", ECHO)]);
    for (arguments, expected) in [
        (&["train"][..], "[\"train\"]\n"),
        (&["train", "--help"], "[\"train\", \"--help\"]\n"),
        (&["train", "--", "-x"], "[\"train\", \"--\", \"-x\"]\n"),
        (
            &["sample", "runs/a b", "--", "--steps=3"],
            "[\"sample\", \"runs/a b\", \"--\", \"--steps=3\"]\n",
        ),
        (
            &["forward", "--set", "a.b=\"v\"", "-V"],
            "[\"forward\", \"--set\", \"a.b=\\\"v\\\"\", \"-V\"]\n",
        ),
        (&["info", "help"], "[\"info\", \"help\"]\n"),
        (&["convert"], "[\"convert\"]\n"),
        (&["doctor"], "[\"doctor\"]\n"),
    ] {
        let output = xtask(&root, arguments).env("DIS_EXIT_CODE", "75").output().unwrap();
        assert_eq!(stdout(&output), expected);
        assert_eq!(output.status.code(), Some(75), "{arguments:?}");
    }
    let output = xtask(&root, &["train"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn dis_is_built_for_gpus_where_one_is_asked_for() {
    let source = "fn main() { println!(\"{}\", cfg!(feature = \"cuda\")); }";
    let root = workspace("features", &[("dis", "src/main.rs", source)]);
    let manifest = "[package]\nname = \"dis\"\nedition = \"2024\"\n[features]\ncuda = []\n";
    write(&root, "crates/dis/Cargo.toml", manifest);
    for (arguments, expected) in [
        (&["train"][..], "false\n"),
        (&["train", "--device", "cuda:1"], "true\n"),
        (&["doctor", "--device=cuda"], "true\n"),
        (&["sample", "runs/x", "--device", "cpu"], "false\n"),
    ] {
        let output = xtask(&root, arguments).output().unwrap();
        assert_eq!(stdout(&output), expected, "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn a_broken_build_of_dis_ends_with_the_exit_code_of_cargo() {
    let root = workspace("broken_build", &[("dis", "src/main.rs", "fn main() { missing() }")]);
    let output = xtask(&root, &["train"]).output().unwrap();
    assert_eq!(output.status.code(), Some(101));
    assert!(stderr(&output).contains("cannot find function `missing`"), "{}", stderr(&output));
    assert_eq!(stdout(&output), "");
}

/// One process from start to end: what a terminal's Ctrl-C or a scheduler's SIGTERM reaches is
/// `dis` itself, once.
#[cfg(unix)]
#[test]
fn dis_takes_the_place_of_xtask() {
    let source = "fn main() { println!(\"{}\", std::process::id()); }";
    let root = workspace("same_process", &[("dis", "src/main.rs", source)]);
    let child = xtask(&root, &["train"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let id = child.id();
    let output = child.wait_with_output().unwrap();
    assert_eq!(stdout(&output).trim(), id.to_string());
}

#[test]
fn tidy_fails_and_names_the_place() {
    let root = workspace("untidy", &[("philox", "src/lib.rs", "//! Numbers.\nmod block;\n")]);
    write(&root, "crates/philox/src/block.rs", "fn f() {\n    todo!()\n}\n");
    write(&root, "crates/philox/src/lost.rs", "");
    let output = xtask(&root, &["tidy"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let errors = stderr(&output);
    for expected in [
        "error[unsafe]: crates/philox/src/lib.rs:1: a crate root needs #![forbid(unsafe_code)]",
        "error[unfinished]: crates/philox/src/block.rs:2: `todo!` is a stub",
        "error[orphans]: crates/philox/src/lost.rs: no `mod` leads here",
        "tidy found 3 errors",
    ] {
        assert!(errors.contains(expected), "{expected} is not in\n{errors}");
    }

    write(&root, "crates/philox/src/lib.rs", "#![forbid(unsafe_code)]\nmod block;\nmod lost;\n");
    write(&root, "crates/philox/src/block.rs", "");
    let output = xtask(&root, &["tidy"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("0 errors, 0 warnings"), "{}", stdout(&output));
}

#[test]
fn check_layer_runs_what_is_about_the_layer_and_nothing_else() {
    let library = "pub mod scan { #[test] fn unit() {} }\nmod gemm { #[test] fn other() {} }";
    let root = workspace(
        "check_layer",
        &[("ssm-kernels", "src/lib.rs", library), ("dis-model", "src/lib.rs", "")],
    );
    write(&root, "crates/ssm-kernels/src/scan.rs", "");
    write(&root, "crates/ssm-kernels/tests/scan.rs", "#[test]\nfn forward() {}\n");
    write(
        &root,
        "crates/ssm-kernels/tests/laws.rs",
        "#[test]\nfn scan_is_causal() {}\n#[test]\nfn gemm_adds() { panic!() }\n",
    );

    let output = xtask(&root, &["check-layer", "scan"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("\nscan: 3 passed, 0 failed in "), "{}", stdout(&output));

    let output = xtask(&root, &["check-layer", "scam"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("did you mean `scan`?"), "{}", stderr(&output));

    let output = xtask(&root, &["check-layer"]).output().unwrap();
    assert_eq!(stdout(&output), "ops (ssm-kernels): scan\nlayers (dis-model): \n");

    write(&root, "crates/ssm-kernels/src/gemm.rs", "");
    let output = xtask(&root, &["check-layer", "gemm"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("\ngemm: 1 passed, 1 failed in "), "{}", stdout(&output));
}

/// A package `benches` whose bench `peers` shows its arguments, and a `python3` for it that acts as
/// the shell script says.
#[cfg(unix)]
fn peers(test: &str, python: &str) -> (PathBuf, String) {
    let root = workspace(test, &[("benches", "peers.rs", ECHO)]);
    let manifest = "[package]\nname = \"benches\"\nedition = \"2024\"\n\
        [[bench]]\nname = \"peers\"\npath = \"peers.rs\"\nharness = false\n";
    write(&root, "crates/benches/Cargo.toml", manifest);
    let bin = programs(&root, &[("python3", python)]);
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    (root, path)
}

#[cfg(unix)]
#[test]
fn bench_peers_runs_without_python_and_says_why() {
    let (root, path) = peers("peers_without_python", "exit 3");
    let mut command = xtask(&root, &["bench", "peers", "--compiled", "--record", "a b.md"]);
    let output = command.env("PATH", &path).env_remove("DIS_PEER_PYTHON").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let passed_on = "[\"--compiled\", \"--record\", \"a b.md\", \"--bench\"]\n";
    assert_eq!(stdout(&output), passed_on);
    let why = "going on without PyTorch: `python3 -m venv .venv-peers` failed";
    assert!(stderr(&output).contains(why), "{}", stderr(&output));

    let mut command = xtask(&root, &["bench", "peers"]);
    let output = command.env("PATH", &path).env("DIS_PEER_PYTHON", "/chosen").output().unwrap();
    assert!(!stderr(&output).contains("python3"), "{}", stderr(&output));
}

#[cfg(unix)]
#[test]
fn bench_peers_makes_an_environment_once() {
    // The first call copies itself to be the environment; torch is there once pip ran.
    let python = "case \"$2\" in\n\
        venv) mkdir -p \"$3/bin\" && cp \"$0\" \"$3/bin/python\" ;;\n\
        pip) echo \"$@\" >> pip.txt ;;\n\
        *) test -f pip.txt ;;\nesac";
    let (root, path) = peers("peers_environment", python);
    for _ in 0..2 {
        let mut command = xtask(&root, &["bench", "peers"]);
        let output = command.env("PATH", &path).env_remove("DIS_PEER_PYTHON").output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert!(!stderr(&output).contains("without PyTorch"), "{}", stderr(&output));
    }
    let installed = std::fs::read_to_string(root.join("pip.txt")).unwrap();
    assert_eq!(installed, "-m pip install -r benches/peers/requirements.txt\n");
}

#[test]
fn ci_runs_every_stage_and_stops_at_the_first_that_fails() {
    let source = "//! Numbers.\n#![forbid(unsafe_code)]\n\n\
        /// Two.\n///\n/// ```\n/// assert_eq!(philox::two(), 2);\n/// ```\n\
        pub fn two() -> u32 {\n    2\n}\n\n\
        #[cfg(test)]\nmod tests {\n    #[test]\n    fn two() {\n        \
        assert_eq!(super::two(), 2);\n    }\n}\n";
    let root = workspace("ci", &[("philox", "src/lib.rs", source)]);
    let output = xtask(&root, &["ci"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    let summary = stdout(&output);
    for stage in ["format", "tidy", "clippy", "devices", "docs", "kernels", "test"] {
        assert!(summary.contains(&format!("\n{stage:8} ok ")), "{summary}");
    }

    // A link that leads nowhere: lints pass, docs do not.
    write(&root, "crates/philox/src/lib.rs", &source.replace("/// Two.", "/// [`three`]"));
    let output = xtask(&root, &["ci"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("\ndocs     FAILED "), "{}", stdout(&output));
    assert!(stdout(&output).contains("\ntest     not run\n"), "{}", stdout(&output));
    let command = "RUSTDOCFLAGS=-Dwarnings cargo doc --workspace --no-deps";
    assert!(stderr(&output).contains(command), "{}", stderr(&output));
}
