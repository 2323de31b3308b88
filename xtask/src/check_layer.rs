//! `cargo xtask check-layer NAME`: the tests of one op or one layer, and no others.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use xshell::Shell;

use crate::nearest::nearest;
use crate::process::{TestCounts, cargo_test, format_duration};
use crate::workspace::Workspace;

/// A package whose modules are tested one by one.
struct Group {
    package: &'static str,
    holds: &'static str,
}

const GROUPS: [Group; 2] = [
    Group { package: "ssm-kernels", holds: "ops" },
    Group { package: "dis-model", holds: "layers" },
];

/// One `cargo test`.
#[derive(Debug, PartialEq)]
struct Run {
    arguments: Vec<String>,
    filters: Vec<String>,
}

/// An integration test target: its name and its source.
struct TestTarget {
    name: String,
    text: String,
}

pub(crate) fn run(shell: &Shell, name: Option<&str>) -> Result<()> {
    let root = Workspace::load(shell)?.root;
    let folder = |group: &Group| root.join("crates").join(group.package);
    let modules = |group: &Group| discover_modules(&folder(group).join("src"));
    let Some(name) = name else {
        print!("{}", describe(&list_modules(modules)?));
        return Ok(());
    };
    let mut runs = Vec::new();
    for group in &GROUPS {
        if modules(group)?.contains(name) {
            let targets = discover_tests(&folder(group).join("tests"))?;
            runs.extend(plan(group.package, name, &targets));
        }
    }
    if runs.is_empty() {
        bail!("{}", unknown(name, &list_modules(modules)?));
    }
    run_all(shell, name, &runs)
}

type Listing = Vec<(&'static Group, BTreeSet<String>)>;

fn list_modules(modules: impl Fn(&Group) -> Result<BTreeSet<String>>) -> Result<Listing> {
    GROUPS.iter().map(|group| Ok((group, modules(group)?))).collect()
}

fn describe(listing: &Listing) -> String {
    let line = |(group, names): &(&Group, BTreeSet<String>)| {
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        format!("{} ({}): {}\n", group.holds, group.package, names.join(" "))
    };
    listing.iter().map(line).collect()
}

fn unknown(name: &str, listing: &Listing) -> String {
    let known = listing.iter().flat_map(|(_, names)| names).map(String::as_str);
    let help = nearest(name, known).map(|near| format!("; did you mean `{near}`?"));
    format!("no op or layer is called `{name}`{}\n{}", help.unwrap_or_default(), describe(listing))
}

/// Runs everything even after a failure: whoever changes a layer wants to see all that broke.
fn run_all(shell: &Shell, name: &str, runs: &[Run]) -> Result<()> {
    let start = Instant::now();
    let mut counts = TestCounts::default();
    let mut success = true;
    for run in runs {
        let result = cargo_test(shell, &run.arguments, &run.filters)?;
        counts += result.counts;
        success &= result.success;
    }
    println!("\n{name}: {counts} in {}", format_duration(start.elapsed()));
    ensure!(success, "`{name}` is not right yet");
    ensure!(counts.passed > 0, "no test covers `{name}`");
    Ok(())
}

/// The modules of a crate: `name.rs` or `name/mod.rs`, without the crate root.
fn discover_modules(src: &Path) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in src.read_dir().with_context(|| format!("folder {}", src.display()))? {
        let path = entry?.path();
        let is_module = path.extension().is_some_and(|extension| extension == "rs")
            || path.join("mod.rs").is_file();
        if is_module && let Some(stem) = path.file_stem() {
            names.insert(stem.to_string_lossy().into_owned());
        }
    }
    names.remove("lib");
    Ok(names)
}

/// The integration tests of a crate: `name.rs` or `name/main.rs` with its modules.
fn discover_tests(tests: &Path) -> Result<Vec<TestTarget>> {
    let mut targets = Vec::new();
    if !tests.is_dir() {
        return Ok(targets);
    }
    for entry in tests.read_dir()? {
        let path = entry?.path();
        let files = if path.join("main.rs").is_file() {
            path.read_dir()?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?
        } else {
            vec![path.clone()]
        };
        let sources =
            files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "rs"));
        let texts: Vec<String> = sources.map(std::fs::read_to_string).collect::<Result<_, _>>()?;
        if !texts.is_empty()
            && let Some(stem) = path.file_stem()
        {
            let name = stem.to_string_lossy().into_owned();
            targets.push(TestTarget { name, text: texts.join("\n") });
        }
    }
    targets.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(targets)
}

/// Which tests are about `name`: its unit tests, the integration tests in the file of that name,
/// and single tests of that name in other files.
fn plan(package: &str, name: &str, targets: &[TestTarget]) -> Vec<Run> {
    let run = |target: &[&str], filters| {
        let arguments = ["--package", package].into_iter().chain(target.iter().copied());
        Run { arguments: arguments.map(str::to_owned).collect(), filters }
    };
    let mut runs = vec![run(&["--lib"], vec![format!("{name}::")])];
    for target in targets {
        let filters =
            if target.name == name { Vec::new() } else { tests_about(name, &target.text) };
        if target.name == name || !filters.is_empty() {
            runs.push(run(&["--test", &target.name], filters));
        }
    }
    runs
}

/// Test functions with `name` in their own, as in `patch_embed_matches_oracle`, and modules
/// called `name`.
fn tests_about(name: &str, source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_test = false;
    for line in source.lines().map(str::trim) {
        if line == "#[test]" {
            is_test = true;
        } else if let Some(function) = line.strip_prefix("fn ") {
            let function = identifier(function);
            if is_test && format!("_{function}_").contains(&format!("_{name}_")) {
                found.push(function.to_owned());
            }
            is_test = false;
        } else if line.strip_prefix("mod ").is_some_and(|module| identifier(module) == name) {
            found.push(format!("{name}::"));
        }
    }
    found
}

fn identifier(text: &str) -> &str {
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    text.split(|character| !is_word(character)).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(name: &str, text: &str) -> TestTarget {
        TestTarget { name: name.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn the_plan_has_the_unit_tests_the_file_and_the_named_tests() {
        let layers = "#[test]\nfn ssm_block_matches_oracle() {}\n\
            #[test]\n#[should_panic]\nfn wide_ssm_block() {}\nfn ssm_block_inputs() {}\n\
            #[test]\nfn ssm_blocks_differ() {}\nmod ssm_block {}\n";
        let targets = [
            target("layers", layers),
            target("ssm_block", "#[test]\nfn gradients() {}"),
            target("golden", "#[test]\nfn final_layer() {}"),
        ];
        let shown: Vec<String> = plan("dis-model", "ssm_block", &targets)
            .iter()
            .map(|run| format!("{} -- {}", run.arguments.join(" "), run.filters.join(" ")))
            .collect();
        assert_eq!(
            shown,
            [
                "--package dis-model --lib -- ssm_block::",
                "--package dis-model --test layers -- \
                 ssm_block_matches_oracle wide_ssm_block ssm_block::",
                "--package dis-model --test ssm_block -- ",
            ]
        );
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let listing = vec![
            (&GROUPS[0], names(&["causal_conv1d", "selective_scan"])),
            (&GROUPS[1], names(&["ssm_block"])),
        ];
        assert_eq!(
            unknown("selectve_scan", &listing),
            "no op or layer is called `selectve_scan`; did you mean `selective_scan`?\n\
             ops (ssm-kernels): causal_conv1d selective_scan\nlayers (dis-model): ssm_block\n"
        );
        assert!(
            unknown("attention", &listing).starts_with("no op or layer is called `attention`\n")
        );
    }

    #[test]
    fn modules_and_tests_are_read_from_the_folders() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR"));
        let modules = discover_modules(&source.join("src")).unwrap();
        assert!(modules.contains("check_layer") && modules.contains("tidy"));
        assert!(!modules.contains("lib"));
        let tests = discover_tests(&source.join("tests")).unwrap();
        assert!(tests.iter().any(|target| target.name == "cli" && target.text.contains("fn ")));
        assert!(discover_tests(&source.join("no such folder")).unwrap().is_empty());
    }
}
