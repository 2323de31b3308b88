//! What an evaluation found, as JSON and for people.

use crate::EvalError;
use crate::collect::Measured;
use crate::compare::{Score, Scores};
use crate::fingerprint::{Difference, FeatureSpec, Fingerprint};
use serde_json::{Map, Value as Json, json};
use std::fmt::Write as _;

/// Version of the JSON.
const FORMAT: u32 = 1;

/// What an evaluation found, with everything it takes to know what the numbers mean.
#[derive(Clone, Debug)]
pub struct Report {
    /// Of the reference, and of the samples.
    pub sides: [Fingerprint; 2],
    /// Number of images of each, where it is known.
    pub counts: [Option<u64>; 2],
    /// The numbers.
    pub scores: Vec<Score>,
    /// What a reader should know.
    pub warnings: Vec<String>,
    /// Options by name.
    pub options: Map<String, Json>,
    /// The command that made it.
    pub command: Vec<String>,
    /// Name and version of the program.
    pub program: String,
    /// How long it took.
    pub seconds: f64,
}

/// Refuses to compare features that were made differently; with `force` the differences become
/// warnings. Features of unknown making are compared, with a warning.
///
/// # Errors
/// [`EvalError::Mismatch`] with every field that differs.
pub fn check_fingerprints(
    reference: &Fingerprint,
    samples: &Fingerprint,
    force: bool,
) -> Result<Vec<String>, EvalError> {
    match (&reference.features, &samples.features) {
        (Some(a), Some(b)) => {
            let differences = a.differences(b);
            if differences.is_empty() {
                return Ok(Vec::new());
            }
            if !force {
                return Err(EvalError::Mismatch { differences });
            }
            let forced = |d: Difference| format!("compared by force although they differ: {d}");
            Ok(differences.into_iter().map(forced).collect())
        }
        (None, Some(known)) => {
            Ok(vec![unknown("reference", &reference.origin.source, Some(known))])
        }
        (Some(known), None) => Ok(vec![unknown("samples", &samples.origin.source, Some(known))]),
        (None, None) => Ok(vec![
            unknown("reference", &reference.origin.source, None),
            unknown("samples", &samples.origin.source, None),
        ]),
    }
}

fn unknown(side: &str, source: &str, other: Option<&FeatureSpec>) -> String {
    let compared = other.map_or_else(String::new, |other| {
        format!("; they are taken to be those of the other side, protocol {}", other.protocol)
    });
    format!(
        "{side} of unknown protocol: {source} does not say how its features were made{compared}"
    )
}

impl Report {
    /// A report of what was found of two sets.
    pub fn new(reference: &Measured, samples: &Measured, found: Scores) -> Self {
        Self {
            sides: [reference, samples].map(|side| side.fingerprint.clone()),
            counts: [reference, samples].map(Measured::count),
            scores: found.scores,
            warnings: found.warnings,
            options: Map::new(),
            command: Vec::new(),
            program: String::new(),
            seconds: 0.0,
        }
    }

    /// How the features were made, if one side knows.
    fn features(&self) -> Option<&FeatureSpec> {
        self.sides.iter().rev().find_map(|side| side.features.as_ref())
    }

    /// Everything, in one object.
    pub fn to_json(&self) -> Json {
        let side = |side: usize| {
            json!({
                "count": self.counts[side],
                "features": self.sides[side].features,
                "origin": self.sides[side].origin,
            })
        };
        let metrics: Map<String, Json> = self
            .scores
            .iter()
            .map(|score| {
                let mut entry = Map::from_iter([("value".to_string(), json!(score.value))]);
                entry.extend(score.details.clone());
                (score.key.to_string(), Json::Object(entry))
            })
            .collect();
        json!({
            "format": FORMAT,
            "metrics": metrics,
            "warnings": self.warnings,
            "reference": side(0),
            "samples": side(1),
            "options": self.options,
            "command": self.command,
            "program": self.program,
            "seconds": self.seconds,
        })
    }

    /// A page for people: the numbers, and above them what they are numbers of.
    pub fn table(&self) -> String {
        let mut page = String::new();
        for (name, side) in ["reference", "samples"].into_iter().zip(0..) {
            // Writing to a string does not fail.
            let _ = writeln!(page, "{name:<11}{}", self.describe(side));
        }
        let _ = match self.features() {
            None => writeln!(page, "features   of unknown making"),
            Some(spec) => {
                let _ = writeln!(page, "features   {}", spec.network);
                let _ = writeln!(
                    page,
                    "protocol   {}: {}; {}",
                    spec.protocol, spec.resize, spec.value_map
                );
                let layers = [Some(&spec.pool), spec.spatial.as_ref(), spec.logits.as_ref()];
                let layers = layers.into_iter().flatten();
                let layers: Vec<String> =
                    layers.map(|layer| format!("{} [{}]", layer.name, layer.dim)).collect();
                writeln!(page, "layers     {}", layers.join(", "))
            }
        };
        page.push('\n');
        for score in &self.scores {
            let _ =
                writeln!(page, "{:<20}{:>14}  {}", score.label, number(score.value), note(score));
        }
        if let Some(caution) = self.features().and_then(|spec| spec.network.caution()) {
            let _ = writeln!(page, "\nnote: {caution}");
        }
        for warning in &self.warnings {
            let _ = writeln!(page, "\nwarning: {warning}");
        }
        page
    }

    fn describe(&self, side: usize) -> String {
        let origin = &self.sides[side].origin;
        let count = self.counts[side].map_or_else(|| "unknown number of".into(), thousands);
        let size = origin.size.map_or_else(String::new, |[h, w]| format!(" {h}x{w}"));
        let stored = match origin.stored_as.as_str() {
            "" => String::new(),
            stored => format!(", {stored}"),
        };
        format!("{}: {count} images{size}{stored}", origin.source)
    }
}

/// Seven digits that count.
fn number(value: f64) -> String {
    let whole_digits = if value.abs() < 1.0 { 1 } else { value.abs().log10() as usize + 1 };
    format!("{value:.*}", 7_usize.saturating_sub(whole_digits).max(1))
}

/// What stands beside a number.
fn note(score: &Score) -> String {
    let details = &score.details;
    let number_of = |key: &str| details.get(key).and_then(Json::as_f64);
    let mut notes = Vec::new();
    if let Some([low, high]) = details.get("interval").and_then(Json::as_array).map(Vec::as_slice)
        && let (Some(low), Some(high)) = (low.as_f64(), high.as_f64())
    {
        let level = 100.0 * number_of("level").unwrap_or_default();
        notes.push(format!("{level:.0} % between {} and {}", number(low), number(high)));
    }
    for (key, what) in
        [("deviation_over_chunks", "over chunks"), ("deviation_over_subsets", "over subsets")]
    {
        if let Some(deviation) = number_of(key) {
            notes.push(format!("± {} {what}", number(deviation)));
        }
    }
    if let Some(k) = number_of("k") {
        notes.push(format!("k = {k}"));
    }
    notes.join(", ")
}

/// 50,000.
fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let groups = digits.as_bytes().rchunks(3).rev();
    let groups: Vec<&str> = groups.filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join(",")
}
