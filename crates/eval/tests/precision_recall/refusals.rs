//! What cannot be compared.

use crate::features::narrow;
use crate::options;
use eval::precision_recall::{Comparison, Options, precision_recall};
use eval::{EvalError, Rows};

fn refusal(
    reference: &[f32],
    generated: &[f32],
    columns: [usize; 2],
    options: &Options,
) -> EvalError {
    let [a, b] = [(reference, columns[0]), (generated, columns[1])]
        .map(|(values, columns)| Rows::new(values, columns).unwrap());
    precision_recall(a, b, options, &|_| ()).unwrap_err()
}

#[test]
fn sets_without_neighbours_are_refused() {
    let x = narrow("X");
    let four = &x[..4 * 24];
    let message = |a: &[f32], b: &[f32], columns: [usize; 2], k: usize, tile: usize| {
        refusal(a, b, columns, &options(k, Comparison::AtMost, tile)).to_string()
    };
    let few = "number of reference rows is 4, expected more than k = 4";
    assert_eq!(message(four, &x, [24, 24], 4, 64), few);
    let none = "number of generated rows is 0, expected more than k = 1";
    assert_eq!(message(&x, &[], [24, 24], 1, 64), none);
    let dim = "length of generated features is 12, expected 24, as in the reference";
    assert_eq!(message(&x, &x, [24, 12], 3, 64), dim);
    let k = "k of precision and recall is 0, expected 1 or more";
    assert_eq!(message(&x, &x, [24, 24], 0, 64), k);
    let tile = "tile of precision and recall is 0, expected 1 or more";
    assert_eq!(message(&x, &x, [24, 24], 3, 0), tile);
    let long = vec![0.0; (1 << 20) + 1];
    let columns = "length of features is 1048577, expected at most 1048576";
    assert_eq!(message(&long, &long, [long.len(); 2], 1, 64), columns);
}

#[test]
fn features_that_are_no_numbers_are_named() {
    let x = narrow("X");
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut broken = x.clone();
        broken[7 * 24 + 5] = value;
        let error = refusal(&x, &broken, [24, 24], &Options::ADM);
        let EvalError::NotFinite { what, row: 7, column: 5, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!(what, "generated features");
        assert!(matches!(
            refusal(&broken, &x, [24, 24], &Options::ADM),
            EvalError::NotFinite { row: 7, column: 5, .. }
        ));
    }
}
