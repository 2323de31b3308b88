//! A PyTorch process that runs one named case at a time.

use anyhow::{Context, Result, bail, ensure};
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Names the Python of the peer.
const PYTHON: &str = "DIS_PEER_PYTHON";

/// The Python that `cargo xtask bench peers` makes, from the root of the workspace.
const OURS: &str = ".venv-peers/bin/python";

/// `peers/bench.py --serve`: a case name in, one line of JSON with its seconds out.
pub struct Peer {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    version: String,
}

impl Peer {
    /// Whether a person chose the Python, so that a run without it is not what they want.
    pub fn is_chosen() -> bool {
        std::env::var_os(PYTHON).is_some()
    }

    /// Starts the peer with the Python of `DIS_PEER_PYTHON`, or with the one that `cargo xtask bench
    /// peers` makes.
    ///
    /// # Errors
    /// When there is no such Python, or it cannot import PyTorch.
    pub fn start(batch: usize) -> Result<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let (python, name) = match std::env::var_os(PYTHON) {
            Some(chosen) => (PathBuf::from(&chosen), format!("{PYTHON}={}", chosen.display())),
            None => (here.join("..").join(OURS), OURS.to_string()),
        };
        let say_version = ["-c", "import torch; print(torch.__version__)"];
        let probe = Command::new(&python).args(say_version).output();
        let probe = probe.with_context(|| format!("cannot start {name}"))?;
        let reason = String::from_utf8_lossy(&probe.stderr);
        let reason = reason.lines().last().unwrap_or_default();
        ensure!(probe.status.success(), "{name} cannot import torch: {reason}");
        // Compiling takes minutes, so what was compiled is kept from run to run.
        let cache = std::env::var_os("TORCHINDUCTOR_CACHE_DIR")
            .unwrap_or_else(|| OsString::from(here.join("../target/inductor-cache")));
        let mut child = Command::new(&python)
            .arg(here.join("peers/bench.py"))
            .args(["--serve", "--batch", &batch.to_string()])
            .args(["--threads", &rayon::current_num_threads().to_string()])
            .env("TORCHINDUCTOR_CACHE_DIR", cache)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (Some(stdin), Some(stdout)) = (stdin, stdout) else { bail!("no pipes to the peer") };
        let version = String::from_utf8_lossy(&probe.stdout).trim().to_string();
        Ok(Self { child, stdin, stdout: BufReader::new(stdout), version })
    }

    /// Version of PyTorch.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Seconds of one visit to a case; the first visit prepares and warms it, outside the time.
    ///
    /// # Errors
    /// When the peer does not answer.
    pub fn seconds(&mut self, case: &str) -> Result<f64> {
        let answer = self.ask(case)?;
        answer["seconds"].as_f64().with_context(|| format!("peer, case {case}: {answer}"))
    }

    /// What a case gives, for a comparison before it is timed; nothing for most.
    ///
    /// # Errors
    /// When the peer does not answer.
    pub fn values(&mut self, case: &str) -> Result<Vec<f64>> {
        let answer = self.ask(&format!("{case} values"))?;
        let values = answer["values"].as_array();
        let values = values.map(|values| values.iter().filter_map(|x| x.as_f64()).collect());
        values.with_context(|| format!("peer, case {case} gives no values"))
    }

    /// The answer to one line.
    fn ask(&mut self, case: &str) -> Result<serde_json::Value> {
        writeln!(self.stdin, "{case}")?;
        self.stdin.flush()?;
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        serde_json::from_str(&line).with_context(|| format!("peer, case {case}: {line:?}"))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // A peer that has already gone needs no killing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
