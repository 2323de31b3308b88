//! Source files that no crate compiles.

use std::collections::{HashMap, HashSet};

use super::rust_text::{split, words};
use super::{Finding, Tree};
use crate::workspace::SourceFile;

/// Compiled by cargo-fuzz, with a manifest that `cargo metadata` of this workspace does not see.
const OTHER_WORKSPACE: &str = "fuzz/";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let files: HashMap<&str, &SourceFile> =
        tree.rust_files().map(|file| (file.path.as_str(), file)).collect();
    let roots = tree.workspace.packages.iter().flat_map(|package| &package.targets);
    let roots: HashSet<&str> = roots.map(|target| target.path.as_str()).collect();

    let mut reached = HashSet::new();
    let mut pending: Vec<String> = roots.iter().map(|&path| path.to_owned()).collect();
    while let Some(path) = pending.pop() {
        let Some(file) = files.get(path.as_str()) else { continue };
        if reached.insert(file.path.as_str()) {
            pending.extend(children(file, roots.contains(file.path.as_str())));
        }
    }
    tree.rust_files()
        .filter(|file| !reached.contains(file.path.as_str()))
        .filter(|file| !file.path.starts_with(OTHER_WORKSPACE))
        .map(|file| Finding::new(&file.path, 0, "no `mod` leads here: nothing compiles this file"))
        .collect()
}

/// The paths that the `mod name;` lines of a file may mean.
///
/// A `mod` inside an inline module is taken as one of the file itself.
fn children(file: &SourceFile, is_root: bool) -> Vec<String> {
    let code = split(&file.text).code;
    let owns_folder = is_root || file.stem() == "mod";
    let folder =
        if owns_folder { file.folder().to_owned() } else { join(file.folder(), file.stem()) };
    let mut paths = Vec::new();
    let mut words = words(&code).peekable();
    while let Some((offset, word)) = words.next() {
        if word != "mod" {
            continue;
        }
        let Some(&(name_offset, name)) = words.peek() else { break };
        if !code[name_offset + name.len()..].trim_start().starts_with(';') {
            continue;
        }
        if let Some(path) = path_attribute(&file.text, &code, offset) {
            paths.push(join(file.folder(), path));
        } else {
            paths.push(join(&folder, &format!("{name}.rs")));
            paths.push(join(&folder, &format!("{name}/mod.rs")));
        }
    }
    paths
}

/// The text of `#[path = "…"]` between the last item and the `mod` at `offset`.
fn path_attribute<'a>(source: &'a str, code: &str, offset: usize) -> Option<&'a str> {
    let item = code[..offset].rfind([';', '{', '}']).map_or(0, |end| end + 1);
    let attribute = item + code[item..offset].find("#[path")?;
    source[attribute..offset].split('"').nth(1)
}

/// Joins two relative paths and resolves `..`.
fn join(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::super::assert_findings;
    use super::*;

    #[test]
    fn files_are_reached_through_every_form_of_mod() {
        let lib = "pub mod scan;\nmod simd;\n#[cfg(test)] mod tests;\n\
            #[path = \"../../common/help.rs\"]\n#[cfg(test)]\nmod help;\n// mod lost;\n";
        let tree = Tree::of_files(&[
            ("crates/a/src/lib.rs", lib),
            ("crates/a/src/scan/mod.rs", "pub(crate) mod cpu;"),
            ("crates/a/src/scan/cpu.rs", ""),
            ("crates/a/src/simd.rs", "mod x86;\nmod inline { fn f() {} }"),
            ("crates/a/src/simd/x86.rs", ""),
            ("crates/a/src/tests.rs", ""),
            ("crates/common/help.rs", ""),
            ("crates/a/src/lost.rs", "mod also_lost;"),
            ("crates/a/src/lost/also_lost.rs", ""),
            ("crates/a/src/x86.rs", ""),
            ("fuzz/fuzz_targets/tar.rs", ""),
        ])
        .with_package("a", &["crates/a/src/lib.rs"]);
        assert_findings(
            &check(&tree),
            &[
                "crates/a/src/lost.rs: ",
                "crates/a/src/lost/also_lost.rs: ",
                "crates/a/src/x86.rs: ",
            ],
        );
    }

    #[test]
    fn paths_are_joined_without_dots() {
        assert_eq!(join("a/b", "../c/./d.rs"), "a/c/d.rs");
        assert_eq!(join("", "build.rs"), "build.rs");
    }
}
