//! What was found, as a page.

use super::survey::Survey;
use crate::info::units::thousands;
use data::Dataset;
use std::cmp::Reverse;
use std::fmt::{Display, Error, Write};

/// Rows of the tables of sizes and formats; the rest is one row.
const ROWS: usize = 10;
/// Classes up to which all are listed; of more, the fullest and the emptiest.
const CLASSES: usize = 24;
/// Broken samples that are named.
const BROKEN: usize = 20;
/// Characters of the longest bar.
const BAR: u64 = 40;

/// The page. `labels` are those of whole samples.
pub(super) fn page(
    path: &str,
    dataset: &dyn Dataset,
    survey: &Survey,
    labels: &[Option<u32>],
) -> Result<String, Error> {
    let mut out = String::new();
    let (len, classes) = (dataset.len(), dataset.num_classes());
    let classes_text = match classes {
        0 => "no classes".to_string(),
        n => format!("{} classes", thousands(n as u64)),
    };
    writeln!(out, "{path}: {}, {} samples, {classes_text}", dataset.name(), thousands(len))?;
    let sizes = survey.sizes.iter().map(|(&(width, height), &n)| (format!("{width}x{height}"), n));
    table(&mut out, "sizes", sizes.collect(), survey.whole())?;
    let formats = survey.formats.iter().map(|(&(format, colour), &n)| {
        let name = if format == "pixels" { colour.into() } else { format!("{format} {colour}") };
        (name, n)
    });
    table(&mut out, "stored as", formats.collect(), survey.whole())?;
    if classes > 0 {
        class_table(&mut out, dataset, labels)?;
    }
    broken(&mut out, survey)?;
    Ok(out)
}

/// Counts, the largest first.
fn table(
    out: &mut String,
    title: &str,
    mut rows: Vec<(String, u64)>,
    total: u64,
) -> Result<(), Error> {
    // Equal counts stay in the order of their names.
    rows.sort_by_key(|(_, count)| Reverse(*count));
    if rows.len() > ROWS {
        let rest = rows.split_off(ROWS - 1);
        let others = format!("{} others", thousands(rest.len() as u64));
        rows.push((others, rest.iter().map(|(_, count)| count).sum()));
    }
    for (i, (name, count)) in rows.iter().enumerate() {
        let title = if i == 0 { title } else { "" };
        let percent = 100.0 * *count as f64 / total.max(1) as f64;
        writeln!(out, "{title:<10} {name:<16} {:>11}  {percent:>5.1} %", thousands(*count))?;
    }
    Ok(())
}

/// Samples of every class, as bars.
fn class_table(
    out: &mut String,
    dataset: &dyn Dataset,
    labels: &[Option<u32>],
) -> Result<(), Error> {
    let mut counts = vec![0_u64; dataset.num_classes()];
    for &label in labels.iter().flatten() {
        // A label beyond the classes would be a bug of the reader, which checks them.
        counts[label as usize] += 1;
    }
    let most = counts.iter().copied().max().unwrap_or(0);
    let mut classes: Vec<(usize, u64)> = counts.into_iter().enumerate().collect();
    let listed = classes.len();
    if listed > CLASSES {
        classes.sort_by_key(|&(label, count)| (Reverse(count), label));
    }
    let half = CLASSES / 2;
    for (i, &(label, count)) in classes.iter().enumerate() {
        let title = if i == 0 { "classes" } else { "" };
        if listed > CLASSES && i == half {
            let (to, from) = (classes[i].1, classes[listed - half - 1].1);
            let between = thousands((listed - CLASSES) as u64);
            writeln!(out, "{:<10} .. {between} classes of {from} to {to} ..", "")?;
        }
        if listed > CLASSES && (half..listed - half).contains(&i) {
            continue;
        }
        let name = dataset.class_name(label as u32).unwrap_or("");
        let bar = "#".repeat((count * BAR).div_ceil(most.max(1)) as usize);
        let count = thousands(count);
        writeln!(out, "{title:<10} {label:>4} {name:<16.16} {count:>9}  {bar}")?;
    }
    Ok(())
}

fn broken(out: &mut String, survey: &Survey) -> Result<(), Error> {
    let all = survey.broken.len();
    if all == 0 {
        return writeln!(out, "{:<10} none", "broken");
    }
    writeln!(out, "{:<10} {}", "broken", thousands(all as u64))?;
    for (index, error) in survey.broken.iter().take(BROKEN) {
        writeln!(out, "  {}", broken_line(*index, error))?;
    }
    if all > BROKEN {
        writeln!(out, "  .. and {} more", thousands((all - BROKEN) as u64))?;
    }
    Ok(())
}

/// A broken sample: its number, and what is wrong, which names file and place.
pub(super) fn broken_line(index: u64, error: &impl Display) -> String {
    format!("{index:>9}  {error}")
}
