//! Unsafe code lives in one crate.

use super::rust_text::{split, words};
use super::{Finding, Tree, line_of};

/// The only folder with unsafe code: the kernels, where every hot loop is.
const ALLOWED: &str = "crates/ssm-kernels/src/";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust_files().filter(|file| !file.path.starts_with(ALLOWED)) {
        let text = split(&file.text);
        for (offset, _) in words(&text.code).filter(|&(_, word)| word == "unsafe") {
            let message = format!("unsafe code belongs in {ALLOWED}");
            findings.push(Finding::new(&file.path, line_of(&text.code, offset), message));
        }
    }
    findings.extend(unguarded_roots(tree));
    findings
}

/// Libraries and binaries that do not turn unsafe code off themselves.
fn unguarded_roots(tree: &Tree) -> impl Iterator<Item = Finding> {
    let products = tree.workspace.packages.iter().flat_map(|package| &package.targets);
    products
        .filter(|target| target.is_product && !target.path.starts_with(ALLOWED))
        .filter_map(|target| tree.files.iter().find(|file| file.path == target.path))
        .filter(|file| !forbids_unsafe(&file.text))
        .map(|file| Finding::new(&file.path, 1, "a crate root needs #![forbid(unsafe_code)]"))
}

fn forbids_unsafe(text: &str) -> bool {
    let mut code = split(text).code;
    code.retain(|character| !character.is_whitespace());
    ["forbid", "deny"].iter().any(|level| code.contains(&format!("#![{level}(unsafe_code")))
}

#[cfg(test)]
mod tests {
    use super::super::assert_findings;
    use super::*;

    #[test]
    fn unsafe_is_found_outside_the_kernels_only() {
        let tree = Tree::of_files(&[
            ("crates/ssm-kernels/src/simd.rs", "unsafe { load(p) }"),
            ("crates/ssm-kernels/tests/simd.rs", "fn f() {\n    unsafe { load(p) }\n}"),
            ("crates/data/src/mmap.rs", "// unsafe in a comment\nlet s = \"unsafe\";"),
            ("crates/data/src/raw.rs", "unsafe impl Send for A {}"),
        ]);
        assert_findings(
            &check(&tree),
            &["crates/ssm-kernels/tests/simd.rs:2: ", "crates/data/src/raw.rs:1: "],
        );
    }

    #[test]
    fn every_root_but_the_kernels_forbids_it() {
        let tree = Tree::of_files(&[
            ("crates/a/src/lib.rs", "//! #![forbid(unsafe_code)] in a comment"),
            ("crates/b/src/lib.rs", "#![forbid(unsafe_code)]"),
            ("crates/c/src/main.rs", "#![deny(\n    unsafe_code,\n    reason = \"none\"\n)]"),
            ("crates/ssm-kernels/src/lib.rs", ""),
        ])
        .with_package("a", &["crates/a/src/lib.rs"])
        .with_package("b", &["crates/b/src/lib.rs"])
        .with_package("c", &["crates/c/src/main.rs"])
        .with_package("ssm-kernels", &["crates/ssm-kernels/src/lib.rs"]);
        assert_findings(&check(&tree), &["crates/a/src/lib.rs:1: a crate root needs"]);
    }
}
