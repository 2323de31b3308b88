//! `cargo xtask kernels check`: fatbins that are current, entries that stay within their limits.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};

use super::entries::{self, Entry};
use super::limits::{self, Limit, Limits, UPDATE, Verdict};
use super::manifest::{self, Manifest};
use super::nvcc::{FLAGS, Nvcc};
use super::sources::{self, Source};
use super::toolkit::{INSTALL, NVCC_VERSION, Toolkit};
use super::{Places, build, parallel, show};

/// What a person may ask for besides.
#[derive(Default, Clone, Copy)]
pub(super) struct Options {
    /// Write the counts of now to the limits.
    pub(super) update: bool,
    /// Show the loops of every entry.
    pub(super) loops: bool,
}

/// Everything that can be checked here; without nvcc that is whether the fatbins are current.
pub(super) fn run(places: &Places, options: Options) -> Result<()> {
    let sources = sources::find(places, &FLAGS)?;
    let manifest = manifest::read(&places.manifest())?;
    let fatbins = build::fatbin_hashes(places)?;
    let stale = manifest::complaints(&sources, &manifest, &fatbins, NVCC_VERSION);
    for complaint in &stale {
        eprintln!("error: {complaint}; run `cargo xtask kernels build`");
    }
    let stale = stale.len();
    println!("{} kernel files, {stale} fatbins that are not current", sources.len());

    let mut failures = 0;
    if !sources.is_empty()
        && let Some(nvcc) = compiler(places)?
    {
        failures = check_entries(places, &nvcc, &sources, &manifest, options)?;
    }
    if stale + failures > 0 {
        bail!("kernels check found {stale} stale fatbins and {failures} other errors");
    }
    Ok(())
}

/// An nvcc, which CI installs first; without one, a line that says so.
fn compiler(places: &Places) -> Result<Option<Nvcc>> {
    if let Some(nvcc) = Nvcc::find(places)? {
        return Ok(Some(nvcc));
    }
    let without = "registers and instructions are not checked";
    if std::env::var_os("CI").is_none_or(|value| value != "true") {
        println!("skipped: no nvcc {NVCC_VERSION}, so {without}; run `{INSTALL}`");
        return Ok(None);
    }
    match Toolkit::install(places) {
        Ok(_) => Nvcc::find(places),
        Err(error) => {
            println!("skipped: no nvcc {NVCC_VERSION}, so {without}: {error:#}");
            Ok(None)
        }
    }
}

/// Compiles everything and compares; the number of failures, each shown.
fn check_entries(
    places: &Places,
    nvcc: &Nvcc,
    sources: &[Source],
    manifest: &Manifest,
    options: Options,
) -> Result<usize> {
    let _lock = places.lock("build")?;
    let compiled = parallel(sources, |_, source| entries::compile(places, nvcc, source));
    let compiled: Vec<Vec<Entry>> = compiled.into_iter().collect::<Result<_>>()?;
    let limits = limits(places, nvcc, compiled.iter().flatten(), options.update)?;
    let with_counts = limits.nvcc == nvcc.version;
    if !with_counts && !limits.entries.is_empty() {
        println!("counts are not compared: limits.toml has those of nvcc {}", limits.nvcc);
    }
    println!("{}", heading());
    let (mut failures, mut shrank) = (0, false);
    for (source, entries) in sources.iter().zip(&compiled) {
        for entry in entries {
            let limit = limits.get(entry.name(), entry.architecture);
            println!("{}", row(entry, limit));
            if options.loops {
                println!("{}", show::table(entry));
            }
            let mut verdict = limit
                .map_or(Verdict::default(), |limit| limit.compare(&entry.measured(), with_counts));
            verdict.failures.extend(memory_failures(entry));
            verdict.failures.extend(manifest_failure(manifest, source, entry));
            for failure in &verdict.failures {
                let (path, name) = (&source.path, entry.name());
                eprintln!("error: {path}: {name} on {}: {failure}", entry.architecture);
            }
            failures += verdict.failures.len();
            shrank |= verdict.shrank;
        }
    }
    if shrank {
        println!("some counts shrank; `{UPDATE}` keeps them from growing back");
    }
    Ok(failures + unmatched(&limits, compiled.iter().flatten()))
}

/// The limits on the disk, after `--update` with the counts of now.
fn limits<'a>(
    places: &Places,
    nvcc: &Nvcc,
    entries: impl Iterator<Item = &'a Entry>,
    update: bool,
) -> Result<Limits> {
    let path = places.limits();
    let old = limits::read(&path)?;
    if !update {
        return Ok(old);
    }
    let mut limits = Limits { nvcc: nvcc.version.clone(), ..Limits::default() };
    for entry in entries {
        let measured = entry.measured();
        let limit = match old.get(entry.name(), entry.architecture) {
            Some(limit) => limit.clone().with_counts_of(&measured),
            None => Limit::first(&measured),
        };
        let of_entry = limits.entries.entry(entry.name().to_owned()).or_default();
        of_entry.insert(entry.architecture.to_owned(), limit);
    }
    std::fs::write(&path, limits.render()).with_context(|| path.display().to_string())?;
    println!("wrote kernels/limits.toml");
    Ok(limits)
}

/// Spills, and arrays that the compiler could not keep in registers.
fn memory_failures(entry: &Entry) -> Option<String> {
    let usage = entry.usage;
    if usage.spill_bytes > 0 {
        Some(format!("{} bytes of spills", usage.spill_bytes))
    } else if usage.stack_bytes > 0 {
        Some(format!("{} bytes of local memory: an array left the registers", usage.stack_bytes))
    } else {
        None
    }
}

/// What is checked in must be what this source gives; that a fatbin is older is said elsewhere.
fn manifest_failure(manifest: &Manifest, source: &Source, entry: &Entry) -> Option<String> {
    let record = manifest.get(&source.name).filter(|r| r.source_hash == source.hash)?;
    let recorded = record.usages.get(entry.name()).and_then(|u| u.get(entry.architecture));
    (recorded != Some(&entry.usage)).then(|| {
        "manifest.json has other figures than nvcc; run `cargo xtask kernels build --all`"
            .to_owned()
    })
}

/// Says which entries have no limits, and which limits no entry; their number.
fn unmatched<'a>(limits: &Limits, entries: impl Iterator<Item = &'a Entry>) -> usize {
    let entries: BTreeSet<(&str, &str)> = entries.map(|e| (e.name(), e.architecture)).collect();
    let of_file = limits.entries.iter();
    let limits: BTreeSet<(&str, &str)> = of_file
        .flat_map(|(entry, by_architecture)| {
            by_architecture.keys().map(move |architecture| (entry.as_str(), architecture.as_str()))
        })
        .collect();
    let report = |missing: Vec<&(&str, &str)>, what: &str| {
        if !missing.is_empty() {
            let tables: Vec<String> = missing.iter().map(|(e, a)| format!("[{e}.{a}]")).collect();
            let tables = tables.join(" ");
            eprintln!("error: kernels/limits.toml {what} {tables}; run `{UPDATE}`");
        }
        missing.len()
    };
    report(entries.difference(&limits).collect(), "lacks")
        + report(limits.difference(&entries).collect(), "has limits of entries that are gone:")
}

fn heading() -> String {
    let name = "entry";
    format!(
        "{name:36} arch   registers ceiling  instr per element  instructions of each loop's own"
    )
}

fn row(entry: &Entry, limit: Option<&Limit>) -> String {
    let measured = entry.measured();
    let ceiling = limit.map_or(String::new(), |limit| limit.ceiling().to_string());
    let per_element = limit.and_then(|limit| limit.per_element(&measured.loops).ok().flatten());
    let per_element = per_element.map_or(String::new(), |value| format!("{value:.2}"));
    let loops: Vec<String> = measured.loops.iter().map(ToString::to_string).collect();
    let row = format!(
        "{:36} {:6} {:>9} {ceiling:>7} {:>6} {per_element:>11}  {}",
        entry.name(),
        entry.architecture,
        measured.usage.registers,
        measured.instructions,
        loops.join(" ")
    );
    row.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::ptxas::Usage;
    use crate::kernels::sass::Function;

    fn entry(usage: Usage) -> Entry {
        let function = Function { name: "scan".to_owned(), instructions: Vec::new() };
        Entry { architecture: "sm_90", usage, function, loops: Vec::new() }
    }

    #[test]
    fn memory_of_its_own_is_a_failure() {
        assert_eq!(memory_failures(&entry(Usage::default())), None);
        let spilled = Usage { spill_bytes: 8, stack_bytes: 16, ..Usage::default() };
        assert_eq!(memory_failures(&entry(spilled)).unwrap(), "8 bytes of spills");
        let array = Usage { stack_bytes: 16, ..Usage::default() };
        assert!(memory_failures(&entry(array)).unwrap().starts_with("16 bytes of local memory"));
    }

    #[test]
    fn entries_and_limits_are_matched_both_ways() {
        let entries = [entry(Usage::default())];
        let mut limits = Limits::default();
        assert_eq!(unmatched(&limits, entries.iter()), 1);
        let of_entry = [("sm_90".to_owned(), Limit::default())].into();
        limits.entries.insert("scan".to_owned(), of_entry);
        assert_eq!(unmatched(&limits, entries.iter()), 0);
        assert_eq!(unmatched(&limits, [].iter()), 1);
    }
}
