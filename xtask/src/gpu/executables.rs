//! Executables that cargo builds without running them.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use xshell::Shell;

use crate::process::cargo;

/// An executable of the bundle.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Executable {
    /// Its name there.
    pub(super) name: &'static str,
    package: &'static str,
    target: &'static str,
}

/// The binary, which a test build would replace by its own tests.
const BINARY: Executable = Executable { name: "dis", package: "dis", target: "dis" };

/// Tests and benches, which one build makes.
const TESTS: [Executable; 3] = [
    Executable { name: "kernels-parity", package: "ssm-kernels", target: "device" },
    Executable { name: "training-parity", package: "trainer", target: "device" },
    Executable { name: "kernels-bench", package: "benches", target: "kernels" },
];

/// Without names of functions and lines, which are most of a file. The workspace's own profile
/// keeps them.
const SMALL: [&str; 2] =
    ["--config=profile.release.strip=true", "--config=profile.release.debug=false"];

/// Builds all of them: each with its path.
pub(super) fn build(shell: &Shell) -> Result<Vec<(Executable, PathBuf)>> {
    let binary = ["build", "--release", "--package=dis", "--bin=dis", "--features=cuda"];
    let tests = [
        "test",
        "--no-run",
        "--release",
        "--package=ssm-kernels",
        "--package=trainer",
        "--package=benches",
        "--features=ssm-kernels/cuda,trainer/cuda,benches/cuda",
        "--test=device",
        "--bench=kernels",
    ];
    let mut found = find(&messages(shell, &binary)?, [BINARY])?;
    found.extend(find(&messages(shell, &tests)?, TESTS)?);
    Ok(found)
}

/// What cargo says of its artifacts.
fn messages(shell: &Shell, arguments: &[&str]) -> Result<String> {
    let shown = format!("cargo {}", arguments.join(" "));
    eprintln!("$ {shown}");
    let command = cargo(shell).args(arguments).args(SMALL);
    let command = command.arg("--message-format=json-render-diagnostics");
    let output = Command::from(command).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.context("cannot start cargo")?;
    ensure!(output.status.success(), "`{shown}` failed ({})", output.status);
    String::from_utf8(output.stdout).context("cargo's messages are not UTF-8")
}

fn find(
    messages: &str,
    wanted: impl IntoIterator<Item = Executable>,
) -> Result<Vec<(Executable, PathBuf)>> {
    let artifacts: Vec<Value> = messages
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|message: &Value| message["reason"] == "compiler-artifact")
        .collect();
    let with_path = |executable: Executable| {
        let path = artifacts.iter().find_map(|artifact| path_of(artifact, &executable));
        let (package, target) = (executable.package, executable.target);
        let path =
            path.with_context(|| format!("cargo did not say where `{target}` of {package} is"))?;
        Ok((executable, path))
    };
    wanted.into_iter().map(with_path).collect()
}

/// Of an artifact that is this executable; packages may have targets of one name.
fn path_of(artifact: &Value, wanted: &Executable) -> Option<PathBuf> {
    let manifest = artifact["manifest_path"].as_str()?.replace('\\', "/");
    let folder = manifest.strip_suffix("/Cargo.toml")?.rsplit('/').next()?;
    let is_wanted = artifact["target"]["name"] == wanted.target && folder == wanted.package;
    artifact["executable"].as_str().filter(|_| is_wanted).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact(package: &str, target: &str, executable: &str) -> String {
        serde_json::json!({
            "reason": "compiler-artifact",
            "manifest_path": format!("/w/crates/{package}/Cargo.toml"),
            "target": {"name": target},
            "executable": if executable.is_empty() { Value::Null } else { executable.into() },
        })
        .to_string()
    }

    #[test]
    fn tests_of_one_name_are_told_apart_by_their_package() {
        let messages = [
            artifact("ssm-kernels", "ssm_kernels", ""),
            artifact("trainer", "device", "/t/device-1"),
            artifact("ssm-kernels", "device", "/t/device-2"),
            artifact("benches", "kernels", "/t/kernels-3"),
            "not json".to_string(),
        ];
        let found = find(&messages.join("\n"), TESTS).unwrap();
        let found: Vec<_> =
            found.iter().map(|(e, path)| (e.name, path.to_str().unwrap())).collect();
        assert_eq!(
            found,
            [
                ("kernels-parity", "/t/device-2"),
                ("training-parity", "/t/device-1"),
                ("kernels-bench", "/t/kernels-3"),
            ]
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        let messages = artifact("ssm-kernels", "device", "/t/device");
        let error = find(&messages, TESTS).unwrap_err().to_string();
        assert_eq!(error, "cargo did not say where `device` of trainer is");
    }
}
