//! A PyTorch process that runs one named case at a time.

use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// `peers/bench.py --serve`: a case name in, one line of JSON with its seconds out.
pub struct Peer {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts the peer with the Python of `DIS_PEER_PYTHON`, or of `.venv-peers` at the root of the
    /// workspace. `Ok(None)` where neither exists.
    ///
    /// # Errors
    /// When there is a Python but it cannot import PyTorch.
    pub fn start(batch: usize) -> Result<Option<Self>> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let python = std::env::var_os("DIS_PEER_PYTHON")
            .map_or_else(|| here.join("../.venv-peers/bin/python"), PathBuf::from);
        if !python.exists() {
            return Ok(None);
        }
        let probe = Command::new(&python).args(["-c", "import torch"]).output()?;
        if !probe.status.success() {
            let reason = String::from_utf8_lossy(&probe.stderr);
            bail!("{} cannot import torch: {}", python.display(), reason.trim());
        }
        let mut child = Command::new(&python)
            .arg(here.join("peers/bench.py"))
            .args(["--serve", "--batch", &batch.to_string()])
            .args(["--threads", &rayon::current_num_threads().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", python.display()))?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (Some(stdin), Some(stdout)) = (stdin, stdout) else { bail!("no pipes to the peer") };
        Ok(Some(Self { child, stdin, stdout: BufReader::new(stdout) }))
    }

    /// Seconds of one visit to a case; the first visit prepares and warms it, outside the time.
    ///
    /// # Errors
    /// When the peer does not answer.
    pub fn seconds(&mut self, case: &str) -> Result<f64> {
        writeln!(self.stdin, "{case}")?;
        self.stdin.flush()?;
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        let answer: serde_json::Value =
            serde_json::from_str(&line).with_context(|| format!("peer, case {case}: {line:?}"))?;
        answer["seconds"].as_f64().with_context(|| format!("peer, case {case}: {line:?}"))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // A peer that has already gone needs no killing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
