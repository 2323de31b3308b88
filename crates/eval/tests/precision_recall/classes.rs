//! Metrics of each class.

use crate::compare;
use crate::features::narrow;
use eval::Rows;
use eval::precision_recall::{Options, per_class};

/// The rows with one of the labels.
fn of_class(rows: &[f32], labels: &[u32], class: u32) -> Vec<f32> {
    let chosen = rows.chunks_exact(24).zip(labels).filter(|&(_, &label)| label == class);
    chosen.flat_map(|(row, _)| row.to_vec()).collect()
}

#[test]
fn classes_have_the_metrics_of_their_rows() {
    let [x, y] = ["X", "Y"].map(narrow);
    let rows = |values| Rows::new(values, 24).unwrap();
    // Class 7 has three reference images, class 9 none, class 4 one generated image.
    let mut of_x: Vec<u32> = (0..300).map(|i| [0, 1, 3][i % 3]).collect();
    let mut of_y: Vec<u32> = (0..260).map(|i| [3, 9, 1, 0, 7][i % 5]).collect();
    of_x[10..13].fill(7);
    of_x[20..40].fill(4);
    of_y[5] = 4;
    let scores = per_class(rows(&x), &of_x, rows(&y), &of_y, &Options::ADM).unwrap();
    let labels: Vec<u32> = scores.iter().map(|class| class.label).collect();
    assert_eq!(labels, [0, 1, 3, 4, 7, 9]);
    for class in &scores {
        let [a, b] = [(&x, &of_x), (&y, &of_y)].map(|(rows, of)| of_class(rows, of, class.label));
        assert_eq!([class.reference, class.generated], [a.len() / 24, b.len() / 24]);
        match class.scores {
            Some(scores) => assert_eq!(scores, compare(&a, &b, 24, &Options::ADM)),
            None => assert!(class.reference.min(class.generated) <= 3),
        }
        assert_eq!(class.scores.is_some(), class.label < 4);
    }
}

#[test]
fn each_row_needs_a_label() {
    let x = narrow("X");
    let rows = Rows::new(&x, 24).unwrap();
    let labels = vec![0; 300];
    let error = per_class(rows, &labels[..299], rows, &labels, &Options::ADM).unwrap_err();
    assert_eq!(error.to_string(), "number of reference labels is 299, expected 300, one a row");
    let error = per_class(rows, &labels, rows, &labels[..1], &Options::ADM).unwrap_err();
    assert_eq!(error.to_string(), "number of generated labels is 1, expected 300, one a row");
}
