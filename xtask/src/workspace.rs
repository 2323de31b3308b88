//! What cargo and the file system say about this workspace.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;
use xshell::Shell;

use crate::process::cargo;

/// The packages of the workspace and where they are.
#[derive(Default)]
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    pub(crate) packages: Vec<Package>,
    /// Where cargo builds, which may lie inside the root under any name.
    target_directory: PathBuf,
}

/// One package, with paths relative to the workspace root and `/` as the separator.
#[derive(Default)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) directory: String,
    pub(crate) dependencies: Vec<Dependency>,
    /// The root file of each library, binary, test, bench, example and build script.
    pub(crate) targets: Vec<Target>,
}

/// One line under `[dependencies]`, `[dev-dependencies]` or `[build-dependencies]`.
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) is_dev: bool,
    /// It is a folder, not a package from a registry.
    pub(crate) is_ours: bool,
}

/// The root file of something that cargo builds.
pub(crate) struct Target {
    pub(crate) path: String,
    /// A library or a binary: what ships, as opposed to tests and benches.
    pub(crate) is_product: bool,
}

/// A text file, with its path relative to the workspace root.
pub(crate) struct SourceFile {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Workspace {
    /// Asks cargo about the workspace around the shell's directory.
    pub(crate) fn load(shell: &Shell) -> Result<Self> {
        let metadata = cargo(shell)
            .args(["metadata", "--format-version=1", "--no-deps"])
            .quiet()
            .read()
            .context("`cargo metadata` failed")?;
        Self::parse(&serde_json::from_str(&metadata)?)
            .context("`cargo metadata` has an unknown form")
    }

    fn parse(metadata: &Value) -> Option<Self> {
        let root = PathBuf::from(metadata["workspace_root"].as_str()?);
        let target_directory = PathBuf::from(metadata["target_directory"].as_str()?);
        let packages = metadata["packages"].as_array()?;
        let packages =
            packages.iter().map(|package| Package::parse(package, &root)).collect::<Option<_>>()?;
        Some(Self { root, packages, target_directory })
    }

    /// Reads every text file of the repository, in the order of their paths.
    ///
    /// Leaves out build outputs, files that are not UTF-8, and what the root `.gitignore` names.
    pub(crate) fn read_files(&self) -> Result<Vec<SourceFile>> {
        let ignored = std::fs::read_to_string(self.root.join(".gitignore")).unwrap_or_default();
        let ignored: Vec<PathBuf> = ignored
            .lines()
            .filter_map(|line| line.trim().strip_prefix('/'))
            .map(|name| self.root.join(name.trim_end_matches('/')))
            .chain([self.root.join(".git"), self.target_directory.clone()])
            .collect();
        let mut files = Vec::new();
        self.read_folder(&self.root, &ignored, &mut files)?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }

    fn read_folder(
        &self,
        folder: &Path,
        ignored: &[PathBuf],
        files: &mut Vec<SourceFile>,
    ) -> Result<()> {
        let entries = folder.read_dir().with_context(|| format!("folder {}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            if ignored.contains(&path) {
                continue;
            }
            // Of the entry itself: a link is neither, so it is not followed.
            let kind = entry.file_type()?;
            if kind.is_dir() {
                self.read_folder(&path, ignored, files)?;
            } else if kind.is_file() {
                let bytes =
                    std::fs::read(&path).with_context(|| format!("file {}", path.display()))?;
                if let Ok(text) = String::from_utf8(bytes) {
                    files.push(SourceFile { path: relative(&path, &self.root), text });
                }
            }
        }
        Ok(())
    }
}

impl Package {
    fn parse(package: &Value, root: &Path) -> Option<Self> {
        let manifest = Path::new(package["manifest_path"].as_str()?);
        let dependencies = package["dependencies"].as_array()?;
        let targets = package["targets"].as_array()?;
        Some(Self {
            name: package["name"].as_str()?.to_owned(),
            directory: relative(manifest.parent()?, root),
            dependencies: dependencies.iter().map(Dependency::parse).collect::<Option<_>>()?,
            targets: targets
                .iter()
                .map(|target| Target::parse(target, root))
                .collect::<Option<_>>()?,
        })
    }
}

impl Dependency {
    fn parse(dependency: &Value) -> Option<Self> {
        Some(Self {
            name: dependency["name"].as_str()?.to_owned(),
            is_dev: dependency["kind"] == "dev",
            is_ours: dependency["path"].is_string(),
        })
    }
}

impl Target {
    fn parse(target: &Value, root: &Path) -> Option<Self> {
        let kinds = target["kind"].as_array()?;
        Some(Self {
            path: relative(Path::new(target["src_path"].as_str()?), root),
            is_product: kinds.iter().any(|kind| {
                kind == "bin"
                    || kind
                        .as_str()
                        .is_some_and(|kind| kind.ends_with("lib") || kind == "proc-macro")
            }),
        })
    }
}

fn relative(path: &Path, root: &Path) -> String {
    let path = path.strip_prefix(root).unwrap_or(path);
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_becomes_packages_with_relative_paths() {
        let metadata = serde_json::json!({
            "workspace_root": "/w",
            "target_directory": "/w/target",
            "packages": [{
                "name": "data",
                "manifest_path": "/w/crates/data/Cargo.toml",
                "dependencies": [
                    {"name": "philox", "kind": null, "path": "/w/crates/philox"},
                    {"name": "parity", "kind": "dev", "path": "/w/crates/parity"},
                    {"name": "image", "kind": null},
                ],
                "targets": [
                    {"kind": ["lib"], "src_path": "/w/crates/data/src/lib.rs"},
                    {"kind": ["test"], "src_path": "/w/crates/data/tests/order.rs"},
                ],
            }],
        });
        let workspace = Workspace::parse(&metadata).unwrap();
        let data = &workspace.packages[0];
        assert_eq!((data.name.as_str(), data.directory.as_str()), ("data", "crates/data"));
        let dependencies: Vec<_> =
            data.dependencies.iter().map(|d| (d.name.as_str(), d.is_dev, d.is_ours)).collect();
        assert_eq!(
            dependencies,
            [("philox", false, true), ("parity", true, true), ("image", false, false)]
        );
        let targets: Vec<_> =
            data.targets.iter().map(|t| (t.path.as_str(), t.is_product)).collect();
        assert_eq!(
            targets,
            [("crates/data/src/lib.rs", true), ("crates/data/tests/order.rs", false)]
        );
        assert!(Workspace::parse(&serde_json::json!({})).is_none());
    }

    #[test]
    fn this_workspace_is_read_without_its_build_outputs() {
        let workspace = Workspace::load(&Shell::new().unwrap()).unwrap();
        let files = workspace.read_files().unwrap();
        let has = |path: &str| files.iter().any(|file| file.path == path);
        assert!(has("xtask/src/workspace.rs") && has("Cargo.toml"));
        assert!(!files.iter().any(|file| file.path.starts_with("target/")));
        assert!(!files.iter().any(|file| file.path.starts_with(".git/")));
    }
}
