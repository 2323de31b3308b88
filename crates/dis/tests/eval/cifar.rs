//! Real images, where they lie beside the checkout.

use super::{Place, metric};
use std::path::Path;

/// The train part against the test part of true images of CIFAR-10.
#[test]
#[allow(clippy::print_stdout, reason = "a skipped test says so")]
fn both_parts_of_cifar10_look_alike_and_more_so_than_shapes() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/cifar10-subset");
    if !data.is_dir() {
        println!("skipped: no images of CIFAR-10 beside the checkout");
        return;
    }
    let place = Place::new();
    let data = data.canonicalize().unwrap().display().to_string();
    let [train, test] = ["train", "test"].map(|part| format!("{data}:{part}"));
    let quickstart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/quickstart.toml");
    let against_train = |samples: &str, metrics: &str| {
        let sets = ["--reference", &train, "--samples", samples, "--features-from", "pixels"];
        place.report(&[&sets[..], &["--metrics", metrics]].concat())
    };
    let report = against_train(&test, "fid,pr,class-pr");
    assert_eq!(report["reference"]["count"], 5170);
    assert_eq!(report["samples"]["count"], 1017);
    let alike = metric(&report, "fd");
    assert!(
        metric(&report, "precision") > 0.5 && metric(&report, "class_recall") > 0.5,
        "{report:#}"
    );
    let shapes = against_train(&quickstart.display().to_string(), "fid");
    assert!(metric(&shapes, "fd") > 10.0 * alike, "{} and {alike}", metric(&shapes, "fd"));
}
