//! Where and when a measurement was made; empty where the system does not say.

use std::fs;
use std::process::Command;

/// Name of the processor, as it gives it itself.
pub fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("model name"));
    let name = line.and_then(|line| line.split_once(':')).map(|(_, name)| name.trim());
    name.unwrap_or("unknown processor").to_string()
}

/// Tasks that ran or wanted to, on average over the last minute.
pub fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split_ascii_whitespace().next()?.parse().ok()
}

/// The commit that was built, `-dirty` behind it where files had changed.
pub fn commit() -> String {
    let here = env!("CARGO_MANIFEST_DIR");
    let git = said("git", &["-C", here, "describe", "--always", "--dirty"]);
    git.unwrap_or_else(|| "unknown".into())
}

/// Now, in UTC.
pub fn date() -> String {
    said("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"]).unwrap_or_else(|| "unknown".into())
}

/// What a program prints, when it ends well.
pub(crate) fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text =
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned());
    text.map(|text| text.trim().to_string()).filter(|text| !text.is_empty())
}
