//! `cargo xtask bench`: the criterion benches of the package `benches`.

use std::ffi::OsString;

use anyhow::Result;
use xshell::Shell;

use crate::process::{cargo, run_cargo};

/// Runs every bench target; `--bench=*` leaves out the library, whose test harness would refuse
/// criterion's flags.
pub(crate) fn run(shell: &Shell, arguments: &[OsString]) -> Result<()> {
    // Criterion would take a `--` of its own as the end of its flags.
    let arguments = arguments.iter().filter(|&argument| argument != "--");
    run_cargo(cargo(shell).args(["bench", "--package=benches", "--bench=*", "--"]).args(arguments))
}
