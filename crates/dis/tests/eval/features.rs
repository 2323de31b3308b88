//! Comparisons of files of features, whose numbers are known.

use super::{Place, metric};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use std::path::Path;

/// Number `i` of seed `s` of the goldens' formula.
fn unit(seed: u64, i: usize) -> f64 {
    let mut z = seed.wrapping_add((i as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

fn x() -> Vec<f32> {
    (0..300 * 24).map(|i| unit(1, i) as f32).collect()
}

fn y() -> Vec<f32> {
    let value = |i: usize| unit(2, i) * 1.1 + 0.05;
    let mixed = |i| if i % 24 == 1 { value(i) + 0.5 * value(i - 1) } else { value(i) };
    (0..260 * 24).map(|i| mixed(i) as f32).collect()
}

/// Writes one table, as any program would.
pub(super) fn write_table(path: &Path, values: &[f32], dim: usize) {
    let shape = vec![values.len() / dim, dim];
    let view = TensorView::new(Dtype::F32, shape, bytemuck::cast_slice(values)).unwrap();
    std::fs::write(path, safetensors::serialize([("pool", view)], None).unwrap()).unwrap();
}

#[test]
fn two_files_of_features_give_the_golden_numbers() {
    let place = Place::new();
    write_table(&place.path("x.safetensors"), &x(), 24);
    write_table(&place.path("y.safetensors"), &y(), 24);
    let sets = ["--reference", "x.safetensors", "--samples", "y.safetensors"];
    let report = place.report(&[&sets[..], &["--metrics", "fid,pr,dc,kid"]].concat());
    // numpy, scipy and mpmath, to the last digits that they agree on.
    for (name, expected, tolerance) in [
        ("fd", 0.639_674_551_308_430_1, 1e-12),
        ("precision", 96.0 / 260.0, 1e-15),
        ("recall", 257.0 / 300.0, 1e-15),
        ("density", 184.0 / 780.0, 1e-15),
        ("coverage", 118.0 / 300.0, 1e-15),
        ("kd", 0.145_983_338_519_065_42, 1e-12),
    ] {
        let got = metric(&report, name);
        assert!((got - expected).abs() <= tolerance * expected, "{name}: {got}, not {expected}");
    }
    let warnings = report["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), 2, "both are of unknown making: {warnings:?}");
}

#[test]
fn the_default_is_what_the_files_allow() {
    let place = Place::new();
    write_table(&place.path("x.safetensors"), &x(), 24);
    write_table(&place.path("y.safetensors"), &y(), 24);
    let sets = ["--reference", "x.safetensors", "--samples", "y.safetensors"];
    let report = place.report(&sets);
    let names: Vec<&String> = report["metrics"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["fd", "precision", "recall"]);
    for metrics in ["sfid", "is", "class-pr"] {
        let ended = place.eval(&[&sets[..], &["--metrics", metrics]].concat());
        ended.refuses(2, &[metrics, "which has not all", "leave it out"]);
    }
}

#[test]
fn few_rows_are_scored_exactly_and_with_a_warning() {
    let place = Place::new();
    write_table(&place.path("x.safetensors"), &x()[..12 * 24], 24);
    write_table(&place.path("y.safetensors"), &y()[..15 * 24], 24);
    let sets = ["--reference", "x.safetensors", "--samples", "y.safetensors"];
    let report = place.report(&[&sets[..], &["--metrics", "fid"]].concat());
    // The nuclear norm of the centred product, to 40 digits; a matrix square root is off by 1e-9.
    let (got, expected) = (metric(&report, "fd"), 2.391_700_932_890_991_7);
    assert!((got - expected).abs() < 1e-10 * expected, "{got}");
    assert_eq!(report["metrics"]["fd"]["ranks"], serde_json::json!([11, 14]));
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains("12 images for 24") && warnings.contains("rank 11"), "{warnings}");
}

#[test]
fn intervals_and_subsets_are_the_same_in_every_run() {
    let place = Place::new();
    write_table(&place.path("x.safetensors"), &x(), 24);
    write_table(&place.path("y.safetensors"), &y(), 24);
    let args = [
        "--reference",
        "x.safetensors",
        "--samples",
        "y.safetensors",
        "--metrics",
        "fid,kid,fid-inf",
        "--bootstrap",
        "40",
        "--kid-subsets",
        "10x50",
    ];
    let first = place.report(&args);
    assert_eq!(place.report(&args)["metrics"], first["metrics"]);
    let interval = first["metrics"]["fd"]["interval"].as_array().unwrap();
    let ends: Vec<f64> = interval.iter().map(|end| end.as_f64().unwrap()).collect();
    let fd = metric(&first, "fd");
    assert!(ends[0] < fd && fd < ends[1] && ends[1] - ends[0] < fd, "{ends:?} around {fd}");
    let other = place.report(&[&args[..], &["--subset-seed", "1"]].concat());
    assert_ne!(metric(&other, "kd"), metric(&first, "kd"));
    assert_eq!(metric(&other, "fd"), fd);
}

#[test]
fn a_metric_that_is_asked_for_twice_is_computed_once() {
    let place = Place::new();
    write_table(&place.path("x.safetensors"), &x(), 24);
    write_table(&place.path("y.safetensors"), &y(), 24);
    let args = ["--reference", "x.safetensors", "--samples", "y.safetensors"];
    let page = place.eval(&[&args[..], &["--metrics", "fid,fid"]].concat()).succeeds().stdout;
    assert_eq!(page.lines().filter(|line| line.starts_with("FD ")).count(), 1, "{page}");
}
