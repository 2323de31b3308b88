//! What the default features leave out: the GPU, and the emulator of its kernels.

use std::process::{Command, Stdio};

use anyhow::Result;
use xshell::Shell;

use crate::process::{cargo, run_cargo};
use crate::workspace::Workspace;

/// The command of the CI stage, as a person would type it.
pub(crate) const LINT: &str = "cargo clippy -p ssm-kernels -p trainer -p dis -p benches --all-targets \
                               --features dis/cuda,dis/emulated,benches/cuda,benches/emulated -- \
                               -D warnings --force-warn clippy::too_many_lines";

/// Lints and documents code for devices. It needs neither CUDA nor a GPU.
pub(crate) fn lint(shell: &Shell) -> Result<()> {
    if features(shell)?.is_none() {
        println!("this workspace has no devices");
        return Ok(());
    }
    run_cargo(cargo(shell).args(LINT.split_whitespace().skip(1)))?;
    let document = ["doc", "-p", "ssm-kernels", "-p", "trainer", "-p", "dis", "--no-deps"];
    let document = cargo(shell).args(document).args(["--features", "dis/cuda,dis/emulated"]);
    run_cargo(document.env("RUSTDOCFLAGS", "-Dwarnings"))
}

/// Features that bring tests of their own. A GPU build needs no CUDA, and its tests skip what needs a
/// GPU; the emulator needs a C++ compiler, without which it is left out with a note.
pub(crate) fn features(shell: &Shell) -> Result<Option<&'static str>> {
    let workspace = Workspace::load(shell)?;
    if !workspace.packages.iter().any(|package| package.name == "dis") {
        return Ok(None);
    }
    let compiler = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
    let found = Command::new(&compiler).arg("--version").stdout(Stdio::null()).status();
    if found.is_ok_and(|status| status.success()) {
        return Ok(Some("dis/cuda,dis/emulated,benches/cuda,benches/emulated"));
    }
    eprintln!(
        "note: no C++ compiler ({}), so the kernels are not run in the emulator; on Debian: \
         apt-get install g++",
        compiler.display()
    );
    Ok(Some("dis/cuda,benches/cuda"))
}
