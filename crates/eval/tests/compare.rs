//! Whole comparisons, from features to the page that a person reads.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use eval::compare::{KidSubsets, Options, compare};
use eval::fingerprint::{FORMAT, FeatureSpec, Fingerprint, Layer, Network, Origin};
use eval::inception_score::Splits;
use eval::{
    Collector, EvalError, FeatureBatch, Measured, Metric, Needs, Pixels, Report,
    check_fingerprints, precision_recall,
};
use serde_json::Value;
use std::num::NonZeroUsize;

const DIMS: [usize; 3] = [6, 4, 5];

fn spec(network: Network) -> FeatureSpec {
    let layer = |name: &str, dim| Layer { name: name.into(), dim };
    FeatureSpec {
        format: FORMAT,
        network,
        protocol: "adm".into(),
        resize: "none".into(),
        value_map: "none".into(),
        pool: layer("pool", DIMS[0]),
        spatial: Some(layer("spatial", DIMS[1])),
        logits: Some(layer("logits", DIMS[2])),
    }
}

fn inception() -> FeatureSpec {
    spec(Network::Inception { weights: "0123456789abcdef".into(), published: true })
}

/// Numbers in [0, 1) that have nothing to do with each other.
fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let number = |i: u64| {
        let mixed = (seed << 32 | i).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mixed = (mixed ^ mixed >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        ((mixed ^ mixed >> 32) >> 40) as f32 / (1 << 24) as f32
    };
    (0..count as u64).map(number).collect()
}

fn batch(seed: u64, rows: usize) -> FeatureBatch {
    let [pool, spatial, logits] = DIMS.map(|dim| numbers(seed, rows * dim));
    FeatureBatch { pool, spatial, logits }
}

fn measured(seed: u64, rows: usize, side: usize, features: Option<FeatureSpec>) -> Measured {
    let splits = Splits::Chunks(NonZeroUsize::new(40).unwrap());
    let keep = Needs::keep(&Metric::ALL, splits)[side];
    let mut collector = Collector::of_layers(DIMS, keep, rows as u64).unwrap();
    let all = batch(seed, rows);
    let part =
        |values: &[f32], dim: usize, from: usize, to: usize| values[from * dim..to * dim].to_vec();
    for (from, to) in [(0, 1), (1, 30), (30, rows)] {
        let [pool, spatial, logits] = [(&all.pool, 0), (&all.spatial, 1), (&all.logits, 2)]
            .map(|(values, layer)| part(values, DIMS[layer], from, to));
        collector.push(&FeatureBatch { pool, spatial, logits }).unwrap();
    }
    let origin = Origin { source: format!("set {seed}"), ..Origin::default() };
    let labels = (0..rows as u32).map(|row| row % 3).collect();
    collector.finish(Fingerprint { features, origin }, labels).unwrap()
}

fn options(metrics: &[Metric]) -> Options {
    Options {
        metrics: metrics.to_vec(),
        neighbours: precision_recall::Options::ADM,
        kid_subsets: None,
        bootstrap: None,
        seed: 0,
    }
}

fn keys(found: &eval::compare::Scores) -> Vec<&'static str> {
    found.scores.iter().map(|score| score.key).collect()
}

#[test]
fn every_metric_is_computed_in_the_order_asked_for() {
    let [reference, samples] =
        [measured(1, 90, 0, Some(inception())), measured(2, 80, 1, Some(inception()))];
    let found = compare(&reference, &samples, &options(&Metric::ALL), &|_, _| ()).unwrap();
    let expected = [
        "fid",
        "sfid",
        "is",
        "precision",
        "recall",
        "density",
        "coverage",
        "class_precision",
        "class_recall",
        "kid",
        "fid_infinity",
    ];
    assert_eq!(keys(&found), expected);
    assert!(found.scores.iter().all(|score| score.value.is_finite()));
    assert!(found.warnings.is_empty(), "{:?}", found.warnings);
    let one =
        |metric: Metric| compare(&reference, &samples, &options(&[metric]), &|_, _| ()).unwrap();
    assert_eq!(keys(&one(Metric::DensityCoverage)), ["density", "coverage"]);
    assert_eq!(keys(&one(Metric::PrecisionRecall)), ["precision", "recall"]);
    assert_eq!(one(Metric::DensityCoverage).scores, found.scores[5..7]);
}

#[test]
fn nothing_but_inception_gives_an_fid() {
    let named = |reference: Option<FeatureSpec>, samples: Option<FeatureSpec>| {
        let metrics =
            [Metric::Fid, Metric::Sfid, Metric::InceptionScore, Metric::Kid, Metric::FidInfinity];
        let (reference, samples) = (measured(1, 90, 0, reference), measured(2, 80, 1, samples));
        keys(&compare(&reference, &samples, &options(&metrics), &|_, _| ()).unwrap())
    };
    let genuine = ["fid", "sfid", "is", "kid", "fid_infinity"];
    let other = ["fd", "sfd", "score", "kd", "fd_infinity"];
    let random = || Some(spec(Network::RandomInception { seed: 1 }));
    assert_eq!(named(Some(inception()), Some(inception())), genuine);
    assert_eq!(named(None, Some(inception())), genuine);
    assert_eq!(named(random(), random()), other);
    assert_eq!(named(Some(inception()), random()), other);
    assert_eq!(named(None, Some(spec(Network::Pixels))), other);
    assert_eq!(named(None, None), other);
    let unknown = Network::Inception { weights: "0123456789abcdef".into(), published: false };
    assert_eq!(named(None, Some(spec(unknown))), other);
}

#[test]
fn a_set_against_itself_is_at_distance_zero_and_all_inside() {
    let metrics = [Metric::Fid, Metric::Sfid, Metric::PrecisionRecall, Metric::DensityCoverage];
    let [reference, samples] = [0, 1].map(|side| measured(1, 90, side, Some(inception())));
    let found = compare(&reference, &samples, &options(&metrics), &|_, _| ()).unwrap();
    let values: Vec<f64> = found.scores.iter().map(|score| score.value).collect();
    assert_eq!(values[..4], [0.0, 0.0, 1.0, 1.0]);
    assert_eq!(values[5], 1.0);
}

#[test]
fn what_is_missing_is_named_with_the_metric() {
    let (whole, mut bare) = (measured(1, 90, 1, None), measured(2, 80, 1, None));
    bare = Measured::from_statistics(bare.fingerprint, bare.pool, None);
    for metric in Metric::ALL.into_iter().skip(1) {
        let error =
            compare(&whole, &bare, &options(&[metric]), &|_, _| ()).unwrap_err().to_string();
        assert!(error.contains("samples") && error.contains(metric.name()), "{metric}: {error}");
    }
}

#[test]
fn too_few_images_are_said_to_be() {
    let (reference, samples) = (measured(1, 90, 0, None), measured(2, 31, 1, None));
    let found = compare(&reference, &samples, &options(&[Metric::Fid]), &|_, _| ()).unwrap();
    assert!(found.warnings.is_empty());
    let mut few = samples;
    few.pool = measured(2, 31, 1, None).pool;
    few.pool.count = Some(6);
    let found = compare(&reference, &few, &options(&[Metric::Fid]), &|_, _| ()).unwrap();
    let [ref warning] = found.warnings[..] else { panic!("{:?}", found.warnings) };
    assert!(
        warning.contains("samples: 6 images for 6") && warning.contains("7 are needed"),
        "{warning}"
    );
}

#[test]
fn features_made_differently_are_refused_and_by_force_reported() {
    let sides = |samples: Option<FeatureSpec>| {
        let origin = Origin { source: "a.npz".into(), ..Origin::default() };
        [Some(inception()), samples]
            .map(|features| Fingerprint { features, origin: origin.clone() })
    };
    let [reference, samples] = sides(Some(Pixels::spec()));
    let error = check_fingerprints(&reference, &samples, false).unwrap_err();
    assert!(matches!(error, EvalError::Mismatch { .. }));
    let text = error.to_string();
    for part in ["network: inception", "pixels in the samples", "protocol: adm", "--force"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let forced = check_fingerprints(&reference, &samples, true).unwrap();
    assert!(
        forced.iter().any(|warning| warning.contains("by force") && warning.contains("protocol"))
    );
    let [reference, samples] = sides(Some(inception()));
    assert!(check_fingerprints(&reference, &samples, false).unwrap().is_empty());
    let [reference, samples] = sides(None);
    let [ref warning] = check_fingerprints(&samples, &reference, false).unwrap()[..] else {
        panic!()
    };
    assert!(warning.contains("reference of unknown protocol: a.npz"), "{warning}");
}

#[test]
fn the_report_says_what_its_numbers_are_numbers_of() {
    let random = || Some(spec(Network::RandomInception { seed: 1 }));
    let (reference, samples) = (measured(1, 90, 0, random()), measured(2, 80, 1, random()));
    let metrics = [Metric::Fid, Metric::Kid];
    let mut options = options(&metrics);
    options.kid_subsets = Some(KidSubsets { count: 4, size: 20 });
    let found = compare(&reference, &samples, &options, &|_, _| ()).unwrap();
    let report = Report::new(&reference, &samples, found.clone());
    let page = report.table();
    for part in [
        "set 1: 90 images",
        "random-inception, seed 1",
        "protocol   adm",
        "FD ",
        "not FID",
        "over subsets",
    ] {
        assert!(page.contains(part), "{part}:\n{page}");
    }
    assert!(!page.contains("\nFID"), "{page}");
    let json = report.to_json();
    assert_eq!(json["metrics"]["fd"]["value"], Value::from(found.scores[0].value));
    assert_eq!(json["metrics"]["kd"]["subset_size"], 20);
    assert_eq!(json["samples"]["count"], 80);
    assert_eq!(json["reference"]["features"]["network"]["kind"], "random-inception");
}
