//! `cargo xtask test`: every test that needs no GPU.

use anyhow::{Result, ensure};
use xshell::Shell;

use crate::devices;
use crate::process::{TestCounts, cargo, cargo_test, run_cargo};

/// Runs the doc tests, then all other tests.
///
/// cargo-nextest runs no doc tests, so they are a run of their own.
/// They come first because the closing line of the whole should count the larger part.
pub(crate) fn run(shell: &Shell, filters: &[String]) -> Result<()> {
    let features =
        devices::features(shell)?.map_or(vec![], |features| vec!["--features", features]);
    let all = |arguments: &[&'static str]| owned(&[arguments, &features].concat());
    let docs = cargo_test(shell, &all(&["--workspace", "--doc"]), filters)?;
    ensure!(docs.success, "doc tests failed: {}", docs.counts);
    if nextest_is_installed(shell) {
        // A filter that names doc tests only leaves nothing here to run, which is not a failure.
        let when_none = if docs.counts.passed > 0 { "pass" } else { "fail" };
        let nextest = cargo(shell).args(["nextest", "run", "--workspace", "--no-fail-fast"]);
        let nextest = nextest.args(&features);
        return run_cargo(nextest.args(["--no-tests", when_none]).args(filters));
    }
    let arguments = all(&["--workspace", "--no-fail-fast", "--lib", "--bins", "--tests"]);
    let tests = cargo_test(shell, &arguments, filters)?;
    let mut counts = docs.counts;
    counts += tests.counts;
    println!("\n{counts}");
    ensure!(tests.success, "tests failed; `cargo xtask test NAME` runs those that contain NAME");
    ensure!(counts != TestCounts::default(), "no test contains {}", filters.join(" or "));
    Ok(())
}

fn owned(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(|&argument| argument.to_owned()).collect()
}

fn nextest_is_installed(shell: &Shell) -> bool {
    cargo(shell).args(["nextest", "--version"]).quiet().ignore_stderr().read().is_ok()
}
