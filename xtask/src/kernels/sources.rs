//! The CUDA sources, and a hash over everything that nvcc reads of one.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};

use super::Places;

/// Headers of the emulator are for the host compiler, behind a condition that nvcc never meets.
const HOST_ONLY: &str = "kernels/emulator";

/// One `.cu` file, which becomes one fatbin.
pub(super) struct Source {
    /// The file name without `.cu`.
    pub(super) name: String,
    /// Relative to the root, as messages name it and nvcc is given it.
    pub(super) path: String,
    /// Of the file, all headers it includes, and the flags.
    pub(super) hash: String,
}

/// Every `.cu` file of `kernels/`, by name; none when the folder is not there.
pub(super) fn find(places: &Places, flags: &[&str]) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for name in names(&places.sources(), "cu")? {
        let path = format!("kernels/{name}.cu");
        let hash = hash(&places.root, &path, flags)?;
        sources.push(Source { name, path, hash });
    }
    Ok(sources)
}

/// The names of the files in a folder with this extension, without it and in order.
pub(super) fn names(folder: &Path, extension: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    if !folder.is_dir() {
        return Ok(names);
    }
    for entry in folder.read_dir().with_context(|| format!("folder {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|found| found == extension)
            && let Some(stem) = path.file_stem().and_then(|stem| stem.to_str())
        {
            names.push(stem.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn hash(root: &Path, source: &str, flags: &[&str]) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(flags.join(" ").as_bytes());
    for (path, text) in with_includes(root, source)? {
        // The lengths keep the end of one file apart from the start of the next.
        hasher.update(format!("\n{path} {}\n", text.len()).as_bytes());
        hasher.update(text.as_bytes());
    }
    Ok(hasher.finalize().to_hex()[..32].to_owned())
}

/// A source and every header it includes by quotes, directly or not: path and text, by path.
fn with_includes(root: &Path, source: &str) -> Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    let mut pending = vec![(source.to_owned(), String::new())];
    while let Some((path, included_by)) = pending.pop() {
        if files.contains_key(&path) {
            continue;
        }
        let text = std::fs::read_to_string(root.join(&path))
            .with_context(|| format!("{path}, which {included_by} includes, cannot be read"))?;
        for name in quoted_includes(&text) {
            let found = resolve(root, &path, name);
            if !found.starts_with(HOST_ONLY) {
                pending.push((found, path.clone()));
            }
        }
        files.insert(path, text);
    }
    Ok(files)
}

/// The names in `#include "name"`; those in angle brackets belong to the toolkit.
fn quoted_includes(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let directive = line.trim_start().strip_prefix('#')?.trim_start();
        directive.strip_prefix("include")?.trim_start().strip_prefix('"')?.split('"').next()
    })
}

/// Where an include leads: beside the file that has it, else in `kernels/include`.
fn resolve(root: &Path, from: &str, name: &str) -> String {
    let folder = Path::new(from).parent().unwrap_or(Path::new(""));
    let beside = normal(&folder.join(name));
    if root.join(&beside).is_file() || beside.starts_with(HOST_ONLY) {
        return beside;
    }
    normal(&Path::new("kernels/include").join(name))
}

/// A relative path without `.` and `..`, with `/` as the separator.
fn normal(path: &Path) -> String {
    let mut parts = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => drop(parts.pop()),
            Component::Normal(part) => parts.push(part),
            _ => {}
        }
    }
    parts.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder for one test with these files.
    fn folder(test: &str, files: &[(&str, &str)]) -> Places {
        let root = std::env::temp_dir().join(format!("xtask-{test}-{}", std::process::id()));
        for (path, text) in files {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Places { root }
    }

    const FILES: [(&str, &str); 6] = [
        ("kernels/scan.cu", "#include \"device.cuh\"\n#  include \"scan.h\" // the parameters\n"),
        ("kernels/norm.cu", "#include \"device.cuh\"\n"),
        (
            "kernels/include/device.cuh",
            "#include <stdint.h>\n#include \"abi.h\"\n#include \"../emulator/emulator.h\"\n",
        ),
        ("kernels/include/abi.h", "#define DIS_ABI_VERSION 1\n"),
        ("kernels/include/scan.h", "#include \"abi.h\"\n"),
        ("kernels/README.md", ""),
    ];

    #[test]
    fn headers_are_followed_to_the_last_one() {
        let places = folder("includes", &FILES);
        let files = with_includes(&places.root, "kernels/scan.cu").unwrap();
        let paths: Vec<&str> = files.keys().map(String::as_str).collect();
        let headers = ["abi.h", "device.cuh", "scan.h"].map(|h| format!("kernels/include/{h}"));
        assert_eq!(paths, [&headers[0], &headers[1], &headers[2], "kernels/scan.cu"]);

        std::fs::write(places.root.join("kernels/norm.cu"), "#include \"gone.h\"\n").unwrap();
        let error = with_includes(&places.root, "kernels/norm.cu").unwrap_err().to_string();
        let expected = "kernels/include/gone.h, which kernels/norm.cu includes, cannot be read";
        assert_eq!(error, expected);
        std::fs::remove_dir_all(&places.root).unwrap();
    }

    #[test]
    fn a_hash_changes_with_what_nvcc_would_read_and_only_with_it() {
        let places = folder("hashes", &FILES);
        let hashes = |flags: &[&str]| {
            let sources = find(&places, flags).unwrap();
            assert_eq!((sources[0].name.as_str(), sources[1].name.as_str()), ("norm", "scan"));
            [sources[0].hash.clone(), sources[1].hash.clone()]
        };
        let before = hashes(&["-O3"]);
        assert_ne!(before[0], before[1]);
        assert_ne!(before[0], hashes(&["-O2"])[0]);

        std::fs::write(places.root.join("kernels/include/scan.h"), "// new\n").unwrap();
        let after = hashes(&["-O3"]);
        assert_eq!(before[0], after[0]);
        assert_ne!(before[1], after[1]);
        std::fs::remove_dir_all(&places.root).unwrap();
    }

    #[test]
    fn a_missing_folder_has_no_sources() {
        let places = Places { root: "nowhere".into() };
        assert!(find(&places, &[]).unwrap().is_empty());
    }
}
