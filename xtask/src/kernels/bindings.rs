//! `cargo xtask kernels bindings`: the Rust side of the launch ABI, by bindgen.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use xshell::Shell;

use super::toolkit::{INSTALL, Toolkit};
use super::{Places, sources};
use crate::process::cargo;

const INCLUDE: &str = "kernels/include";
const BINDINGS: &str = "crates/ssm-kernels/src/device/bindings.rs";
const WRITE: &str = "cargo xtask kernels bindings";

/// Names the folder of libclang.
const VARIABLE: &str = "LIBCLANG_PATH";

/// Where distributions put libclang; a folder named `llvm-VERSION` stands for every version.
const SYSTEM_FOLDERS: [&str; 6] = [
    "/usr/lib/llvm-VERSION/lib",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/usr/local/lib",
];

/// Writes the bindings, or compares them with those that are checked in.
pub(super) fn run(shell: &Shell, places: &Places, check: bool) -> Result<()> {
    let headers = headers(places)?;
    ensure!(!headers.is_empty(), "{INCLUDE} has no headers: there is nothing to bind");
    let libclang = libclang(places).with_context(|| format!("no libclang; run `{INSTALL}`"))?;
    let text = formatted(places, &generate(shell, places, &headers, &libclang)?)?;
    let path = places.root.join(BINDINGS);
    let is_current = std::fs::read_to_string(&path).is_ok_and(|found| found == text);
    if is_current {
        println!("{BINDINGS} is what {} headers say", headers.len());
    } else if check {
        bail!("{BINDINGS} is not what the headers in {INCLUDE} say; run `{WRITE}`");
    } else {
        let folder = path.parent().context("the bindings have no folder")?;
        std::fs::create_dir_all(folder).with_context(|| format!("folder {}", folder.display()))?;
        std::fs::write(&path, text).with_context(|| path.display().to_string())?;
        println!("wrote {BINDINGS} from {} headers", headers.len());
    }
    Ok(())
}

/// Compares where there is something to compare and a libclang; says so where there is not.
pub(super) fn check_if_possible(shell: &Shell, places: &Places) -> Result<()> {
    if headers(places)?.is_empty() {
        println!("no headers in {INCLUDE}: no bindings to check");
        return Ok(());
    }
    if libclang(places).is_none() {
        println!("skipped: no libclang, so {BINDINGS} is not checked; run `{INSTALL}`");
        return Ok(());
    }
    run(shell, places, true)
}

/// The headers with parameter structs, relative to the root.
fn headers(places: &Places) -> Result<Vec<String>> {
    let names = sources::names(&places.root.join(INCLUDE), "h")?;
    Ok(names.into_iter().map(|name| format!("{INCLUDE}/{name}.h")).collect())
}

/// What bindgen prints, from the package that has it.
fn generate(shell: &Shell, places: &Places, headers: &[String], libclang: &Path) -> Result<String> {
    let _directory = shell.push_dir(&places.root);
    // It runs for a moment, so optimising it, as the workspace's profile would, is a minute lost.
    let profile = "profile.dev.package.\"*\".opt-level=0";
    let command = cargo(shell)
        .args(["run", "--quiet", "--package=xtask-bindgen", "--features=generate"])
        .args(["--config", profile, "--", INCLUDE])
        .args(headers)
        .env(VARIABLE, libclang);
    command.quiet().read().context("`xtask-bindgen` failed")
}

/// Formatted as `cargo fmt` would, which looks at this file too.
fn formatted(places: &Places, text: &str) -> Result<String> {
    let mut child = Command::new("rustfmt")
        .args(["--edition", "2024"])
        // Its rustfmt.toml counts.
        .current_dir(&places.root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start rustfmt; `rustup component add rustfmt` installs it")?;
    // rustfmt reads all of its input before it writes.
    child.stdin.take().context("rustfmt has no input")?.write_all(text.as_bytes())?;
    let output = child.wait_with_output().context("cannot wait for rustfmt")?;
    ensure!(output.status.success(), "rustfmt refuses the bindings ({})", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

/// The folder of libclang: `$LIBCLANG_PATH`, the toolkit's, or the system's.
fn libclang(places: &Places) -> Option<PathBuf> {
    if let Some(path) = std::env::var_os(VARIABLE) {
        return Some(path.into());
    }
    let toolkit = Toolkit::find(places).map(|toolkit| toolkit.libclang());
    toolkit.or_else(|| system_folders().into_iter().find(|folder| has_libclang(folder)))
}

fn system_folders() -> Vec<PathBuf> {
    let versions = |folder: &&str| match folder.split_once("llvm-VERSION") {
        None => vec![PathBuf::from(folder)],
        Some((parent, rest)) => {
            let entries = Path::new(parent).read_dir().into_iter().flatten().flatten();
            let is_llvm = |name: &str| name.starts_with("llvm-");
            entries
                .filter(|entry| entry.file_name().to_str().is_some_and(is_llvm))
                .map(|entry| entry.path().join(rest.trim_start_matches('/')))
                .collect()
        }
    };
    SYSTEM_FOLDERS.iter().flat_map(versions).collect()
}

/// Whether a folder has `libclang.so`, or `libclang-16.so.1`; not the C++ library `libclang-cpp`.
fn has_libclang(folder: &Path) -> bool {
    let mut entries = folder.read_dir().into_iter().flatten().flatten();
    entries.any(|entry| entry.file_name().to_str().is_some_and(is_libclang))
}

fn is_libclang(name: &str) -> bool {
    name.strip_prefix("libclang")
        .is_some_and(|rest| rest.starts_with(['-', '.']) && !rest.starts_with("-cpp"))
        && name.contains(".so")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libclang_is_told_from_its_neighbours() {
        for name in ["libclang.so", "libclang.so.1", "libclang-16.so.1", "libclang-14.so.14.0.6"] {
            assert!(is_libclang(name), "{name}");
        }
        for name in ["libclang-cpp.so.16", "libclangAST.a", "libc.so", "libclang-16.a"] {
            assert!(!is_libclang(name), "{name}");
        }
    }
}
