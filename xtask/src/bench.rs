//! `cargo xtask bench`: the benches of the package `benches`.

mod peers;

use std::ffi::OsString;

use anyhow::Result;
use xshell::Shell;

use crate::process::{cargo, run_cargo};

/// The comparison with PyTorch alone, or every bench target.
pub(crate) fn run(shell: &Shell, arguments: &[OsString]) -> Result<()> {
    if let Some((first, rest)) = arguments.split_first()
        && first == "peers"
    {
        return peers::run(shell, rest);
    }
    // `--bench=*` leaves out the library, whose test harness would refuse criterion's flags.
    run_benches(shell, "*", arguments)
}

/// Runs the bench targets that match `targets`.
fn run_benches(shell: &Shell, targets: &str, arguments: &[OsString]) -> Result<()> {
    // A bench would take a `--` of its own as the end of its flags.
    let arguments = arguments.iter().filter(|&argument| argument != "--");
    let targets = format!("--bench={targets}");
    run_cargo(cargo(shell).args(["bench", "--package=benches", &targets, "--"]).args(arguments))
}
