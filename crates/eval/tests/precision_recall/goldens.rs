//! Numbers of numpy.

use crate::features::{COLUMNS, checksum, first_columns, golden, narrow, wide};
use crate::{TILES, compare, options};
use eval::precision_recall::Comparison;
use serde_json::Value;

fn file() -> Value {
    let path = golden("precision_recall.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Compares with every record of a name, for every size of tiles.
fn check(name: &str, reference: &[f32], generated: &[f32], columns: usize, tiles: &[usize]) {
    let file = file();
    let records = file[name].as_array().unwrap();
    assert!(!records.is_empty());
    for record in records {
        let k = record["k"].as_u64().unwrap() as usize;
        for &tile in tiles {
            let got = compare(reference, generated, columns, &options(k, Comparison::AtMost, tile));
            let counts = got.counts;
            let counts = [
                ("precision", counts.precision, got.precision),
                ("recall", counts.recall, got.recall),
                ("density", counts.density, got.density),
                ("coverage", counts.coverage, got.coverage),
            ];
            for (metric, count, share) in counts {
                let case = format!("{name}, k {k}, tile {tile}: {metric}");
                assert_eq!(count, record[format!("{metric}_count")].as_u64().unwrap(), "{case}");
                let expected = record[metric].as_f64().unwrap();
                // One division or two.
                assert!((share - expected).abs() <= 1e-15 * expected, "{case}: {share} {expected}");
            }
        }
    }
}

#[test]
fn small_sets_have_the_counts_of_numpy() {
    let [x, y] = ["X", "Y"].map(narrow);
    check("reference_X_generated_Y", &x, &y, 24, &TILES);
    check("reference_Y_generated_X", &y, &x, 24, &TILES);
}

/// Radii of zero, and distances that equal radii.
#[test]
fn copies_of_rows_count_as_in_numpy() {
    let mut x = narrow("X");
    x.copy_within(0..4 * 24, 10 * 24);
    check("duplicates", &x, &x, 24, &TILES);
}

/// Pairs whose distance differs from a radius by 2.9e-7 of the norms, and 8.7e-8 for the wide ones:
/// f32 alone may decide them wrongly.
#[test]
fn close_calls_are_decided_as_in_numpy() {
    let [f1, f2] = [wide(11, 2600, 1.0, 0.0), wide(12, 2500, 1.1, 0.02)];
    let file = file();
    assert_eq!(checksum(&f1), file["checksums"]["F1"].as_str().unwrap());
    assert_eq!(checksum(&f2), file["checksums"]["F2"].as_str().unwrap());
    let few = |rows: &[f32]| first_columns(&rows[..2000 * COLUMNS], 8);
    let name = "reference_F1_2000_generated_F2_2000_columns_8";
    check(name, &few(&f1), &few(&f2), 8, &[7, 64, 1000, 4096]);
    let [f1, f2] = [&f1[..1000 * COLUMNS], &f2[..1200 * COLUMNS]];
    check("reference_F1_1000_generated_F2_1200", f1, f2, COLUMNS, &[64, 300, 4096]);
}
