//! Runs of `dis data`.

mod check;
mod download;
mod server;
mod verify;

use std::path::Path;
use std::process::{Command, Stdio};

/// What a run left behind.
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// `dis data` with the arguments, in `folder`, on two threads, without a proxy.
fn dis_data<A: AsRef<std::ffi::OsStr>>(folder: &Path, args: impl IntoIterator<Item = A>) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dis"));
    command.env("RAYON_NUM_THREADS", "2").env("COLUMNS", "100").env("NO_PROXY", "127.0.0.1");
    command.env_remove("RUST_LOG").env_remove("RUST_BACKTRACE");
    command.current_dir(folder).arg("data").args(args).stdin(Stdio::null());
    let output = command.output().unwrap();
    let [stdout, stderr] = [output.stdout, output.stderr].map(|b| String::from_utf8(b).unwrap());
    Ended { code: output.status.code(), stdout, stderr }
}

impl Ended {
    #[track_caller]
    fn succeeds(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self
    }

    /// It ended with that code and one screen that holds all of `words`.
    #[track_caller]
    fn refuses(&self, code: i32, words: &[&str]) {
        let stderr = &self.stderr;
        assert_eq!(self.code, Some(code), "{stderr}\n{}", self.stdout);
        assert!(stderr.lines().any(|line| line.starts_with("error: ")), "{stderr}");
        assert!(stderr.lines().count() < 40 && !stderr.contains("bug in dis"), "{stderr}");
        for word in words {
            assert!(stderr.contains(word), "no {word:?} in\n{stderr}");
        }
    }
}
