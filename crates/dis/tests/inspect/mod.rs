//! Running `dis`, and files of tensors to run it on.

mod bench;
mod convert;
mod device;
mod inception;
mod pickle;
pub(crate) mod tensors;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The conditional golden: width 32, depth 4, patch 2, 8x8x4, 10 classes, two images.
pub(crate) const COND: &str = "cond_d32_depth4_p2_8x8x4.safetensors";

/// What a run of `dis` left behind.
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    command: String,
}

/// Runs the binary.
#[track_caller]
pub(crate) fn dis(args: &[&dyn AsArg]) -> Run {
    let args: Vec<String> = args.iter().map(|arg| arg.as_arg()).collect();
    let mut command = Command::new(env!("CARGO_BIN_EXE_dis"));
    let Output { status, stdout, stderr } = command.args(&args).output().unwrap();
    Run {
        code: status.code(),
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
        command: args.join(" "),
    }
}

/// Texts and paths.
pub(crate) trait AsArg {
    fn as_arg(&self) -> String;
}

impl AsArg for &str {
    fn as_arg(&self) -> String {
        (*self).to_string()
    }
}

impl AsArg for PathBuf {
    fn as_arg(&self) -> String {
        self.display().to_string()
    }
}

impl Run {
    /// The command succeeded and complained about nothing.
    #[track_caller]
    pub(crate) fn succeeds(self) -> Self {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "dis {}", self.command);
        self
    }

    /// The command refused with that code, on one screen that holds all of `words`.
    #[track_caller]
    pub(crate) fn refuses(self, code: i32, words: &[&str]) {
        let Self { command, stderr, .. } = &self;
        assert_eq!(self.code, Some(code), "dis {command}: {stderr}");
        assert!(stderr.starts_with("error: "), "dis {command}: {stderr}");
        assert!(!stderr.contains("bug"), "dis {command}: {stderr}");
        assert!(stderr.lines().count() <= 45, "dis {command}: more than a screen\n{stderr}");
        for word in words {
            assert!(stderr.contains(word), "dis {command}: no {word:?} in\n{stderr}");
        }
    }
}

/// A golden of this crate.
pub(crate) fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name)
}

/// A golden of the network.
pub(crate) fn model_golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../dis-model/tests/goldens").join(name)
}
