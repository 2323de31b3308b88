//! Learned-range and fixed log variances against guided-diffusion.

mod common;

use common::{Worst, golden_json, index, number, table};
use diffusion::{ObjectiveKind, VarianceKind};

#[test]
fn every_row() {
    let golden = golden_json("golden_learned_range.json");
    let rows = golden["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), 98);
    let mut worst = Worst::of("variances");
    for row in rows {
        let table = table(row["respacing"].as_str().expect("respacing"));
        let entry = &table[index(&row["t"])];
        let (kind, v) = match row.get("kind").and_then(|kind| kind.as_str()) {
            None => (VarianceKind::LearnedRange, number(&row["v"])),
            Some("FIXED_SMALL") => (VarianceKind::FixedSmall, f64::NAN),
            Some("FIXED_LARGE") => (VarianceKind::FixedLarge, f64::NAN),
            Some(other) => panic!("no variance {other}"),
        };
        let what = row.to_string();
        let got = [kind.log_variance(entry, v), kind.variance(entry, v)];
        let want = [number(&row["log_variance"]), number(&row["variance"])];
        worst.compare(&what, &got, &want, 1e-12, 0.0);
    }
}

/// Fixed small at the first entry: no variance, yet a finite log.
#[test]
fn neither_is_derived_from_the_other() {
    let table = table("full");
    assert_eq!(VarianceKind::FixedSmall.variance(&table[0], 0.0), 0.0);
    assert!(VarianceKind::FixedSmall.log_variance(&table[0], 0.0) > -10.0);
}

#[test]
fn variance_of_an_objective_and_names() {
    assert_eq!(VarianceKind::for_objective(ObjectiveKind::EpsHybrid), VarianceKind::LearnedRange);
    assert_eq!(VarianceKind::for_objective(ObjectiveKind::V), VarianceKind::FixedSmall);
    let kind: VarianceKind = serde_json::from_str("\"fixed_large\"").unwrap();
    assert_eq!(kind, VarianceKind::FixedLarge);
}
