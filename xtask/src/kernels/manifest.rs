//! `manifest.json`: what each checked-in fatbin was made of and what it takes.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::ptxas::{Usage, Usages};
use super::sources::Source;

/// The records by the name of the fatbin.
pub(super) type Manifest = BTreeMap<String, Record>;

/// One fatbin.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Record {
    pub(super) source_hash: String,
    pub(super) fatbin_hash: String,
    pub(super) nvcc: String,
    pub(super) usages: Usages,
}

/// Reads a manifest; one that is not there is empty.
pub(super) fn read(path: &Path) -> Result<Manifest> {
    if !path.exists() {
        return Ok(Manifest::new());
    }
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    parse(&text).with_context(|| {
        format!("{} is not a manifest; `cargo xtask kernels build --all` writes it", path.display())
    })
}

fn parse(text: &str) -> Result<Manifest> {
    let value: Value = serde_json::from_str(text)?;
    let files = value.as_object().context("no object")?;
    files
        .iter()
        .map(|(name, record)| {
            let record =
                Record::parse(record).with_context(|| format!("`{name}` is incomplete"))?;
            Ok((name.clone(), record))
        })
        .collect()
}

/// Puts a manifest on the disk by one rename.
pub(super) fn write(path: &Path, manifest: &Manifest) -> Result<()> {
    let files: serde_json::Map<_, _> =
        manifest.iter().map(|(name, record)| (name.clone(), record.to_json())).collect();
    let text = serde_json::to_string_pretty(&Value::Object(files))? + "\n";
    let partial = path.with_extension("json.partial");
    std::fs::write(&partial, text).with_context(|| partial.display().to_string())?;
    std::fs::rename(&partial, path).with_context(|| path.display().to_string())
}

/// A hash of the bytes of a fatbin.
pub(super) fn fatbin_hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex()[..32].to_owned()
}

/// What is wrong with the checked-in fatbins, one line each; needs no nvcc.
///
/// `fatbins` holds the hashes of the files that are there, `pinned` the release that has to make
/// them.
pub(super) fn complaints(
    sources: &[Source],
    manifest: &Manifest,
    fatbins: &BTreeMap<String, String>,
    pinned: &str,
) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources {
        let path = &source.path;
        match (manifest.get(&source.name), fatbins.get(&source.name)) {
            (Some(record), Some(_)) if record.source_hash != source.hash => complaints.push(format!(
                "{path}: it, a header it includes, or the flags changed since its fatbin was built"
            )),
            (Some(record), Some(hash)) if record.fatbin_hash != *hash => {
                complaints.push(format!("{path}: its fatbin is not the one of the manifest"));
            }
            (Some(record), Some(_)) if record.nvcc != pinned => complaints.push(format!(
                "{path}: its fatbin was built by nvcc {}, expected {pinned}",
                record.nvcc
            )),
            (Some(_), Some(_)) => {}
            _ => complaints.push(format!("{path}: it has no fatbin")),
        }
    }
    let has_source = |name: &&String| sources.iter().any(|source| source.name == **name);
    let named: std::collections::BTreeSet<_> = manifest.keys().chain(fatbins.keys()).collect();
    complaints.extend(
        named
            .iter()
            .filter(|name| !has_source(name))
            .map(|name| format!("{name}.fatbin: there is no kernels/{name}.cu")),
    );
    complaints
}

impl Record {
    fn parse(value: &Value) -> Result<Self> {
        let text = |key: &str| {
            let text = value[key].as_str().with_context(|| format!("no `{key}`"));
            text.map(str::to_owned)
        };
        let mut usages = Usages::new();
        for (entry, architectures) in value["entries"].as_object().context("no `entries`")? {
            let architectures = architectures.as_object().context("no architectures")?;
            let usage = |(name, value): (&String, &Value)| Some((name.clone(), usage_of(value)?));
            let found: Option<_> = architectures.iter().map(usage).collect();
            usages.insert(entry.clone(), found.with_context(|| format!("entry `{entry}`"))?);
        }
        ensure!(!usages.is_empty(), "no entries");
        Ok(Self {
            source_hash: text("source_hash")?,
            fatbin_hash: text("fatbin_hash")?,
            nvcc: text("nvcc")?,
            usages,
        })
    }

    fn to_json(&self) -> Value {
        let mut entries = serde_json::Map::new();
        for (entry, architectures) in &self.usages {
            let figures: serde_json::Map<_, _> =
                architectures.iter().map(|(name, usage)| (name.clone(), to_json(usage))).collect();
            entries.insert(entry.clone(), figures.into());
        }
        json!({
            "source_hash": self.source_hash,
            "fatbin_hash": self.fatbin_hash,
            "nvcc": self.nvcc,
            "entries": entries,
        })
    }
}

fn usage_of(value: &Value) -> Option<Usage> {
    Some(Usage {
        registers: value["registers"].as_u64()?,
        spill_bytes: value["spill_bytes"].as_u64()?,
        shared_bytes: value["shared_bytes"].as_u64()?,
        stack_bytes: value["stack_bytes"].as_u64()?,
    })
}

fn to_json(usage: &Usage) -> Value {
    json!({
        "registers": usage.registers,
        "spill_bytes": usage.spill_bytes,
        "shared_bytes": usage.shared_bytes,
        "stack_bytes": usage.stack_bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(source_hash: &str) -> Record {
        let usage = Usage { registers: 64, spill_bytes: 0, shared_bytes: 16, stack_bytes: 8 };
        let architectures = BTreeMap::from([("sm_90".to_owned(), usage)]);
        Record {
            source_hash: source_hash.to_owned(),
            fatbin_hash: "f".to_owned(),
            nvcc: "13.0.88".to_owned(),
            usages: Usages::from([("scan_f32".to_owned(), architectures)]),
        }
    }

    fn source(name: &str) -> Source {
        let path = format!("kernels/{name}.cu");
        Source { name: name.to_owned(), path, hash: "s".to_owned() }
    }

    #[test]
    fn a_manifest_survives_the_disk() {
        let path = std::env::temp_dir().join(format!("xtask-{}.json", std::process::id()));
        let manifest = Manifest::from([("scan".to_owned(), record("s"))]);
        write(&path, &manifest).unwrap();
        assert_eq!(read(&path).unwrap(), manifest);
        std::fs::write(&path, "{\"scan\": {\"nvcc\": \"13\"}}").unwrap();
        let error = format!("{:#}", read(&path).unwrap_err());
        assert!(error.contains("kernels build --all") && error.contains("`scan`"), "{error}");
        std::fs::remove_file(&path).unwrap();
        assert!(read(&path).unwrap().is_empty());
    }

    #[test]
    fn what_does_not_belong_together_is_named() {
        let mut manifest = Manifest::from([("scan".to_owned(), record("s"))]);
        let mut fatbins = BTreeMap::from([("scan".to_owned(), "f".to_owned())]);
        let sources = [source("scan")];
        assert!(complaints(&sources, &manifest, &fatbins, "13.0.88").is_empty());

        let expect = |manifest: &Manifest, fatbins: &BTreeMap<_, _>, pinned: &str, part: &str| {
            let found = complaints(&sources, manifest, fatbins, pinned);
            assert!(found.len() == 1 && found[0].contains(part), "{found:?} is not {part}");
        };
        expect(&manifest, &fatbins, "13.1.1", "built by nvcc 13.0.88, expected 13.1.1");
        expect(&manifest, &BTreeMap::new(), "13.0.88", "kernels/scan.cu: it has no fatbin");
        expect(&Manifest::new(), &fatbins, "13.0.88", "kernels/scan.cu: it has no fatbin");
        fatbins.insert("scan".to_owned(), "g".to_owned());
        expect(&manifest, &fatbins, "13.0.88", "not the one of the manifest");
        manifest.insert("scan".to_owned(), record("older"));
        expect(&manifest, &fatbins, "13.0.88", "changed since its fatbin was built");

        let orphan = complaints(&[], &manifest, &fatbins, "13.0.88");
        assert_eq!(orphan, ["scan.fatbin: there is no kernels/scan.cu"]);
    }
}
