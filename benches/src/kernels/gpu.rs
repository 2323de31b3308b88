//! What the driver's files and tools say of a GPU; empty where there are none.

use crate::machine::said;
use std::fs;

/// Version of the NVIDIA driver.
pub fn driver_version() -> String {
    let text = fs::read_to_string("/proc/driver/nvidia/version").unwrap_or_default();
    let version = version_in(&text).map(String::from);
    let query = ["--query-gpu=driver_version", "--format=csv,noheader", "--id=0"];
    version.or_else(|| said("nvidia-smi", &query)).unwrap_or_else(|| "unknown".into())
}

/// The first number with dots in `NVRM version: NVIDIA UNIX Open Kernel Module  580.65.06  Release`.
fn version_in(text: &str) -> Option<&str> {
    let is_version = |word: &&str| {
        word.contains('.')
            && word.chars().all(|character| character.is_ascii_digit() || character == '.')
    };
    text.lines().next()?.split_whitespace().find(is_version)
}

/// Clocks, power and temperature at this moment.
pub fn gpu_state(gpu: usize) -> Option<String> {
    let what = "--query-gpu=clocks.sm,clocks.mem,power.draw,temperature.gpu";
    said("nvidia-smi", &[what, "--format=csv,noheader", &format!("--id={gpu}")])
}

#[cfg(test)]
mod tests {
    use super::version_in;

    #[test]
    fn the_version_is_found_in_what_the_driver_says() {
        let text = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build\n\
            GCC version:  gcc version 12.2.0\n";
        assert_eq!(version_in(text), Some("580.65.06"));
        assert_eq!(version_in(""), None);
    }
}
