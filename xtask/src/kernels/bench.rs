//! `cargo xtask kernels bench`: the time of every kernel on a GPU.

use std::ffi::OsString;
use std::path::Path;

use anyhow::{Context, Result};
use xshell::Shell;

use super::parity;
use crate::process::{cargo, run_cargo};

/// Opens the GPU, compares, times: each only after the one before.
pub(super) fn run(shell: &Shell, json: Option<&Path>, only: Option<&str>) -> Result<()> {
    bench(shell, &["--probe".into()]).context(
        "no GPU to time kernels on; `cargo xtask kernels parity` checks them without one",
    )?;
    parity::on_gpu(shell).context("nothing is timed that was not checked")?;
    bench(shell, &flags(json, only))
}

fn bench(shell: &Shell, flags: &[OsString]) -> Result<()> {
    let command = ["bench", "--package=benches", "--features=cuda", "--bench=kernels", "--"];
    run_cargo(cargo(shell).args(command).args(flags))
}

fn flags(json: Option<&Path>, only: Option<&str>) -> Vec<OsString> {
    let json = json.map(|file| ["--json".into(), file.into()]);
    let only = only.map(|names| ["--only".into(), names.into()]);
    [json, only].into_iter().flatten().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_passed_on() {
        assert!(flags(None, None).is_empty());
        let words = flags(Some(Path::new("a b.json")), Some("scan,conv"));
        assert_eq!(words, ["--json", "a b.json", "--only", "scan,conv"]);
    }
}
