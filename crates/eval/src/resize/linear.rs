//! Bilinear, without widening when the image shrinks.

use super::CHANNELS;

/// What is laid over what.
#[derive(Clone, Copy, Debug)]
pub(super) enum Positions {
    /// Output `o` is at `o in / out`.
    Corners,
    /// Output `o` is at `(o + 1/2) in / out - 1/2`.
    Centres,
}

/// Between which inputs the outputs of one axis are.
#[derive(Clone, Debug)]
struct Axis(Vec<Between>);

#[derive(Clone, Copy, Debug)]
struct Between {
    low: usize,
    high: usize,
    /// Share of `high`.
    part: f32,
}

impl Axis {
    fn new(positions: Positions, input: usize, output: usize) -> Self {
        let between = |o: usize| {
            let (low, part) = match positions {
                Positions::Corners => corner(input, output, o),
                Positions::Centres => centre(input, output, o),
            };
            // The last pixel goes on beyond the border.
            let low = low.min(input - 1);
            Between { low, high: (low + 1).min(input - 1), part }
        };
        Self((0..output).map(between).collect())
    }
}

/// Pixel and share of the next one. Every operation rounds to f32, because those of TensorFlow do.
fn corner(input: usize, output: usize, o: usize) -> (usize, f32) {
    let position = o as f32 * (input as f32 / output as f32);
    let low = position as usize;
    (low, position - low as f32)
}

fn centre(input: usize, output: usize, o: usize) -> (usize, f32) {
    let position = (o as f64 + 0.5) * input as f64 / output as f64 - 0.5;
    let position = position.max(0.0);
    let low = position as usize;
    (low, (position - low as f64) as f32)
}

/// The table of one size of images.
#[derive(Clone, Debug)]
pub(super) struct Linear {
    rows: Axis,
    columns: Axis,
    /// Elements of a row of the input.
    stride: usize,
}

/// A row of the input at the width of the output.
#[derive(Default)]
struct Row {
    of: Option<usize>,
    values: Vec<f32>,
}

impl Linear {
    pub(super) fn new(positions: Positions, height: usize, width: usize, side: usize) -> Self {
        let (rows, columns) =
            (Axis::new(positions, height, side), Axis::new(positions, width, side));
        Self { rows, columns, stride: width * CHANNELS }
    }

    /// Rows first get their width, then rows are mixed: the order of TensorFlow. A row of the input
    /// is widened once, however many rows of the output it is in.
    pub(super) fn image(&self, image: &[u8], out: &mut [f32]) {
        let (mut above, mut below) = (Row::default(), Row::default());
        let rows = out.chunks_exact_mut(self.columns.0.len() * CHANNELS);
        for (out, &Between { low, high, part }) in rows.zip(&self.rows.0) {
            if above.of != Some(low) {
                std::mem::swap(&mut above, &mut below);
            }
            for (row, of) in [(&mut above, low), (&mut below, high)] {
                if row.of != Some(of) {
                    row.of = Some(of);
                    self.widen(&image[of * self.stride..][..self.stride], &mut row.values);
                }
            }
            for ((out, &top), &bottom) in out.iter_mut().zip(&above.values).zip(&below.values) {
                *out = top + (bottom - top) * part;
            }
        }
    }

    fn widen(&self, row: &[u8], values: &mut Vec<f32>) {
        values.clear();
        let (pixels, _) = row.as_chunks::<CHANNELS>();
        values.extend(self.columns.0.iter().flat_map(|&Between { low, high, part }| {
            let (left, right) = (pixels[low].map(f32::from), pixels[high].map(f32::from));
            let mix = |c: usize| left[c] + (right[c] - left[c]) * part;
            [mix(0), mix(1), mix(2)]
        }));
    }
}
