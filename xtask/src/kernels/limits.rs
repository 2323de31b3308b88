//! `kernels/limits.toml`: ceilings of each entry, and the counts that must not grow unnoticed.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};
use toml::{Table, Value};

use super::ptxas::Usage;

/// Counts may grow by this before a check fails.
const TOLERANCE: f64 = 0.02;

/// Registers are given to a warp in portions of eight a thread.
const PORTION: u64 = 8;

/// The command that writes the counts.
pub(super) const UPDATE: &str = "cargo xtask kernels check --update";

const ACCEPT: &str = "if that is meant, run `cargo xtask kernels check --update`";

const HEADER: &str = "\
# What each kernel entry may take on each architecture; `cargo xtask kernels check` compares.
#
# Written by hand:
#   registers          ceiling of registers a thread
#   elements_per_loop  for a loop, by its number: how many (token, channel) elements one warp finishes
#                      in one trip. The instructions of such loops, each without the loops inside it
#                      and divided by its elements, add up to instructions per element
#   max_per_element    ceiling of that sum
#   why                a remark
# Written by `cargo xtask kernels check --update`:
#   nvcc               the release that was counted
#   instructions       of the whole entry
#   loops              of each loop without the loops inside it, in the order of their addresses
#   registers          of a new entry only
# `cargo xtask kernels sass ENTRY` shows the loops.
";

/// The whole file: by entry, then by architecture.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Limits {
    pub(super) nvcc: String,
    pub(super) entries: BTreeMap<String, BTreeMap<String, Limit>>,
}

/// What one entry may take on one architecture.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Limit {
    registers: u64,
    instructions: usize,
    loops: Vec<usize>,
    elements_per_loop: BTreeMap<usize, f64>,
    max_per_element: Option<f64>,
    why: Option<String>,
}

/// What one entry takes on one architecture.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Measured {
    pub(super) usage: Usage,
    pub(super) instructions: usize,
    /// Of each loop without the loops inside it.
    pub(super) loops: Vec<usize>,
}

/// What a comparison says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Verdict {
    pub(super) failures: Vec<String>,
    /// The file may be made tighter.
    pub(super) shrank: bool,
}

/// Reads the file; one that is not there is empty.
pub(super) fn read(path: &Path) -> Result<Limits> {
    if !path.exists() {
        return Ok(Limits::default());
    }
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Limits::parse(&text).with_context(|| path.display().to_string())
}

impl Limits {
    fn parse(text: &str) -> Result<Self> {
        let mut limits = Self::default();
        for (key, value) in &text.parse::<Table>()? {
            match value {
                Value::String(version) if key == "nvcc" => limits.nvcc.clone_from(version),
                Value::Table(architectures) => {
                    let limit = |(arch, value): (&String, &Value)| {
                        let limit = Limit::parse(value).with_context(|| format!("[{key}.{arch}]"));
                        Ok((arch.clone(), limit?))
                    };
                    let of_entry = architectures.iter().map(limit).collect::<Result<_>>()?;
                    limits.entries.insert(key.clone(), of_entry);
                }
                _ => bail!("`{key}` is neither `nvcc` nor a table [ENTRY.ARCHITECTURE]"),
            }
        }
        Ok(limits)
    }

    pub(super) fn get(&self, entry: &str, architecture: &str) -> Option<&Limit> {
        self.entries.get(entry)?.get(architecture)
    }

    /// The file's text.
    pub(super) fn render(&self) -> String {
        let mut text = format!("{HEADER}\nnvcc = {:?}\n", self.nvcc);
        for (entry, architectures) in &self.entries {
            for (architecture, limit) in architectures {
                // Writing to a string cannot fail.
                let _ = write!(text, "\n[{entry}.{architecture}]\n{}", limit.render());
            }
        }
        text
    }
}

impl Limit {
    /// The first limit of an entry: what it takes now.
    pub(super) fn first(measured: &Measured) -> Self {
        let registers = measured.usage.registers.next_multiple_of(PORTION);
        Self { registers, ..Self::default() }.with_counts_of(measured)
    }

    /// With the counts of now; what is written by hand stays.
    pub(super) fn with_counts_of(mut self, measured: &Measured) -> Self {
        self.instructions = measured.instructions;
        self.loops.clone_from(&measured.loops);
        self
    }

    /// Compares. Counts of another release of nvcc say nothing, so they may be left out.
    pub(super) fn compare(&self, measured: &Measured, with_counts: bool) -> Verdict {
        let mut verdict = Verdict::default();
        let registers = measured.usage.registers;
        if registers > self.registers {
            let ceiling = self.registers;
            verdict.failures.push(format!("{registers} registers, the ceiling is {ceiling}"));
        }
        if with_counts {
            self.compare_counts(measured, &mut verdict);
        }
        match (self.per_element(&measured.loops), self.max_per_element) {
            (Err(number), _) => verdict.failures.push(format!(
                "elements_per_loop names loop {number}, there are {}",
                measured.loops.len()
            )),
            (Ok(Some(per_element)), Some(max)) if per_element > max => verdict.failures.push(
                format!("{per_element:.2} instructions per element, the ceiling is {max:.2}"),
            ),
            (Ok(None), Some(_)) => {
                verdict.failures.push("max_per_element needs elements_per_loop".to_owned());
            }
            _ => {}
        }
        verdict
    }

    fn compare_counts(&self, measured: &Measured, verdict: &mut Verdict) {
        let mut compare = |what: &str, now: usize, seen: usize| {
            if now as f64 > seen as f64 * (1.0 + TOLERANCE) {
                let grown = format!("{now} instructions {what}, it had {seen}; {ACCEPT}");
                verdict.failures.push(grown);
            }
            verdict.shrank |= now < seen;
        };
        compare("in all", measured.instructions, self.instructions);
        if measured.loops.len() == self.loops.len() {
            for (index, (&now, &seen)) in measured.loops.iter().zip(&self.loops).enumerate() {
                compare(&format!("in loop {}", index + 1), now, seen);
            }
        } else {
            let (now, seen) = (measured.loops.len(), self.loops.len());
            verdict.failures.push(format!("{now} loops, it had {seen}; {ACCEPT}"));
        }
    }

    /// Warp instructions per element; `None` when nothing is declared, the number of a loop that
    /// is not there as the error.
    pub(super) fn per_element(&self, loops: &[usize]) -> Result<Option<f64>, usize> {
        let mut sum = None;
        for (&number, elements) in &self.elements_per_loop {
            let own = number.checked_sub(1).and_then(|index| loops.get(index)).ok_or(number)?;
            sum = Some(sum.unwrap_or(0.0) + *own as f64 / elements);
        }
        Ok(sum)
    }

    pub(super) fn ceiling(&self) -> u64 {
        self.registers
    }

    fn parse(value: &Value) -> Result<Self> {
        let mut limit = Self::default();
        for (key, value) in value.as_table().context("not a table")? {
            let read = limit.read(key, value);
            read.with_context(|| format!("`{key} = {value}` is not understood"))?;
        }
        Ok(limit)
    }

    /// Takes one key; `None` when there is no such key or its value has another type.
    fn read(&mut self, key: &str, value: &Value) -> Option<()> {
        match key {
            "registers" => self.registers = natural(value)? as u64,
            "instructions" => self.instructions = natural(value)?,
            "loops" => self.loops = value.as_array()?.iter().map(natural).collect::<Option<_>>()?,
            "elements_per_loop" => {
                let table = value.as_table()?.iter();
                let pair = |(number, elements): (&String, &Value)| {
                    Some((number.parse().ok()?, positive(elements)?))
                };
                self.elements_per_loop = table.map(pair).collect::<Option<_>>()?;
            }
            "max_per_element" => self.max_per_element = Some(positive(value)?),
            "why" => self.why = Some(value.as_str()?.to_owned()),
            _ => return None,
        }
        Some(())
    }

    fn render(&self) -> String {
        let mut lines = vec![format!("registers = {}", self.registers)];
        if !self.elements_per_loop.is_empty() {
            let pair = |(number, elements): (&usize, &f64)| format!("{number} = {elements}");
            let pairs: Vec<String> = self.elements_per_loop.iter().map(pair).collect();
            lines.push(format!("elements_per_loop = {{ {} }}", pairs.join(", ")));
        }
        lines.extend(self.max_per_element.map(|max| format!("max_per_element = {max}")));
        let why = self.why.as_ref().map(|why| format!("why = {}", Value::String(why.clone())));
        lines.extend(why);
        lines.push(format!("instructions = {}", self.instructions));
        lines.push(format!("loops = {:?}", self.loops));
        lines.join("\n") + "\n"
    }
}

fn natural(value: &Value) -> Option<usize> {
    value.as_integer()?.try_into().ok()
}

fn positive(value: &Value) -> Option<f64> {
    let number = value.as_float().or_else(|| Some(value.as_integer()? as f64))?;
    (number > 0.0).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(registers: u64, instructions: usize, loops: &[usize]) -> Measured {
        let usage = Usage { registers, ..Usage::default() };
        Measured { usage, instructions, loops: loops.to_vec() }
    }

    const FILE: &str = "\
nvcc = \"13.0.88\"
[scan_f32.sm_90]
registers = 72
elements_per_loop = { 1 = 1024, 2 = 32 }
max_per_element = 6
why = \"the \\\"main\\\" loop\"
instructions = 1000
loops = [200, 160]
";

    fn limit() -> Limit {
        Limits::parse(FILE).unwrap().entries["scan_f32"]["sm_90"].clone()
    }

    #[test]
    fn a_file_survives_being_written() {
        let limits = Limits::parse(FILE).unwrap();
        assert_eq!(Limits::parse(&limits.render()).unwrap(), limits);
        assert!(limits.render().starts_with(HEADER));
        for (text, expected) in [
            ("x = 1", "`x` is neither"),
            ("[a.sm_90]\nregister = 3", "[a.sm_90]: `register = 3` is not understood"),
            ("[a.sm_90]\nregisters = -3", "`registers = -3` is not understood"),
            ("[a.sm_90]\nelements_per_loop = { x = 3 }", "is not understood"),
        ] {
            let error = format!("{:#}", Limits::parse(text).unwrap_err());
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn growth_fails_and_shrinkage_is_noticed() {
        let compare = |registers, instructions, loops: &[usize]| {
            limit().compare(&measured(registers, instructions, loops), true)
        };
        assert_eq!(compare(72, 1020, &[204, 160]), Verdict::default());
        assert!(compare(40, 990, &[200, 160]).shrank);
        for (verdict, expected) in [
            (compare(73, 1000, &[200, 160]), "73 registers, the ceiling is 72"),
            (compare(72, 1021, &[200, 160]), "1021 instructions in all, it had 1000"),
            (compare(72, 1000, &[200, 164]), "164 instructions in loop 2, it had 160"),
            (compare(72, 1000, &[200, 160, 3]), "3 loops, it had 2"),
        ] {
            assert_eq!(verdict.failures.len(), 1, "{:?}", verdict.failures);
            assert!(verdict.failures[0].starts_with(expected), "{:?}", verdict.failures);
        }
        let other_release = limit().compare(&measured(72, 5000, &[200, 160]), false);
        assert_eq!(other_release, Verdict::default());
    }

    #[test]
    fn instructions_per_element_add_up_over_loops() {
        let per_element = limit().per_element(&[200, 160]).unwrap().unwrap();
        assert!((per_element - (200.0 / 1024.0 + 5.0)).abs() < 1e-12);
        assert_eq!(limit().per_element(&[200]), Err(2));
        assert_eq!(Limit::default().per_element(&[200]), Ok(None));

        let tight = Limit { max_per_element: Some(5.0), ..limit() };
        let failures = tight.compare(&measured(72, 1000, &[200, 160]), true).failures;
        assert_eq!(failures, ["5.20 instructions per element, the ceiling is 5.00"]);
        let fewer = limit().compare(&measured(72, 1000, &[200]), false).failures;
        assert_eq!(fewer, ["elements_per_loop names loop 2, there are 1"]);
    }

    #[test]
    fn an_update_keeps_what_is_written_by_hand() {
        let now = measured(90, 700, &[1]);
        let updated = limit().with_counts_of(&now);
        assert_eq!(updated, Limit { instructions: 700, loops: vec![1], ..limit() });
        assert_eq!(Limit::first(&now).registers, 96);
    }
}
