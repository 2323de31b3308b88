//! No file speaks of one machine, and only tests may look outside the repository.

use super::{Finding, Tree, line_of};
use crate::workspace::SourceFile;

/// The beginnings of paths that exist on one person's machine.
/// Written in two halves, so that this file passes its own check.
const MACHINE_PATHS: [&str; 5] = [
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
    concat!("C:\\", "Users"),
];

/// Data that lies beside a checkout; tests use it when it is there.
const BESIDE: &str = concat!("../", "shared");

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &tree.files {
        for path in MACHINE_PATHS {
            findings.extend(starts(&file.text, path).map(|offset| {
                let message = format!("`{path}` exists on one machine only");
                Finding::new(&file.path, line_of(&file.text, offset), message)
            }));
        }
        let end = if is_for_tests(file) { 0 } else { product_length(file) };
        findings.extend(file.text[..end].match_indices(BESIDE).map(|(offset, _)| {
            let message = format!("only tests and .ci/run may look into `{BESIDE}`");
            Finding::new(&file.path, line_of(&file.text, offset), message)
        }));
    }
    findings
}

/// Where `path` begins a path, as opposed to continuing one: `a/b/` or a web address.
fn starts<'a>(text: &'a str, path: &'a str) -> impl Iterator<Item = usize> + 'a {
    let continues = |character: char| character.is_alphanumeric() || "/._-~})".contains(character);
    text.match_indices(path)
        .map(|(offset, _)| offset)
        .filter(move |&offset| !text[..offset].ends_with(continues))
}

fn is_for_tests(file: &SourceFile) -> bool {
    file.path == ".ci/run"
        || file.stem() == "tests"
        || file.folder().split('/').any(|p| p == "tests")
}

/// The length of a file up to its unit tests, which stand at the end.
fn product_length(file: &SourceFile) -> usize {
    let tests = (file.extension() == "rs").then(|| file.text.find("#[cfg(test)]\nmod tests {"));
    tests.flatten().unwrap_or(file.text.len())
}

#[cfg(test)]
mod tests {
    use super::super::assert_findings;
    use super::*;

    #[test]
    fn machine_paths_are_found_wherever_they_begin() {
        let [work, root, ..] = MACHINE_PATHS;
        let text = format!("out = \"{work}x\"\n# see{work} and host.org{work}\n({root}y)\n");
        let tree = Tree::of_files(&[("configs/a.toml", &text)]);
        assert_findings(&check(&tree), &["configs/a.toml:1: ", "configs/a.toml:3: "]);
    }

    #[test]
    fn only_tests_look_beside_the_repository() {
        let product = format!("let path = \"{BESIDE}/data\";\n");
        let tested = format!("fn f() {{}}\n#[cfg(test)]\nmod tests {{\n    {product}}}\n");
        let tree = Tree::of_files(&[
            ("crates/a/src/lib.rs", &product),
            ("crates/b/src/lib.rs", &tested),
            ("crates/b/src/x/tests.rs", &product),
            ("crates/b/tests/goldens.rs", &product),
            (".ci/run", &product),
            ("README.md", &product),
        ]);
        assert_findings(&check(&tree), &["crates/a/src/lib.rs:1: ", "README.md:1: "]);
    }
}
