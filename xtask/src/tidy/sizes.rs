//! Files that grew long; a guide, so these are warnings. The length of functions is clippy's.

use super::{Finding, Tree};

const MAX_LINES: usize = 400;

/// Files in these languages are written by hand and read whole.
const LANGUAGES: [&str; 6] = ["rs", "cu", "cuh", "h", "py", "sh"];

/// Written by a program.
const GENERATED: [&str; 1] = ["bindings.rs"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.files
        .iter()
        .filter(|file| LANGUAGES.contains(&file.extension()))
        .filter(|file| !GENERATED.contains(&file.file_name()))
        .map(|file| (file, file.text.lines().count()))
        .filter(|&(_, lines)| lines > MAX_LINES)
        .map(|(file, lines)| {
            let message = format!("{lines} lines; beyond {MAX_LINES} a file often holds two ideas");
            Finding::new(&file.path, 0, message)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::assert_findings;
    use super::*;

    #[test]
    fn long_sources_are_named() {
        let long = "\n".repeat(MAX_LINES + 1);
        let tree = Tree::of_files(&[
            ("a.rs", &long),
            ("b.rs", &long[1..]),
            ("bindings.rs", &long),
            ("Cargo.lock", &long),
        ]);
        assert_findings(&check(&tree), &["a.rs: 401 lines"]);
    }
}
