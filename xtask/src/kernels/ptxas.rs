//! What `ptxas -v` says about each entry.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

/// What one entry takes on one architecture.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) registers: u64,
    pub(super) spill_bytes: u64,
    /// Static shared memory; what a launch asks for comes on top.
    pub(super) shared_bytes: u64,
    /// Local memory, which lies in device memory: arrays that were indexed by a variable, and spills.
    pub(super) stack_bytes: u64,
}

/// By entry, then by architecture.
pub(super) type Usages = BTreeMap<String, BTreeMap<String, Usage>>;

/// Reads the figures out of a log.
///
/// ```text
/// ptxas info    : Compiling entry function 'scan' for 'sm_80'
/// ptxas info    : Function properties for scan
///     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
/// ptxas info    : Used 202 registers, used 1 barriers, 608 bytes cmem[0]
/// ```
pub(super) fn parse(log: &str) -> Result<Usages> {
    let mut usages = Usages::new();
    let mut current: Option<(String, String)> = None;
    for line in log.lines() {
        if let Some((_, rest)) = line.split_once("Compiling entry function '") {
            let mut quoted = rest.split('\'');
            let (entry, architecture) = (quoted.next(), quoted.nth(1));
            let entry = entry.unwrap_or_default().to_owned();
            let architecture = architecture.context("ptxas names no architecture")?.to_owned();
            usages.entry(entry.clone()).or_default().insert(architecture.clone(), Usage::default());
            current = Some((entry, architecture));
        } else if let Some((entry, architecture)) = &current
            && let Some(usage) = usages.get_mut(entry).and_then(|u| u.get_mut(architecture))
        {
            read_figures(line, usage);
        }
    }
    Ok(usages)
}

fn read_figures(line: &str, usage: &mut Usage) {
    if let Some(bytes) = number_before(line, " bytes stack frame") {
        let stores = number_before(line, " bytes spill stores").unwrap_or(0);
        let loads = number_before(line, " bytes spill loads").unwrap_or(0);
        // A function that is called and not inlined has a line of its own: the largest counts.
        usage.stack_bytes = usage.stack_bytes.max(bytes);
        usage.spill_bytes = usage.spill_bytes.max(stores + loads);
    } else if let Some(registers) = number_before(line, " registers") {
        usage.registers = registers;
        usage.shared_bytes = number_before(line, " bytes smem").unwrap_or(0);
    }
}

fn number_before(line: &str, what: &str) -> Option<u64> {
    let (before, _) = line.split_once(what)?;
    before.split_whitespace().next_back()?.parse().ok()
}

/// What a person should read of a log: everything but the figures.
pub(super) fn warnings(log: &str) -> Vec<&str> {
    let is_figure =
        |line: &&str| line.starts_with("ptxas info") || line.contains(" bytes stack frame, ");
    log.lines().filter(|line| !line.trim().is_empty() && !is_figure(line)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
scan.cu(23): warning #177-D: variable \"n\" was declared but never referenced

ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'scan_f32' for 'sm_80'
ptxas info    : Function properties for scan_f32
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 202 registers, used 1 barriers, 608 bytes cmem[0]
ptxas info    : Compile time = 238.032 ms
ptxas info    : Compiling entry function 'scan_f32' for 'sm_90'
ptxas warning : Registers are spilled to local memory in function 'scan_f32', 8 bytes spill loads
ptxas info    : Function properties for scan_f32
    24 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 128 registers, used 1 barriers, 24 bytes cumulative stack size, 4096 bytes smem
";

    #[test]
    fn figures_are_read_by_entry_and_architecture() {
        let usages = parse(LOG).unwrap();
        let scan = &usages["scan_f32"];
        assert_eq!(scan["sm_80"], Usage { registers: 202, ..Usage::default() });
        let spilled =
            Usage { registers: 128, spill_bytes: 20, shared_bytes: 4096, stack_bytes: 24 };
        assert_eq!(scan["sm_90"], spilled);
        assert!(parse("").unwrap().is_empty());
    }

    #[test]
    fn warnings_are_what_is_left() {
        let warnings = warnings(LOG);
        assert_eq!(warnings.len(), 2);
        assert!(warnings[0].starts_with("scan.cu(23)") && warnings[1].contains("spilled"));
    }
}
