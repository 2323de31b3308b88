//! Reading experiments: what is refused, and what the refusal says.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod eval;
mod keys;
mod latents;
mod ranges;
mod sets;

use std::fs;
use trainer::{ConfigError, Experiment};

/// A valid experiment whose line numbers the tests know.
fn quickstart() -> String {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs/quickstart.toml"))
        .unwrap()
}

fn line_of(text: &str, start: &str) -> usize {
    1 + text.lines().position(|line| line.starts_with(start)).unwrap()
}

/// The quickstart with one text replaced by another.
fn edited(from: &str, to: &str) -> String {
    let text = quickstart();
    assert_eq!(text.matches(from).count(), 1, "{from:?} must be unique in the quickstart");
    text.replace(from, to)
}

fn parse(text: &str, sets: &[&str]) -> Result<Experiment, ConfigError> {
    let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
    Experiment::parse(text, "x.toml", &sets)
}

fn set(sets: &[&str]) -> Experiment {
    parse(&quickstart(), sets).unwrap_or_else(|error| panic!("{sets:?}: {error}"))
}

#[track_caller]
fn assert_message(result: Result<Experiment, ConfigError>, expected: &str) {
    assert_eq!(result.unwrap_err().to_string(), expected);
}

#[track_caller]
fn assert_set_fails(sets: &[&str], expected: &str) {
    assert_message(parse(&quickstart(), sets), expected);
}
