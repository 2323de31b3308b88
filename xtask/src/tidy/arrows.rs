//! Who may depend on whom.

use super::{Finding, Tree};
use crate::workspace::{Dependency, Package};

/// One row of the arrow table: a package, and those of ours that it may import.
type Row = (&'static str, &'static [&'static str]);

/// The design of the workspace. Every package has a row, and tests may import `parity` besides.
const ARROWS: [Row; 15] = [
    ("philox", &[]),
    ("npz", &[]),
    ("torch-file", &[]),
    ("ssm-kernels", &[]),
    ("dis-model", &["ssm-kernels", "philox"]),
    ("diffusion", &["philox"]),
    ("vae", &["ssm-kernels", "philox"]),
    ("data", &["philox", "npz"]),
    ("eval", &["ssm-kernels", "philox", "npz"]),
    ("trainer", &["dis-model", "diffusion", "data", "ssm-kernels", "philox"]),
    (
        "dis",
        &[
            "trainer",
            "dis-model",
            "diffusion",
            "data",
            "vae",
            "eval",
            "ssm-kernels",
            "philox",
            "npz",
            "torch-file",
        ],
    ),
    ("parity", &[]),
    (
        "benches",
        &["trainer", "dis-model", "diffusion", "data", "vae", "eval", "ssm-kernels", "philox"],
    ),
    ("xtask", &[]),
    ("xtask-bindgen", &[]),
];

/// Support for tests, which must not reach a product.
const TEST_SUPPORT: &str = "parity";

/// What tests of a package may import besides: the definitions of what its kernels compute.
const TEST_ARROWS: [Row; 1] = [("ssm-kernels", &["diffusion", "philox"])];

/// Packages from the registry that only some of ours may use outside tests, and why.
const RESERVED: [(&str, &[&str], &str); 6] = [
    ("anyhow", &["dis", "xtask", "benches"], "libraries have error types of their own"),
    ("clap", &["dis", "xtask", "benches"], "flags belong to binaries"),
    (
        "toml",
        &["trainer", "xtask"],
        "configs are read in one place; libraries only derive Deserialize",
    ),
    (
        "serde_json",
        &["trainer", "data", "vae", "eval", "dis", "xtask", "benches"],
        "JSON is for reports and the files of others",
    ),
    ("candle-core", &[], "training runs on our own kernels and gradients"),
    ("candle-nn", &[], "training runs on our own kernels and gradients"),
];

const TABLE: &str = "the table is in xtask/src/tidy/arrows.rs";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in &tree.workspace.packages {
        let manifest = format!("{}/Cargo.toml", package.directory);
        let Some(row) = ARROWS.iter().find(|(name, _)| *name == package.name) else {
            let message = format!("`{}` is not in the arrow table; {TABLE}", package.name);
            findings.push(Finding::new(&manifest, 0, message));
            continue;
        };
        let broken = package.dependencies.iter().filter_map(|dependency| {
            let message = if dependency.is_ours {
                why_not_ours(row, dependency)
            } else {
                why_not_reserved(package, dependency)
            };
            message.map(|message| Finding::new(&manifest, 0, message))
        });
        findings.extend(broken);
    }
    findings
}

fn why_not_ours((package, may_import): &Row, dependency: &Dependency) -> Option<String> {
    let name = dependency.name.as_str();
    if name == TEST_SUPPORT && *package != "xtask" {
        return (!dependency.is_dev)
            .then(|| format!("`{package}` must have `{name}` under [dev-dependencies] only"));
    }
    let is_definition = dependency.is_dev
        && TEST_ARROWS
            .iter()
            .any(|(user, definitions)| user == package && definitions.contains(&name));
    (!may_import.contains(&name) && !is_definition)
        .then(|| format!("`{package}` must not depend on `{name}`; {TABLE}"))
}

fn why_not_reserved(package: &Package, dependency: &Dependency) -> Option<String> {
    if dependency.is_dev {
        return None;
    }
    let (name, users, reason) = RESERVED.iter().find(|(name, ..)| *name == dependency.name)?;
    (!users.contains(&package.name.as_str()))
        .then(|| format!("`{}` must not depend on `{name}`: {reason}; {TABLE}", package.name))
}

#[cfg(test)]
mod tests {
    use super::super::assert_findings;
    use super::*;

    /// A tree with one package, its dependencies written as `ours`, `dev ours`, or `+registry`.
    fn tree(package: &str, dependencies: &[&str]) -> Tree {
        let mut tree = Tree::of_files(&[]).with_package(package, &[]);
        tree.workspace.packages[0].dependencies = dependencies
            .iter()
            .map(|text| {
                let (is_dev, text) =
                    text.strip_prefix("dev ").map_or((false, *text), |rest| (true, rest));
                let name = text.trim_start_matches('+');
                Dependency { name: name.to_owned(), is_dev, is_ours: name == text }
            })
            .collect();
        tree
    }

    #[test]
    fn allowed_arrows_pass() {
        for (package, dependencies) in [
            ("trainer", &["dis-model", "diffusion", "dev parity", "+toml"][..]),
            ("dis", &["trainer", "philox", "torch-file", "+anyhow"]),
            ("benches", &["ssm-kernels", "dev parity", "+anyhow", "dev +criterion"]),
            ("dis-model", &["ssm-kernels", "dev parity", "dev +candle-core"]),
            ("ssm-kernels", &["dev diffusion", "dev philox", "dev parity"]),
        ] {
            assert_findings(&check(&tree(package, dependencies)), &[]);
        }
    }

    #[test]
    fn each_forbidden_arrow_is_named() {
        for (package, dependency, start) in [
            ("ssm-kernels", "philox", "`ssm-kernels` must not depend on `philox`"),
            ("ssm-kernels", "dev data", "`ssm-kernels` must not depend on `data`"),
            ("diffusion", "dis-model", "`diffusion` must not depend on `dis-model`"),
            ("diffusion", "dev dis-model", "`diffusion` must not depend on `dis-model`"),
            ("data", "vae", "`data` must not depend on `vae`"),
            ("trainer", "eval", "`trainer` must not depend on `eval`"),
            ("trainer", "parity", "`trainer` must have `parity` under [dev-dependencies] only"),
            ("benches", "dis", "`benches` must not depend on `dis`"),
            ("trainer", "dis", "`trainer` must not depend on `dis`"),
            ("dis", "xtask", "`dis` must not depend on `xtask`"),
            ("xtask", "dev parity", "`xtask` must not depend on `parity`"),
            ("data", "+anyhow", "`data` must not depend on `anyhow`: libraries"),
            ("dis-model", "+candle-core", "`dis-model` must not depend on `candle-core`"),
            ("dis", "+candle-core", "`dis` must not depend on `candle-core`"),
            ("torch-file", "npz", "`torch-file` must not depend on `npz`"),
        ] {
            let expected = format!("crates/{package}/Cargo.toml: {start}");
            assert_findings(&check(&tree(package, &[dependency])), &[&expected]);
        }
    }

    #[test]
    fn a_package_outside_the_table_is_an_error() {
        assert_findings(
            &check(&tree("utils", &[])),
            &["crates/utils/Cargo.toml: `utils` is not in the arrow table"],
        );
    }
}
