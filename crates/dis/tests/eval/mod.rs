//! Runs of `dis eval`.

mod cifar;
mod features;
mod images;
mod refusals;
mod statistics;

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// What a run left behind.
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
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

/// A folder that commands run in.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `dis eval` with the arguments.
    fn eval(&self, args: &[&str]) -> Ended {
        self.eval_with_threads(args, 2)
    }

    fn eval_with_threads(&self, args: &[&str], threads: usize) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dis"));
        command.env("RAYON_NUM_THREADS", threads.to_string()).env("COLUMNS", "100");
        command.env_remove("RUST_LOG").env_remove("RUST_BACKTRACE");
        command.current_dir(self.0.path()).arg("eval").args(args).stdin(Stdio::null());
        let output = command.output().unwrap();
        let [stdout, stderr] =
            [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        Ended { code: output.status.code(), stdout, stderr }
    }

    /// The report of a comparison that has to succeed.
    #[track_caller]
    fn report(&self, args: &[&str]) -> Value {
        let file = "report.json";
        let _ = std::fs::remove_file(self.path(file));
        self.eval(&[args, &["--out", file]].concat()).succeeds();
        read_json(&self.path(file))
    }
}

fn read_json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// A number of a report.
#[track_caller]
fn metric(report: &Value, name: &str) -> f64 {
    report["metrics"][name]["value"].as_f64().unwrap_or_else(|| panic!("no {name} in {report:#}"))
}

/// Image `index` of a set of noise around one colour, `[size, size, 3]`.
fn noise(set: u64, index: u64, size: usize) -> Vec<u8> {
    let byte = |i: u64| {
        let mixed = (set << 40 | index << 20 | i).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mixed = (mixed ^ mixed >> 31).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (40 * set + (mixed >> 57)) as u8
    };
    (0..(size * size * 3) as u64).map(byte).collect()
}

/// Writes images of [`noise`] as PNG files.
fn write_folder(folder: &Path, set: u64, count: u64, size: usize) {
    std::fs::create_dir_all(folder).unwrap();
    for index in 0..count {
        let file = folder.join(format!("{index:04}.png"));
        let side = size as u32;
        let pixels = noise(set, index, size);
        image::save_buffer(file, &pixels, side, side, image::ColorType::Rgb8).unwrap();
    }
}
