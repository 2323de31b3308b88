//! Golden numbers, and features by formula.
#![allow(dead_code, reason = "each test file uses its own part")]

pub(crate) mod streams;

use eval::Rows;
use parity::Golden;
use serde_json::Value;
use std::path::PathBuf;

/// A file of `tests/goldens`.
pub(crate) fn golden_path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name)
}

/// `statistics.json`.
pub(crate) fn golden() -> Value {
    let text = std::fs::read_to_string(golden_path("statistics.json")).expect("a golden");
    serde_json::from_str(&text).expect("JSON")
}

/// A number of a golden.
#[track_caller]
pub(crate) fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// Numbers of a golden.
#[track_caller]
pub(crate) fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("an array").iter().map(number).collect()
}

/// Features of `n` rows of `dim`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Features {
    pub(crate) values: Vec<f32>,
    pub(crate) dim: usize,
}

impl Features {
    /// A tensor of `features.safetensors`: X, Y or L, rounded to f32.
    pub(crate) fn golden(name: &str) -> Self {
        let file = Golden::open(golden_path("features.safetensors"));
        Self { values: file.f32(name), dim: file.shape(name)[1] }
    }

    /// Rows of numbers uniform in [-1, 1).
    pub(crate) fn uniform(seed: u64, rows: usize, dim: usize) -> Self {
        Self { values: parity::to_f32(&parity::uniform(seed, rows * dim)), dim }
    }

    pub(crate) fn rows(&self) -> Rows<'_> {
        Rows::new(&self.values, self.dim).expect("whole rows")
    }

    /// The first rows.
    pub(crate) fn first(&self, rows: usize) -> Rows<'_> {
        self.rows().part(0, rows)
    }

    /// Changes every row.
    pub(crate) fn map_rows(mut self, mut f: impl FnMut(&mut [f32])) -> Self {
        self.values.chunks_mut(self.dim).for_each(&mut f);
        self
    }
}

/// Panics unless `got` is within `tolerance` of `want`, relative to it.
#[track_caller]
pub(crate) fn assert_near(what: &str, got: f64, want: f64, tolerance: f64) {
    let error = (got - want).abs() / want.abs();
    assert!(error <= tolerance, "{what}: {got}, expected {want}; relative error {error:e}");
}

/// Results of `f` in pools of 1, 2 and 4 threads.
pub(crate) fn on_threads<T: Send>(f: impl Fn() -> T + Sync) -> [T; 3] {
    [1, 2, 4].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.expect("threads").install(&f)
    })
}
