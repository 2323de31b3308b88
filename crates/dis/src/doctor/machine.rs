//! What the system says about itself. Whatever it does not say is left out.

use rustix::process::{Resource, getrlimit};
use std::fs;

/// CPU features that decide how fast this program is.
const FEATURES: [&str; 10] = [
    "avx2",
    "fma",
    "f16c",
    "avx512f",
    "avx512vl",
    "avx512dq",
    "avx512bw",
    "avx512_vnni",
    "avx512_bf16",
    "amx_bf16",
];

/// Facts about this machine.
pub(super) struct Machine {
    /// Operating system and its version.
    pub(super) system: String,
    /// Model name.
    pub(super) processor: String,
    /// Those of [`FEATURES`] it has.
    pub(super) features: Vec<&'static str>,
    /// Processors this process may use.
    pub(super) processors: usize,
    /// Tasks that ran or wanted to, on average over the last minute.
    pub(super) load: Option<f64>,
    /// Total and available bytes.
    pub(super) memory: Option<(u64, u64)>,
    /// Bytes that a control group allows, where it allows less than there is.
    pub(super) memory_limit: Option<u64>,
    /// Bytes free in the current directory.
    pub(super) disk_free: Option<u64>,
    /// Files that may be open at once.
    pub(super) open_files: Option<u64>,
}

impl Machine {
    /// Reads `/proc`, `/sys` and limits.
    pub(super) fn look() -> Self {
        let flags = cpu_field("flags").unwrap_or_default();
        let has = |feature: &&str| flags.split_ascii_whitespace().any(|flag| flag == *feature);
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
        let memory = meminfo();
        Self {
            system: format!("{os} {}, {arch}", release.trim()),
            processor: processor(),
            features: FEATURES.into_iter().filter(has).collect(),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            load: fs::read_to_string("/proc/loadavg").ok().and_then(|t| first_number(&t)),
            memory,
            memory_limit: control_group_limit()
                .filter(|limit| memory.is_none_or(|(total, _)| *limit < total)),
            disk_free: rustix::fs::statvfs(".").ok().map(|fs| fs.f_bavail * fs.f_frsize),
            open_files: getrlimit(Resource::Nofile).current,
        }
    }
}

fn first_number(text: &str) -> Option<f64> {
    text.split_ascii_whitespace().next()?.parse().ok()
}

/// Name of the processor, as it gives it itself.
pub(crate) fn processor() -> String {
    cpu_field("model name").unwrap_or_else(|| "unknown".into())
}

/// A field of the first processor.
fn cpu_field(name: &str) -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_string())
}

/// Memory that can be taken without swapping: what is free, or what the control group leaves.
pub(crate) fn available_memory() -> Option<u64> {
    let (_, available) = meminfo()?;
    Some(available.min(control_group_room().unwrap_or(u64::MAX)))
}

/// `MemTotal` and `MemAvailable`.
fn meminfo() -> Option<(u64, u64)> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let kib = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.split_ascii_whitespace().nth(1)?.parse::<u64>().ok()
    };
    Some((kib("MemTotal:")? * 1024, kib("MemAvailable:")? * 1024))
}

/// The limit of control groups version 2 on this process' own group.
fn control_group_limit() -> Option<u64> {
    control_group("memory.max")
}

/// What that limit leaves.
fn control_group_room() -> Option<u64> {
    Some(control_group_limit()?.saturating_sub(control_group("memory.current")?))
}

/// A number of this process' own group.
fn control_group(file: &str) -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    fs::read_to_string(format!("/sys/fs/cgroup{group}/{file}")).ok()?.trim().parse().ok()
}
