//! Files of statistics and features that `dis eval` makes and reads.

use super::{Place, metric, read_json, write_folder};
use serde_json::Value;

const FROM: [&str; 2] = ["--features-from", "pixels"];

/// Two folders of noise.
fn place() -> Place {
    let place = Place::new();
    write_folder(&place.path("a"), 1, 25, 12);
    write_folder(&place.path("b"), 2, 20, 12);
    place
}

fn compare(place: &Place, reference: &str, samples: &str) -> Value {
    let sets = ["--reference", reference, "--samples", samples, "--metrics", "fid"];
    place.report(&[&sets[..], &FROM].concat())
}

#[test]
fn statistics_features_and_images_are_the_same_set() {
    let place = place();
    let expected = compare(&place, "a", "b");
    place.eval(&[&["stats", "a", "--out", "a.safetensors"], &FROM[..]].concat()).succeeds();
    place.eval(&[&["features", "b", "--out", "b.safetensors"], &FROM[..]].concat()).succeeds();
    place.eval(&["stats", "b.safetensors", "--out", "b-stats.safetensors"]).succeeds();
    for (reference, samples) in
        [("a.safetensors", "b"), ("a", "b.safetensors"), ("a.safetensors", "b-stats.safetensors")]
    {
        let report = compare(&place, reference, samples);
        assert_eq!(report["metrics"], expected["metrics"], "{reference}, {samples}");
        assert_eq!(report["reference"]["features"], expected["reference"]["features"]);
    }
}

#[test]
fn statistics_for_other_programs_have_no_protocol() {
    let place = place();
    place.eval(&[&["stats", "a", "--out", "a.npz"], &FROM[..]].concat()).succeeds();
    let report = compare(&place, "a.npz", "b");
    assert_eq!(metric(&report, "fd"), metric(&compare(&place, "a", "b"), "fd"));
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains("reference of unknown protocol: a.npz"), "{warnings}");
}

#[test]
fn parts_merge_to_the_whole() {
    let place = place();
    std::fs::create_dir(place.path("both")).unwrap();
    for (folder, count) in [("a", 25), ("b", 20)] {
        for index in 0..count {
            let from = place.path(folder).join(format!("{index:04}.png"));
            std::fs::copy(from, place.path("both").join(format!("{folder}{index:04}.png")))
                .unwrap();
        }
    }
    for folder in ["a", "b", "both"] {
        let out = format!("{folder}.safetensors");
        place.eval(&[&["stats", folder, "--out", &out], &FROM[..]].concat()).succeeds();
    }
    place.eval(&["merge", "a.safetensors", "b.safetensors", "--out", "m.safetensors"]).succeeds();
    let report = compare(&place, "both.safetensors", "m.safetensors");
    assert!(metric(&report, "fd").abs() < 1e-9, "{report}");
    assert_eq!(report["samples"]["count"], 45);
}

#[test]
fn features_of_another_network_or_protocol_are_refused_unless_forced() {
    let place = place();
    let make = |out: &str, protocol: &str| {
        let args = ["stats", "a", "--out", out, "--features-from", "random-inception"];
        place.eval(&[&args[..], &["--protocol", protocol]].concat()).succeeds();
    };
    write_folder(&place.path("a"), 1, 3, 12);
    place.eval(&[&["stats", "a", "--out", "pixels.safetensors"], &FROM[..]].concat()).succeeds();
    std::fs::remove_dir_all(place.path("a")).unwrap();
    write_folder(&place.path("a"), 1, 3, 12);
    make("adm.safetensors", "adm");
    make("clean.safetensors", "clean");
    let sets = ["--reference", "adm.safetensors", "--samples", "clean.safetensors"];
    let words = ["resize: bilinear of TensorFlow 1", "bicubic", "protocol: adm", "--force"];
    place.eval(&sets).refuses(65, &words);
    let report = place.report(&[&sets[..], &["--force", "--metrics", "fid"]].concat());
    assert!(report["warnings"].to_string().contains("by force"), "{report}");
    let sets = ["--reference", "pixels.safetensors", "--samples", "adm.safetensors"];
    place.eval(&sets).refuses(65, &["network: pixels", "random-inception, seed 1"]);
    // Known before any image becomes features: the last of these cannot.
    std::fs::write(place.path("b").join("x.png"), b"no image").unwrap();
    let sets = ["--reference", "pixels.safetensors", "--samples", "b"];
    let ended = place.eval(&[&sets[..], &["--features-from", "random-inception"]].concat());
    ended.refuses(65, &["network: pixels in the reference"]);
}

#[test]
fn the_network_of_a_reference_is_used_where_nothing_else_is_said() {
    let place = place();
    place.eval(&[&["stats", "a", "--out", "a.safetensors"], &FROM[..]].concat()).succeeds();
    let args = ["--reference", "a.safetensors", "--samples", "b", "--out", "r.json"];
    place.eval(&args).succeeds();
    assert_eq!(
        read_json(&place.path("r.json"))["samples"]["features"]["network"]["kind"],
        "pixels"
    );
}
