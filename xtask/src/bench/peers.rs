//! `cargo xtask bench peers`: a Python with torch, where there is none, then the comparison with it.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use xshell::Shell;

use crate::workspace::Workspace;

/// Names another Python; then none is made.
const PYTHON: &str = "DIS_PEER_PYTHON";

const FOLDER: &str = ".venv-peers";
const REQUIREMENTS: &str = "benches/peers/requirements.txt";

/// Runs the bench with what peers there are: a machine without Python measures our side alone.
pub(super) fn run(shell: &Shell, arguments: &[OsString]) -> Result<()> {
    let only_asks = arguments.iter().any(|argument| argument == "--help" || argument == "-h");
    if std::env::var_os(PYTHON).is_none() && !only_asks {
        let root = Workspace::load(shell)?.root;
        if let Err(error) = prepare(&root) {
            eprintln!("going on without PyTorch: {error:#}");
        }
    }
    super::run_benches(shell, "peers", arguments)
}

/// Makes the environment, or completes one whose making was cut short.
fn prepare(root: &Path) -> Result<()> {
    let python = format!("{FOLDER}/bin/python");
    let has_torch = Command::new(root.join(&python)).args(["-c", "import torch"]).output();
    if has_torch.is_ok_and(|output| output.status.success()) {
        return Ok(());
    }
    eprintln!("PyTorch goes to {FOLDER}: about 5 GB, once");
    step(root, "python3", &["-m", "venv", FOLDER])?;
    step(root, &python, &["-m", "pip", "install", "-r", REQUIREMENTS])
}

/// Runs one command in the root; its own words go to the terminal.
fn step(root: &Path, program: &str, arguments: &[&str]) -> Result<()> {
    let shown = format!("{program} {}", arguments.join(" "));
    eprintln!("$ {shown}");
    // A path is one in the workspace, a bare name is looked up.
    let path = if program.contains('/') { root.join(program) } else { program.into() };
    let status = Command::new(path).args(arguments).current_dir(root).status();
    let status = status.with_context(|| format!("cannot start {program}"))?;
    ensure!(status.success(), "`{shown}` failed ({status})");
    Ok(())
}
