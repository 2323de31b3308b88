//! `cargo xtask kernels build`: every source to a fatbin that is checked in.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};

use super::manifest::{self, Manifest, Record};
use super::nvcc::{FLAGS, Nvcc};
use super::sources::{self, Source};
use super::{Places, parallel, ptxas};
use crate::process::format_duration;

/// Compiles what changed, or everything.
pub(super) fn run(places: &Places, all: bool) -> Result<()> {
    let sources = sources::find(places, &FLAGS)?;
    let nvcc = Nvcc::require(places)?;
    let folder = places.fatbins();
    std::fs::create_dir_all(&folder).with_context(|| format!("folder {}", folder.display()))?;
    let _lock = places.lock("build")?;
    let mut manifest = manifest::read(&places.manifest())?;
    remove_orphans(places, &sources, &mut manifest)?;

    let fatbins = fatbin_hashes(places)?;
    let is_current = |source: &&Source| {
        let record = manifest.get(&source.name);
        record.is_some_and(|record| {
            record.source_hash == source.hash
                && record.nvcc == nvcc.version
                && fatbins.get(&source.name) == Some(&record.fatbin_hash)
        })
    };
    let stale: Vec<&Source> = sources.iter().filter(|s| all || !is_current(s)).collect();
    println!("{} of {} kernel files to build", stale.len(), sources.len());
    let manifest = Mutex::new(manifest);
    let built = parallel(&stale, |index, source| {
        let start = Instant::now();
        let built = build(places, &nvcc, source, all, &manifest);
        let place = format!("[{}/{}] {}", index + 1, stale.len(), source.path);
        match &built {
            Ok(what) => println!("{place}: {what}, {}", format_duration(start.elapsed())),
            Err(_) => println!("{place}: FAILED"),
        }
        built
    });
    let failures = built.into_iter().filter_map(Result::err).map(|error| format!("{error:#}"));
    let failures: Vec<String> = failures.collect();
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

/// Compiles one source, puts its fatbin in place and records it; says what came out.
fn build(
    places: &Places,
    nvcc: &Nvcc,
    source: &Source,
    fresh: bool,
    manifest: &Mutex<Manifest>,
) -> Result<String> {
    let compiled = nvcc.compile(places, source, fresh)?;
    let warnings = ptxas::warnings(&compiled.log);
    if !warnings.is_empty() {
        // One call, because another file may be talking at the same time.
        eprintln!("warnings of {}:\n{}", source.path, warnings.join("\n"));
    }
    let usages = ptxas::parse(&compiled.log)?;
    ensure!(!usages.is_empty(), "{} has no entry: extern \"C\" __global__", source.path);
    let bytes = std::fs::read(&compiled.fatbin)?;
    let path = places.fatbins().join(format!("{}.fatbin", source.name));
    std::fs::write(&path, &bytes).with_context(|| path.display().to_string())?;
    let entries = usages.len();
    let record = Record {
        source_hash: source.hash.clone(),
        fatbin_hash: manifest::fatbin_hash(&bytes),
        nvcc: nvcc.version.clone(),
        usages,
    };
    // After every file, so that a build that is cut short loses nothing.
    let mut manifest = manifest.lock().map_err(|_| anyhow!("another build panicked"))?;
    manifest.insert(source.name.clone(), record);
    manifest::write(&places.manifest(), &manifest)?;
    let noun = if entries == 1 { "entry" } else { "entries" };
    Ok(format!("{entries} {noun}, {:.1} KB", bytes.len() as f64 / 1e3))
}

/// Removes the fatbins and records whose source is gone.
fn remove_orphans(places: &Places, sources: &[Source], manifest: &mut Manifest) -> Result<()> {
    let is_orphan = |name: &String| !sources.iter().any(|source| source.name == *name);
    for name in sources::names(&places.fatbins(), "fatbin")?.iter().filter(|name| is_orphan(name)) {
        let path = places.fatbins().join(format!("{name}.fatbin"));
        std::fs::remove_file(&path).with_context(|| path.display().to_string())?;
        println!("removed {name}.fatbin: there is no kernels/{name}.cu");
    }
    let records = manifest.len();
    manifest.retain(|name, _| !is_orphan(name));
    if manifest.len() < records {
        manifest::write(&places.manifest(), manifest)?;
    }
    Ok(())
}

/// The hashes of the checked-in fatbins, by name.
pub(super) fn fatbin_hashes(places: &Places) -> Result<BTreeMap<String, String>> {
    let mut hashes = BTreeMap::new();
    for name in sources::names(&places.fatbins(), "fatbin")? {
        let path = places.fatbins().join(format!("{name}.fatbin"));
        let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
        hashes.insert(name, manifest::fatbin_hash(&bytes));
    }
    Ok(hashes)
}
