//! A few samples side by side.

use crate::images::{grid, to_bytes};
use data::{DataError, Dataset, Visit};
use image::RgbImage;

/// Samples of one row: of one class, where there are classes.
const COLUMNS: usize = 8;
/// Rows; of more classes some are shown, evenly spaced.
const ROWS: usize = 16;

/// The picture, or none where no sample can be shown.
///
/// # Errors
/// When a sample that was whole a moment ago cannot be read.
pub(super) fn picture(
    dataset: &dyn Dataset,
    labels: &[Option<u32>],
) -> Result<Option<RgbImage>, DataError> {
    let shape = dataset.shape();
    let rows = rows(dataset.num_classes(), labels);
    if rows.is_empty() || shape.height != shape.width {
        return Ok(None);
    }
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let image_len = shape.height * shape.width * 3;
    let mut bytes = Vec::with_capacity(rows.len() * columns * image_len);
    let mut image = vec![0.0; shape.len()];
    for row in &rows {
        for &index in row {
            dataset.load(index, Visit { seed: 0, position: index }, &mut image)?;
            bytes.extend(to_bytes(&image, shape.channels, shape.height));
        }
        // A class with fewer samples leaves white.
        bytes.resize(bytes.len() + (columns - row.len()) * image_len, u8::MAX);
    }
    Ok(Some(grid(&bytes, shape.height, columns)))
}

/// Indices of what is shown, evenly spaced in the order of the data set.
fn rows(num_classes: usize, labels: &[Option<u32>]) -> Vec<Vec<u64>> {
    let whole = |wanted: Option<u32>| {
        let has = move |label: &Option<u32>| label.is_some_and(|l| wanted.is_none_or(|w| w == l));
        let indices = (0..).zip(labels).filter(move |(_, label)| has(label));
        indices.map(|(index, _)| index).collect::<Vec<u64>>()
    };
    if num_classes == 0 {
        let shown = spaced(&whole(None), COLUMNS * COLUMNS);
        return shown.chunks(COLUMNS).map(<[u64]>::to_vec).collect();
    }
    let classes: Vec<u32> = (0..num_classes as u32).collect();
    let rows = spaced(&classes, ROWS).into_iter().map(|class| spaced(&whole(Some(class)), COLUMNS));
    rows.filter(|row| !row.is_empty()).collect()
}

/// At most `count` of the elements, the first among them.
fn spaced<T: Copy>(all: &[T], count: usize) -> Vec<T> {
    let count = count.min(all.len());
    (0..count).map(|i| all[i * all.len() / count]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_spaced_over_classes_and_samples_and_leave_out_what_is_broken() {
        // Class 1 is samples 1, 3, 5 ..; sample 3 is broken.
        let mut labels: Vec<Option<u32>> = (0..40).map(|i| Some(i % 2)).collect();
        labels[3] = None;
        let rows = rows(2, &labels);
        assert_eq!(rows[0], [0, 4, 10, 14, 20, 24, 30, 34]);
        assert_eq!(rows[1], [1, 7, 11, 17, 21, 25, 31, 35]);
        let many: Vec<Option<u32>> = (0..100).map(Some).collect();
        let first: Vec<u64> = super::rows(100, &many).iter().map(|row| row[0]).collect();
        assert_eq!((first.len(), first[0], first[1], first[15]), (ROWS, 0, 6, 93));
        let none = super::rows(0, &labels[..5]);
        assert_eq!(none, [vec![0, 1, 2, 4]]);
        assert!(super::rows(3, &[None, None]).is_empty());
    }
}
