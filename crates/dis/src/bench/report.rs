//! What was measured, for people and for programs.

use super::measure::Measured;
use crate::doctor::processor;
use crate::info::plan::{self, Pass};
use crate::info::target::Target;
use crate::info::{describe, units::bytes};
use serde_json::{Value, json};
use ssm_kernels::InstructionSet;
use ssm_kernels::timed::Part;
use std::fmt::Write;

/// One line of the table of parts.
struct Row {
    name: &'static str,
    seconds: f64,
    /// FLOP per second, where they are counted.
    rate: Option<f64>,
}

/// The parts, then what is left of the total.
fn rows(m: &Measured) -> Vec<Row> {
    let parts = m.parts.iter().map(|&(part, seconds)| {
        let rate = (part == Part::Products && seconds > 0.0).then(|| m.flops / seconds);
        Row { name: part.name(), seconds, rate }
    });
    let mut rows: Vec<Row> = parts.collect();
    let sum: f64 = rows.iter().map(|row| row.seconds).sum();
    // Parts are of other rounds than the total, so noise can leave less than nothing.
    rows.push(Row { name: "other", seconds: (m.seconds() - sum).max(0.0), rate: None });
    rows
}

pub(super) fn extremes(rounds: &[f64]) -> (f64, f64) {
    let min = rounds.iter().copied().fold(f64::INFINITY, f64::min);
    (min, rounds.iter().copied().fold(0.0, f64::max))
}

pub(super) fn build() -> &'static str {
    if cfg!(debug_assertions) { "debug" } else { "release" }
}

/// One screen.
pub(super) fn page(
    target: &Target,
    m: &Measured,
    precision: &str,
) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    let (seconds, rounds) = (m.seconds(), m.rounds.len());
    let what = match m.pass {
        Pass::Inference => "value pass",
        Pass::Training(_) => "training step",
    };
    writeln!(out, "{}: {}", target.name, describe(&target.config))?;
    let mut row = |title: &str, text: String| writeln!(out, "{title:<13}{text}");
    row("measured", format!("{what}, {} images, {precision}, {} build", m.images, build()))?;
    let (set, threads) = (InstructionSet::current().name(), m.ceilings.threads);
    row("machine", format!("{}, {threads} threads, {set}", processor()))?;
    let c = &m.ceilings;
    row(
        "ceilings",
        format!(
            "{:.0} GFLOP/s multiply-add, {:.1} G exp/s, {:.1} GB/s copy",
            c.flops / 1e9,
            c.exps / 1e9,
            c.copy_bytes / 1e9
        ),
    )?;
    let (min, max) = extremes(&m.rounds);
    row(
        "rounds",
        format!(
            "{rounds}: median {:.2} ms, min {:.2}, max {:.2}",
            seconds * 1e3,
            min * 1e3,
            max * 1e3
        ),
    )?;
    row("speed", format!("{:.2} img/s", m.images as f64 / seconds))?;
    if let Some(faults) = m.faults {
        row("page faults", format!("{:.1} a round", faults as f64 / rounds as f64))?;
    }
    if let Some(peak) = m.peak_bytes {
        row("memory", memory(target, m.pass, peak))?;
    }
    writeln!(out, "\n{:<18}{:>10}{:>9}{:>11}{:>9}", "part", "ms", "share", "GFLOP/s", "ceiling")?;
    let total = Row { name: "total", seconds, rate: Some(m.flops / seconds) };
    let taken = rows(m).into_iter().filter(|row| row.seconds > 0.0);
    for Row { name, seconds, rate } in taken.chain([total]) {
        let share = percent(seconds / m.seconds());
        write!(out, "{name:<18}{:>10.2}{share:>9}", seconds * 1e3)?;
        if let Some(rate) = rate {
            write!(out, "{:>11.1}{:>9}", rate / 1e9, percent(rate / m.ceilings.flops))?;
        }
        out.push('\n');
    }
    Ok(out)
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// The peak, and what of it the arenas are.
fn memory(target: &Target, pass: Pass, peak: u64) -> String {
    let arenas: Vec<_> = arenas(target, pass).into_iter().filter(|(_, n)| *n > 0).collect();
    let rest = peak.saturating_sub(arenas.iter().map(|(_, n)| n).sum());
    let mut text = format!("peak {}:", bytes(peak));
    for (name, n) in arenas {
        text += &format!(" {} {name},", bytes(n));
    }
    text + &format!(" {} activations and the rest", bytes(rest))
}

/// Bytes of what is as long as the parameters.
fn arenas(target: &Target, pass: Pass) -> [(&'static str, u64); 4] {
    let weights = plan::weight_bytes(&target.config);
    let training = if pass == Pass::TRAINING { weights } else { 0 };
    [
        ("weights", weights),
        ("gradients", training),
        ("moments", 2 * training),
        ("average", training),
    ]
}

/// The same for programs.
pub(super) fn as_json(target: &Target, m: &Measured, precision: &str) -> Value {
    let seconds = m.seconds();
    let (min, max) = extremes(&m.rounds);
    let parts: Vec<Value> = rows(m)
        .iter()
        .map(|row| {
            let mut part = json!({
                "name": row.name,
                "ms": row.seconds * 1e3,
                "share": row.seconds / seconds,
            });
            if let Some(rate) = row.rate {
                part["gflops"] = json!(rate / 1e9);
                part["share_of_ceiling"] = json!(rate / m.ceilings.flops);
            }
            part
        })
        .collect();
    let mut memory = json!({ "peak": m.peak_bytes });
    for (name, n) in arenas(target, m.pass) {
        memory[name] = json!(n);
    }
    json!({
        "name": target.name,
        "config": target.config,
        "pass": if m.pass == Pass::TRAINING { "training" } else { "forward" },
        "images": m.images,
        "precision": precision,
        "build": build(),
        "processor": processor(),
        "threads": m.ceilings.threads,
        "instruction_set": InstructionSet::current().name(),
        "ceilings": {
            "multiply_add_gflops": m.ceilings.flops / 1e9,
            "exp_giga_per_second": m.ceilings.exps / 1e9,
            "copy_gbytes_per_second": m.ceilings.copy_bytes / 1e9,
        },
        "rounds": m.rounds.len(),
        "ms": { "median": seconds * 1e3, "min": min * 1e3, "max": max * 1e3 },
        "images_per_second": m.images as f64 / seconds,
        "gflops": m.flops / seconds / 1e9,
        "share_of_ceiling": m.flops / seconds / m.ceilings.flops,
        "parts": parts,
        "page_faults_per_round": m.faults.map(|n| n as f64 / m.rounds.len() as f64),
        "bytes": memory,
    })
}
