//! What the process has used of the machine, as Linux counts it; `None` elsewhere.

use std::fs;

/// Minor page faults of all threads since the process started.
///
/// A fault is memory touched for the first time since it was mapped, so a steady state has none.
pub fn minor_faults() -> Option<u64> {
    faults_of(&fs::read_to_string("/proc/self/stat").ok()?)
}

/// Field 10 of a `stat` line. Field 2 is a file name in brackets that may hold anything.
fn faults_of(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(7)?.parse().ok()
}

/// Most bytes of memory that were in use at once, since the start or [`reset_peak_memory`].
pub fn peak_memory() -> Option<u64> {
    peak_of(&fs::read_to_string("/proc/self/status").ok()?)
}

fn peak_of(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_ascii_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// Lowers the peak to what is in use now. `None` where the system does not offer that.
pub fn reset_peak_memory() -> Option<()> {
    fs::write("/proc/self/clear_refs", "5").ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_kernel_are_read() {
        let stat = "17 (a ) b) S 1 17 17 0 -1 4194560 1234 0 5 0 10 3 0 0";
        assert_eq!(faults_of(stat), Some(1234));
        assert_eq!(peak_of("VmPeak:\t 9 kB\nVmHWM:\t  2048 kB\n"), Some(2 << 20));
        assert_eq!((faults_of("17 (x"), peak_of("VmPeak:\t 9 kB\n")), (None, None));
    }
}
