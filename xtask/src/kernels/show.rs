//! What an author looks at: a table of the loops of an entry, and its instructions loop by loop.

use std::io::{ErrorKind, Write};

use anyhow::{Result, bail};

use super::entries::{self, Entry};
use super::nvcc::{FLAGS, Nvcc};
use super::ptxas::Usage;
use super::sources::{self, Source};
use super::{Places, loops::Loop};
use crate::nearest::nearest;

/// The operations that are counted; those that an entry does not have are not shown.
const COLUMNS: [&str; 19] = [
    "LDG", "STG", "LDGSTS", "LDS", "STS", "LDSM", "LDL", "STL", "MUFU", "FFMA", "FMUL", "FADD",
    "HMMA", "SHFL", "BAR", "WARPSYNC", "ATOM", "RED", "CALL",
];

/// `cargo xtask kernels sass`.
pub(super) fn run(places: &Places, name: &str, architecture: &str, only_table: bool) -> Result<()> {
    let nvcc = Nvcc::require(places)?;
    let mut sources = sources::find(places, &FLAGS)?;
    // The file of an entry begins as its name does, so one compilation is mostly enough.
    sources.sort_by_key(|source| std::cmp::Reverse(common_start(&source.name, name)));
    let _lock = places.lock("build")?;
    let mut names = Vec::new();
    for source in &sources {
        let found = entries::compile(places, &nvcc, source)?;
        if let Some(entry) =
            found.iter().find(|e| e.name() == name && e.architecture == architecture)
        {
            return print(&shown(source, entry, only_table));
        }
        names.extend(found.into_iter().map(|entry| entry.function.name));
    }
    names.dedup();
    let guess = nearest(name, names.iter().map(String::as_str));
    let guess = guess.map(|guess| format!("; did you mean `{guess}`?")).unwrap_or_default();
    bail!("no entry `{name}` in kernels/*.cu{guess}");
}

fn common_start(a: &str, b: &str) -> usize {
    a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count()
}

/// Everything about an entry.
fn shown(source: &Source, entry: &Entry, only_table: bool) -> String {
    let Usage { registers, shared_bytes, stack_bytes, .. } = entry.usage;
    let (name, path, architecture) = (entry.name(), &source.path, entry.architecture);
    let mut text = format!(
        "{name} of {path} on {architecture}: {registers} registers, \
         {shared_bytes} bytes static shared memory, {stack_bytes} bytes stack\n{}",
        table(entry)
    );
    if !only_table {
        text += "\n";
        text += &listing(entry);
    }
    text
}

/// Prints a long text, which may go to `head`.
fn print(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// A row for the whole entry and one for each loop.
///
/// `own` and the columns behind it leave out the loops inside; `all` counts them once.
pub(super) fn table(entry: &Entry) -> String {
    let everything: Vec<usize> = (0..entry.function.instructions.len()).collect();
    let whole = counts(entry, &everything);
    let shown: Vec<usize> = (0..COLUMNS.len()).filter(|&column| whole[column] > 0).collect();
    let mut header = format!("  {:16} {:>6} {:>6}", "loop", "all", "own");
    for &column in &shown {
        header += &format!(" {:>6}", COLUMNS[column]);
    }
    let row = |label: &str, all: usize, own: &[usize]| {
        let counts = counts(entry, own);
        let counts: String =
            shown.iter().map(|&column| format!(" {:>6}", counts[column])).collect();
        format!("  {label:16} {all:>6} {:>6}{counts}\n", own.len())
    };
    let mut text = header + "\n" + &row("whole entry", everything.len(), &everything);
    for found in &entry.loops {
        let label = format!("{}{}", "  ".repeat(found.path.len() - 1), found.number());
        text += &row(&label, found.total, &found.own);
    }
    text
}

/// How often each of [`COLUMNS`] stands among these instructions.
fn counts(entry: &Entry, instructions: &[usize]) -> [usize; COLUMNS.len()] {
    let mut counts = [0; COLUMNS.len()];
    for &index in instructions {
        let opcode = entry.function.instructions[index].opcode();
        if let Some(column) = COLUMNS.iter().position(|&column| column == opcode) {
            counts[column] += 1;
        }
    }
    counts
}

/// The instructions in order, each behind the number of its innermost loop, indented by depth.
fn listing(entry: &Entry) -> String {
    let instructions = &entry.function.instructions;
    let mut innermost: Vec<Option<&Loop>> = vec![None; instructions.len()];
    for found in &entry.loops {
        for &index in &found.own {
            innermost[index] = Some(found);
        }
    }
    let mut text = String::new();
    for (instruction, found) in instructions.iter().zip(innermost) {
        let number = found.map_or(String::new(), |found| found.number().to_string());
        let indent = "  ".repeat(found.map_or(0, |found| found.path.len()));
        text +=
            &format!("{number:>3}  {:04x}  {indent}{}\n", instruction.address, instruction.text);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{loops, sass};

    fn entry() -> Entry {
        let texts = ["MOV R0, RZ", "LDG.E R1, [R2]", "FFMA R3, R1, R1, R3", "@P0 BRA 0x20"];
        let texts = texts.iter().chain(&["STG.E [R2], R3", "@P1 BRA 0x10", "EXIT"]);
        let lines: String = texts
            .enumerate()
            .map(|(index, text)| format!("/*{:04x}*/ {text} ;\n", 16 * index))
            .collect();
        let function = sass::parse(&format!("Function : scan\n{lines}")).remove(0);
        let loops = loops::find(&function);
        Entry { architecture: "sm_90", usage: Usage::default(), function, loops }
    }

    #[test]
    fn the_table_counts_each_loop_without_the_loops_inside() {
        let expected = "  \
  loop                all    own    LDG    STG   FFMA
  whole entry           7      7      1      1      1
  1                     5      3      1      1      0
    2                   2      2      0      0      1
";
        assert_eq!(table(&entry()), expected);
    }

    #[test]
    fn the_listing_shows_the_loop_of_each_instruction() {
        let listing = listing(&entry());
        let lines: Vec<&str> = listing.lines().collect();
        assert_eq!(lines[0], "     0000  MOV R0, RZ");
        assert_eq!(lines[1], "  1  0010    LDG.E R1, [R2]");
        assert_eq!(lines[2], "  2  0020      FFMA R3, R1, R1, R3");
        assert_eq!(lines[6], "     0060  EXIT");
    }
}
