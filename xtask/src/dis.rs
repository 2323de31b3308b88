//! Commands of the binary `dis`: build it, then become it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command as Process, Stdio};

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use serde_json::Value;
use xshell::Shell;

use crate::process::cargo;

/// Runs a command of `dis` in release mode; all flags are those of `dis`.
/// With `--device cuda` it is built for GPUs as well
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Train a model; without a config, configs/quickstart.toml; on a GPU with --device cuda
    #[command(disable_help_flag = true)]
    Train(Untouched),
    /// Draw images from a run
    #[command(disable_help_flag = true)]
    Sample(Untouched),
    /// Score images against a reference: FID, sFID, IS, precision and recall
    #[command(disable_help_flag = true)]
    Eval(Untouched),
    /// Encode the images of an experiment into a cache of latents
    #[command(disable_help_flag = true)]
    Encode(Untouched),
    /// Make averaged weights of any width from the snapshots of a run
    #[command(disable_help_flag = true)]
    Ema(Untouched),
    /// Download data sets, look at them, verify caches of latents
    #[command(disable_help_flag = true)]
    Data(Untouched),
    /// Run one pass on tensors from a file, with gradients when asked
    #[command(disable_help_flag = true)]
    Forward(Untouched),
    /// Print parameters, FLOPs and memory of a preset, config or weight file
    #[command(disable_help_flag = true)]
    Info(Untouched),
    /// Convert official weights to safetensors and back
    #[command(disable_help_flag = true)]
    Convert(Untouched),
    /// Say what this machine can do
    #[command(disable_help_flag = true)]
    Doctor(Untouched),
}

#[derive(Args)]
pub(crate) struct Untouched {
    /// Flags and arguments of `dis`, passed on as they are
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    arguments: Vec<OsString>,
}

impl Command {
    fn name(&self) -> &'static str {
        match self {
            Self::Train(_) => "train",
            Self::Sample(_) => "sample",
            Self::Eval(_) => "eval",
            Self::Encode(_) => "encode",
            Self::Ema(_) => "ema",
            Self::Data(_) => "data",
            Self::Forward(_) => "forward",
            Self::Info(_) => "info",
            Self::Convert(_) => "convert",
            Self::Doctor(_) => "doctor",
        }
    }
}

/// Builds `dis` and replaces this process by it, so that its exit code and its signals are exact.
pub(crate) fn run(shell: &Shell, command: &Command) -> Result<()> {
    // Not what clap collected: clap drops a leading `--`.
    let arguments: Vec<OsString> = std::env::args_os().skip(2).collect();
    let binary = build(shell, features(&arguments))?;
    let mut process = Process::new(binary);
    process.arg(command.name()).args(arguments);
    become_process(process)
}

/// What cargo has to be told for the arguments of `dis`: a GPU among the devices needs a feature.
fn features(arguments: &[OsString]) -> &'static [&'static str] {
    // Behind `--` there are no flags.
    let flags = arguments.iter().map(|argument| argument.to_string_lossy());
    let flags: Vec<_> = flags.take_while(|argument| argument != "--").collect();
    let after_flag = flags.windows(2).filter(|pair| pair[0] == "--device").map(|pair| &*pair[1]);
    let mut devices =
        after_flag.chain(flags.iter().filter_map(|flag| flag.strip_prefix("--device=")));
    if devices.any(|device| device.starts_with("cuda")) { &["--features=cuda"] } else { &[] }
}

/// Builds the release binary and returns its path, as cargo reports it.
///
/// Cargo knows the path better than we do: `CARGO_TARGET_DIR`, `build.target` and the platform's
/// file name all change it.
fn build(shell: &Shell, features: &[&str]) -> Result<PathBuf> {
    let command = cargo(shell)
        .args([
            "build",
            "--release",
            "--package=dis",
            "--bin=dis",
            "--message-format=json-render-diagnostics",
        ])
        .args(features);
    let output = Process::from(command)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    if !output.status.success() {
        std::process::exit(output.status.code().unwrap_or(1));
    }
    let messages = String::from_utf8(output.stdout).context("cargo's messages are not UTF-8")?;
    binary_path(&messages).context("cargo built `dis` but did not say where it is")
}

fn binary_path(messages: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-artifact")
        .filter(|message| message["target"]["name"] == "dis")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

#[cfg(unix)]
fn become_process(mut process: Process) -> Result<()> {
    use std::os::unix::process::CommandExt;
    let error = process.exec();
    Err(error).with_context(|| format!("cannot start {}", process.get_program().display()))
}

#[cfg(not(unix))]
fn become_process(mut process: Process) -> Result<()> {
    let status = process
        .status()
        .with_context(|| format!("cannot start {}", process.get_program().display()))?;
    std::process::exit(status.code().unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binary_is_found_among_the_messages_of_cargo() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","target":{"name":"data"},"executable":null}"#,
            "\n",
            r#"{"reason":"compiler-artifact","target":{"name":"dis"},"executable":"/t/dis"}"#,
            "\n",
            r#"{"reason":"build-finished","success":true}"#,
        );
        assert_eq!(binary_path(messages), Some(PathBuf::from("/t/dis")));
        assert_eq!(binary_path("warning: not json"), None);
    }

    #[test]
    fn a_gpu_among_the_arguments_asks_for_the_feature() {
        for (arguments, asks) in [
            (&["--device", "cuda"][..], true),
            (&["a.toml", "--device=cuda:1", "--fast"], true),
            (&["--device", "cpu"], false),
            (&["--device"], false),
            (&["--out", "cuda"], false),
            (&["--", "--device", "cuda"], false),
            (&[], false),
        ] {
            let found: Vec<OsString> = arguments.iter().map(OsString::from).collect();
            assert_eq!(!features(&found).is_empty(), asks, "{arguments:?}");
        }
    }
}
