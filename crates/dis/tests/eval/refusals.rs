//! What is refused, and what is said of it.

use super::features::write_table;
use super::{Place, write_folder};
use std::fs;

#[test]
fn flags_that_make_no_sense() {
    let place = Place::new();
    write_folder(&place.path("a"), 1, 3, 8);
    let sets = ["--reference", "a", "--samples", "a"];
    let with = |more: &[&str]| place.eval(&[&sets[..], more].concat());
    with(&[]).refuses(2, &["--features-from", "random-inception", "docs/evaluation.md"]);
    with(&["--weights", "none.safetensors"]).refuses(65, &["none.safetensors", "dis convert"]);
    for (more, word) in [
        (&["--metrics", "fid,FID"][..], "one of fid, sfid"),
        (&["--protocol", "tensorflow"], "adm, pytorch-fid"),
        (&["--kid-subsets", "100"], "COUNTxSIZE"),
        (&["--bootstrap", "3"], "20"),
        (&["--neighbours", "0"], "1"),
    ] {
        let ended = with(&[&["--features-from", "pixels"], more].concat());
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains(word), "no {word:?} in\n{}", ended.stderr);
    }
    with(&["--features-from", "pixels", "--bootstrap", "20", "--level", "1.5"])
        .refuses(2, &["--level 1.5", "between 0 and 1"]);
    with(&["--features-from", "pixels", "--neighbours", "3"]).refuses(2, &["k", "3"]);
    with(&["--features-from", "pixels", "--out", "no/such/r.json"])
        .refuses(74, &["no/such/r.json"]);
}

#[test]
fn sets_that_are_none() {
    let place = Place::new();
    write_folder(&place.path("a"), 1, 3, 8);
    let score = |samples: &str| {
        let args =
            ["--reference", "a", "--features-from", "pixels", "--metrics", "fid", "--samples"];
        place.eval(&[&args[..], &[samples]].concat())
    };
    score("nowhere").refuses(65, &["the samples nowhere cannot be used", "nowhere"]);
    fs::create_dir(place.path("empty")).unwrap();
    score("empty").refuses(65, &["empty", "image"]);
    fs::write(place.path("x.npz"), b"PK\x03\x04 and nothing else").unwrap();
    score("x.npz").refuses(65, &["x.npz"]);
    fs::write(place.path("x.pkl"), b"\x80\x04.").unwrap();
    score("x.pkl").refuses(65, &["x.pkl", "a pickle is a program", "numpy.savez"]);
    fs::write(place.path("x.safetensors"), b"\x08\0\0\0\0\0\0\0{}      ").unwrap();
    score("x.safetensors").refuses(65, &["x.safetensors", "pool"]);
    fs::write(place.path("x.gif"), b"GIF89a").unwrap();
    score("x.gif").refuses(2, &["x.gif", "no known kind"]);
    score("a:test").refuses(2, &["a", "only CIFAR-10 has parts"]);
}

#[test]
fn features_that_are_no_numbers_are_found() {
    let place = Place::new();
    let mut values: Vec<f32> = (0..60).map(|i| (i * i % 17) as f32).collect();
    write_table(&place.path("good.safetensors"), &values, 4);
    values[4 * 7 + 2] = f32::NAN;
    write_table(&place.path("bad.safetensors"), &values, 4);
    let args = ["--reference", "good.safetensors", "--samples", "bad.safetensors"];
    place.eval(&args).refuses(65, &["element 2 of row 7", "NaN"]);
}

#[test]
fn nothing_is_overwritten() {
    let place = Place::new();
    write_folder(&place.path("a"), 1, 3, 8);
    let from = ["--features-from", "pixels"];
    let make = |more: &[&str]| {
        place.eval(&[&["stats", "a", "--out", "s.safetensors"], &from[..], more].concat())
    };
    make(&[]).succeeds();
    make(&[]).refuses(2, &["s.safetensors exists", "--force"]);
    make(&["--force"]).succeeds();
    let both = ["merge", "s.safetensors", "s.safetensors", "--out", "m.safetensors"];
    place.eval(&both).refuses(2, &["s.safetensors is given twice"]);
    place.eval(&["npz", "a", "--out", "s.safetensors"]).refuses(2, &["s.safetensors exists"]);
    let other = ["stats", "a", "--out", "s.json"];
    place.eval(&[&other[..], &from].concat()).refuses(2, &["s.json", ".safetensors or .npz"]);
}
