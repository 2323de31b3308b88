//! Every experiment is named in the README, so that a reader finds it.

use super::{Finding, Tree};

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let readme = tree.files.iter().find(|file| file.path == "README.md");
    let readme = readme.map_or("", |file| file.text.as_str());
    tree.files
        .iter()
        .filter(|file| file.folder() == "configs" && file.extension() == "toml")
        .filter(|file| !names(readme, file.stem()))
        .map(|file| {
            Finding::new(&file.path, 0, format!("README.md does not name `{}`", file.stem()))
        })
        .collect()
}

/// True when `name` stands in the text by itself, not as a part of a longer name.
fn names(text: &str, name: &str) -> bool {
    let is_part = |character: char| character.is_alphanumeric() || "-_".contains(character);
    text.match_indices(name).any(|(start, _)| {
        !text[..start].ends_with(is_part) && !text[start + name.len()..].starts_with(is_part)
    })
}

#[cfg(test)]
mod tests {
    use super::super::assert_findings;
    use super::*;

    #[test]
    fn a_config_is_named_by_itself() {
        let readme = "Run `configs/cifar10-dis-s2.toml`, or `quickstart`; see scaling-s-and-more.";
        let tree = Tree::of_files(&[
            ("README.md", readme),
            ("configs/cifar10-dis-s2.toml", ""),
            ("configs/cifar10-dis.toml", ""),
            ("configs/quickstart.toml", ""),
            ("configs/scaling-s.toml", ""),
            ("configs/notes.md", ""),
        ]);
        assert_findings(
            &check(&tree),
            &["configs/cifar10-dis.toml: README.md does not", "configs/scaling-s.toml: README.md"],
        );
    }

    #[test]
    fn without_a_readme_nothing_is_named() {
        let tree = Tree::of_files(&[("configs/quickstart.toml", "")]);
        assert_findings(&check(&tree), &["configs/quickstart.toml: README.md does not name"]);
    }
}
