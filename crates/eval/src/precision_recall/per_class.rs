//! The metrics of each class alone.

use super::{Options, PrecisionRecall, check, precision_recall};
use crate::{EvalError, Rows};
use std::collections::BTreeMap;

/// Metrics of one class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassScores {
    /// The class.
    pub label: u32,
    /// Number of its reference images.
    pub reference: usize,
    /// Number of its generated images.
    pub generated: usize,
    /// The metrics; none where one of the sets has not more than `k` images of the class.
    pub scores: Option<PrecisionRecall>,
}

/// Compares the images of each class with the reference of that class.
///
/// Every class of either set is in the result, in ascending order.
///
/// # Errors
/// [`EvalError::Input`] when a set has another number of labels than rows; otherwise as
/// [`precision_recall`] for the whole sets.
pub fn per_class(
    reference: Rows<'_>,
    reference_labels: &[u32],
    generated: Rows<'_>,
    generated_labels: &[u32],
    options: &Options,
) -> Result<Vec<ClassScores>, EvalError> {
    check(reference, generated, options)?;
    let mut classes = BTreeMap::<u32, [Vec<usize>; 2]>::new();
    let sets =
        [("reference", reference, reference_labels), ("generated", generated, generated_labels)];
    for (set, (what, rows, labels)) in sets.into_iter().enumerate() {
        if labels.len() != rows.len() {
            let expected = format!("{}, one a row", rows.len());
            return Err(EvalError::input(
                format!("number of {what} labels"),
                labels.len(),
                expected,
            ));
        }
        for (row, &label) in labels.iter().enumerate() {
            classes.entry(label).or_default()[set].push(row);
        }
    }
    let mut features = [Vec::new(), Vec::new()];
    let scores = |(label, [of_reference, of_generated]): (u32, [Vec<usize>; 2])| {
        let mut class = ClassScores {
            label,
            reference: of_reference.len(),
            generated: of_generated.len(),
            scores: None,
        };
        if class.reference.min(class.generated) > options.k {
            let [a, b] = &mut features;
            let reference = gather(reference, &of_reference, a)?;
            let generated = gather(generated, &of_generated, b)?;
            class.scores = Some(precision_recall(reference, generated, options, &|_| ())?);
        }
        Ok(class)
    };
    classes.into_iter().map(scores).collect()
}

/// Some rows, one after the other.
fn gather<'a>(
    rows: Rows<'_>,
    chosen: &[usize],
    to: &'a mut Vec<f32>,
) -> Result<Rows<'a>, EvalError> {
    to.clear();
    chosen.iter().for_each(|&row| to.extend_from_slice(rows.row(row)));
    Rows::new(to, rows.dim())
}
