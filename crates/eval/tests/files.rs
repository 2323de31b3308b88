//! Files of statistics and of features: what is written reads back, and what is damaged is refused.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use eval::files::{
    FeatureFile, FeatureWriter, Kind, StatisticsFile, kind_of, read_statistics, write_statistics,
};
use eval::fingerprint::{Fingerprint, Origin};
use eval::statistics::Statistics;
use eval::{EvalError, FeatureBatch, Pixels};
use std::fs;
use std::path::Path;

fn fingerprint() -> Fingerprint {
    let origin = Origin { source: "somewhere".into(), count: Some(5), ..Origin::default() };
    Fingerprint { features: Some(Pixels::spec()), origin }
}

fn statistics(first: f64) -> Statistics {
    let covariance = vec![2.0, 0.5, 0.5, 1.0];
    Statistics::new(vec![first, -1.0], covariance, Some(5)).unwrap()
}

fn file() -> StatisticsFile {
    let spatial = Statistics::new(vec![7.0], vec![3.0], Some(5)).unwrap();
    StatisticsFile { fingerprint: fingerprint(), pool: statistics(1.0), spatial: Some(spatial) }
}

/// The rows of a file of two layers, some at a time.
fn batch(rows: std::ops::Range<u8>) -> FeatureBatch {
    let numbers = |dim: u8| {
        rows.clone().flat_map(move |row| (0..dim).map(move |i| f32::from(row) + f32::from(i) / 8.0))
    };
    FeatureBatch { pool: numbers(3).collect(), spatial: Vec::new(), logits: numbers(2).collect() }
}

fn write_features(path: &Path, labels: &[u32]) -> Result<(), EvalError> {
    let mut writer = FeatureWriter::create(path, 5, [3, 0, 2])?;
    writer.write(&batch(0..2))?;
    writer.write(&batch(2..5))?;
    writer.finish(&fingerprint(), labels)
}

#[test]
fn statistics_read_back_with_their_fingerprint() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.safetensors");
    write_statistics(&path, &file()).unwrap();
    assert_eq!(kind_of(&path).unwrap(), Some(Kind::Statistics));
    let read = read_statistics(&path).unwrap();
    assert_eq!((read.fingerprint, read.pool, read.spatial), {
        let StatisticsFile { fingerprint, pool, spatial } = file();
        (fingerprint, pool, spatial)
    });
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "nothing but the file is left");
}

#[test]
fn statistics_for_other_programs_read_back_without_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.npz");
    write_statistics(&path, &file()).unwrap();
    let read = read_statistics(&path).unwrap();
    assert_eq!(read.fingerprint.features, None);
    assert_eq!((read.pool.mean, read.pool.covariance), {
        let pool = file().pool;
        (pool.mean, pool.covariance)
    });
    assert_eq!(read.spatial.unwrap().covariance, [3.0]);
}

#[test]
fn features_read_back_in_any_parts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.safetensors");
    write_features(&path, &[4, 3, 2, 1, 0]).unwrap();
    let read = FeatureFile::open(&path).unwrap();
    assert_eq!((read.count(), read.layers()), (5, [3, 0, 2]));
    assert_eq!(read.labels().unwrap(), [4, 3, 2, 1, 0]);
    assert_eq!(read.fingerprint(), Some(&fingerprint()));
    for (first, count) in [(0, 5), (0, 1), (3, 2), (5, 0)] {
        let expected = batch(first as u8..(first + count) as u8);
        assert_eq!(read.read(first, count).unwrap(), expected, "{count} from {first}");
    }
}

#[test]
fn a_file_that_lacks_rows_does_not_appear() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.safetensors");
    let mut writer = FeatureWriter::create(&path, 5, [3, 0, 2]).unwrap();
    writer.write(&batch(0..2)).unwrap();
    let short = FeatureBatch { logits: vec![0.0], ..batch(2..3) };
    assert!(writer.write(&short).unwrap_err().to_string().contains("logits"));
    assert!(writer.write(&batch(0..4)).unwrap_err().to_string().contains("6, expected 5 in all"));
    assert!(writer.finish(&fingerprint(), &[]).unwrap_err().to_string().contains("2, expected 5"));
    assert!(write_features(&path, &[1]).unwrap_err().to_string().contains("labels"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn the_one_table_of_a_file_of_others_is_its_features() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.safetensors");
    let write = |tables: &[(&str, Vec<usize>)]| {
        let bytes = [0_u8; 48];
        let views = tables.iter().map(|(name, shape)| {
            let len = shape.iter().product::<usize>() * 4;
            let view = safetensors::tensor::TensorView::new(
                safetensors::Dtype::F32,
                shape.clone(),
                &bytes[..len],
            );
            (name.to_string(), view.unwrap())
        });
        fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
    };
    write(&[("X", vec![4, 3]), ("vector", vec![2])]);
    let read = FeatureFile::open(&path).unwrap();
    assert_eq!((read.count(), read.layers(), read.fingerprint()), (4, [3, 0, 0], None));
    write(&[("X", vec![4, 3]), ("Y", vec![2, 3])]);
    let error = FeatureFile::open(&path).unwrap_err().to_string();
    assert!(error.contains("pool") && error.contains("X") && error.contains("Y"), "{error}");
    write(&[("pool", vec![4, 3]), ("spatial", vec![2, 3])]);
    let error = FeatureFile::open(&path).unwrap_err().to_string();
    assert!(error.contains("spatial is [2, 3], expected 4 rows"), "{error}");
}

#[test]
fn each_kind_is_refused_in_the_place_of_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let [statistics, features] = ["s", "f"].map(|name| folder.path().join(name));
    write_statistics(&statistics, &file()).unwrap();
    write_features(&features, &[]).unwrap();
    let error = FeatureFile::open(&statistics).unwrap_err().to_string();
    assert!(error.contains("kind is statistics, expected features"), "{error}");
    let error = read_statistics(&features).unwrap_err().to_string();
    assert!(error.contains("expected statistics"), "{error}");
}

#[test]
fn no_damage_panics_or_passes_for_other_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.safetensors");
    write_statistics(&path, &file()).unwrap();
    let whole = fs::read(&path).unwrap();
    let check = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let _ = FeatureFile::open(&path);
        read_statistics(&path)
    };
    for len in [0, 7, 8, 100, whole.len() - 1] {
        let error = check(&whole[..len]).unwrap_err();
        assert!(error.to_string().contains("s.safetensors"), "{error}");
    }
    assert!(check(&[&whole[..], &[0]].concat()).is_err());
    // Every byte of the text of the header, which is padded with spaces.
    let header = whole.iter().rposition(|&byte| byte == b'}').unwrap();
    for at in (0..=header).step_by(3) {
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << (at % 7);
        let _ = check(&damaged);
    }
    let mut nan = whole.clone();
    let end = nan.len();
    nan[end - 8..].copy_from_slice(&f64::NAN.to_le_bytes());
    let error = check(&nan).unwrap_err().to_string();
    assert!(error.contains("cov_s") && error.contains("NaN"), "{error}");
}

#[test]
fn parts_merge_to_the_whole_and_differently_made_ones_do_not() {
    let mut part = StatisticsFile { pool: statistics(3.0), ..file() };
    part.fingerprint.origin.notes = vec!["2 grey images".into()];
    let merged = file().merge(&part).unwrap();
    assert_eq!(merged.fingerprint.origin.notes, ["2 grey images"]);
    assert_eq!(merged.pool.count, Some(10));
    assert_eq!(merged.pool.mean, [2.0, -1.0]);
    // 4 times each covariance, and 2.5 times the square of the distance 2, over 9.
    let expected = [(8.0 + 8.0 + 10.0) / 9.0, 4.0 / 9.0, 4.0 / 9.0, 8.0 / 9.0];
    for (found, expected) in merged.pool.covariance.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-15, "{found} {expected}");
    }
    assert_eq!(merged.fingerprint.origin.source, "somewhere + somewhere");
    let mut other = file();
    other.fingerprint.features.as_mut().unwrap().resize = "nearest".into();
    let error = file().merge(&other).unwrap_err().to_string();
    assert!(error.contains("resize") && error.contains("nearest"), "{error}");
    let unknown = StatisticsFile { pool: Statistics { count: None, ..statistics(0.0) }, ..file() };
    assert!(file().merge(&unknown).unwrap_err().to_string().contains("unknown"));
}

#[test]
fn a_fingerprint_of_another_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.safetensors");
    let mut newer = file();
    newer.fingerprint.features.as_mut().unwrap().format = 9;
    write_statistics(&path, &newer).unwrap();
    let error = read_statistics(&path).unwrap_err().to_string();
    assert!(error.contains("format of the fingerprint is 9, expected 1"), "{error}");
}
