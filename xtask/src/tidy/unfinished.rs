//! Nothing unfinished is left behind: no stub, no ignored test, no note without an issue.

use super::rust_text::{split, words};
use super::{Finding, Tree, line_of};
use crate::workspace::SourceFile;

/// Files other than Rust that hold code, where every line is searched for notes.
const OTHER_CODE: [&str; 9] = ["cu", "cuh", "h", "c", "cpp", "py", "sh", "toml", "yml"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &tree.files {
        if file.extension() == "rs" {
            let text = split(&file.text);
            findings.extend(stubs(file, &text.code));
            findings.extend(notes(file, &text.comments));
        } else if OTHER_CODE.contains(&file.extension()) || file.path == ".ci/run" {
            findings.extend(notes(file, &file.text));
        }
    }
    findings
}

fn stubs(file: &SourceFile, code: &str) -> Vec<Finding> {
    let found = words(code).filter_map(|(offset, word)| {
        let before = code[..offset].trim_end();
        let is_macro = code[offset + word.len()..].starts_with('!');
        let message = match word {
            "todo" | "unimplemented" if is_macro => format!("`{word}!` is a stub"),
            "ignore" if before.ends_with("#[") => {
                "a test that cannot run here says so and returns; it is not ignored".to_owned()
            }
            _ => return None,
        };
        Some(Finding::new(&file.path, line_of(code, offset), message))
    });
    found.collect()
}

/// Notes of work to do that name no issue: `TODO(#12)` does.
fn notes(file: &SourceFile, text: &str) -> Vec<Finding> {
    let found = words(text).filter(|&(offset, word)| {
        matches!(word, "TODO" | "FIXME" | "XXX") && !names_issue(&text[offset + word.len()..])
    });
    found
        .map(|(offset, word)| {
            let message = format!("`{word}` must name its issue, as in `{word}(#12)`");
            Finding::new(&file.path, line_of(text, offset), message)
        })
        .collect()
}

fn names_issue(after: &str) -> bool {
    let number = after.strip_prefix("(#").and_then(|rest| rest.split_once(')'));
    number.is_some_and(|(digits, _)| {
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::super::assert_findings;
    use super::*;

    #[test]
    fn stubs_and_ignored_tests_are_found_in_code_only() {
        let source = "fn a() {\n    todo!()\n}\nfn b() { unimplemented!(\"later\") }\n\
            #[test]\n#[ignore = \"slow\"]\nfn c() {}\n\
            // todo!() in a comment\nlet s = \"#[ignore]\"; let todo = ignore;";
        let tree = Tree::of_files(&[("src/a.rs", source)]);
        assert_findings(
            &check(&tree),
            &[
                "src/a.rs:2: `todo!` is a stub",
                "src/a.rs:4: `unimplemented!` is a stub",
                "src/a.rs:6: a test that cannot run here",
            ],
        );
    }

    #[test]
    fn notes_must_name_an_issue() {
        let tree = Tree::of_files(&[
            ("a.rs", "// TODO(#12): fine\n// TODO: bad\n// TODO(me): bad\nlet t = \"TODO\";"),
            ("k.cu", "// FIXME bad\n// FIXME(#3) fine"),
            ("n.md", "A `TODO` needs an issue."),
            ("b.rs", "// TODOS are no note, TODO(#) is"),
        ]);
        assert_findings(
            &check(&tree),
            &["a.rs:2: `TODO` must", "a.rs:3: `TODO` must", "k.cu:1: `FIXME`", "b.rs:1: `TODO`"],
        );
    }
}
