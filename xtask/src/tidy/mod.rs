//! `cargo xtask tidy`: the rules of the repository that no compiler knows, one module each.

mod arrows;
mod configs;
mod orphans;
mod places;
mod rust_text;
mod sizes;
mod unfinished;
mod unsafe_code;

use anyhow::{Result, bail};
use xshell::Shell;

use crate::workspace::{SourceFile, Workspace};

/// Everything a check may look at.
pub(crate) struct Tree {
    workspace: Workspace,
    files: Vec<SourceFile>,
}

/// One place that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    /// Counted from 1; 0 when the finding is about the whole file.
    line: usize,
    message: String,
}

struct Check {
    name: &'static str,
    severity: Severity,
    find: fn(&Tree) -> Vec<Finding>,
}

#[derive(PartialEq)]
enum Severity {
    Error,
    Warning,
}

const CHECKS: [Check; 7] = [
    Check { name: "arrows", severity: Severity::Error, find: arrows::check },
    Check { name: "unsafe", severity: Severity::Error, find: unsafe_code::check },
    Check { name: "unfinished", severity: Severity::Error, find: unfinished::check },
    Check { name: "configs", severity: Severity::Error, find: configs::check },
    Check { name: "places", severity: Severity::Error, find: places::check },
    Check { name: "orphans", severity: Severity::Error, find: orphans::check },
    Check { name: "sizes", severity: Severity::Warning, find: sizes::check },
];

/// Runs all checks and prints what they find.
pub(crate) fn run(shell: &Shell) -> Result<()> {
    let workspace = Workspace::load(shell)?;
    let files = workspace.read_files()?;
    let tree = Tree { workspace, files };
    let (mut errors, mut warnings) = (0, 0);
    for check in &CHECKS {
        let (label, count) = match check.severity {
            Severity::Error => ("error", &mut errors),
            Severity::Warning => ("warning", &mut warnings),
        };
        for finding in (check.find)(&tree) {
            eprintln!("{label}[{}]: {finding}", check.name);
            *count += 1;
        }
    }
    println!(
        "tidy: {} files, {} checks, {errors} errors, {warnings} warnings",
        tree.files.len(),
        CHECKS.len(),
    );
    if errors > 0 {
        bail!("tidy found {errors} errors");
    }
    Ok(())
}

impl Finding {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.message),
            line => write!(f, "{}:{line}: {}", self.path, self.message),
        }
    }
}

impl Tree {
    /// The Rust sources.
    fn rust_files(&self) -> impl Iterator<Item = &SourceFile> {
        self.files.iter().filter(|file| file.extension() == "rs")
    }

    #[cfg(test)]
    fn of_files(files: &[(&str, &str)]) -> Self {
        let files = files
            .iter()
            .map(|&(path, text)| SourceFile { path: path.to_owned(), text: text.to_owned() })
            .collect();
        Self { workspace: Workspace::default(), files }
    }

    /// Adds a package whose products are `roots`.
    #[cfg(test)]
    fn with_package(mut self, name: &str, roots: &[&str]) -> Self {
        use crate::workspace::{Package, Target};
        let target = |path: &&str| Target { path: (*path).to_owned(), is_product: true };
        self.workspace.packages.push(Package {
            name: name.to_owned(),
            directory: format!("crates/{name}"),
            dependencies: Vec::new(),
            targets: roots.iter().map(target).collect(),
        });
        self
    }
}

impl SourceFile {
    fn extension(&self) -> &str {
        self.file_name().rsplit_once('.').map_or("", |(_, extension)| extension)
    }

    fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// The folder, without a trailing slash; empty for a file in the root.
    fn folder(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// The file name without its extension.
    fn stem(&self) -> &str {
        self.file_name().rsplit_once('.').map_or(self.file_name(), |(stem, _)| stem)
    }
}

/// The line of a byte offset, counted from 1.
fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset].iter().filter(|&&byte| byte == b'\n').count() + 1
}

/// Compares what a check says about a tree with `path:line: message` starts, one each.
#[cfg(test)]
fn assert_findings(findings: &[Finding], expected: &[&str]) {
    let shown: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert_eq!(shown.len(), expected.len(), "{shown:#?}");
    for (found, start) in shown.iter().zip(expected) {
        assert!(found.starts_with(start), "{found}\ndoes not start with\n{start}");
    }
}
