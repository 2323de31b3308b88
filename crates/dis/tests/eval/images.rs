//! Images of every form as sets.

use super::{Place, metric, noise, write_folder};
use std::fs;

const PIXELS: [&str; 4] = ["--features-from", "pixels", "--metrics", "fid,pr"];

#[test]
fn a_folder_an_archive_and_an_array_of_the_same_images_are_the_same_set() {
    let place = Place::new();
    write_folder(&place.path("a"), 1, 40, 12);
    write_folder(&place.path("b"), 2, 30, 12);
    let stdout = place.eval(&["npz", "b", "--out", "b.npz"]).succeeds().stdout;
    assert!(stdout.contains("30 images of 12x12"), "{stdout}");
    place.eval(&["npz", "b.npz", "--out", "again"]).succeeds();
    let mut zip = zip::ZipWriter::new(fs::File::create(place.path("b.zip")).unwrap());
    for index in 0..30 {
        let name = format!("{index:04}.png");
        zip.start_file(&name, zip::write::SimpleFileOptions::default()).unwrap();
        std::io::Write::write_all(&mut zip, &fs::read(place.path("b").join(name)).unwrap())
            .unwrap();
    }
    zip.finish().unwrap();
    let score = |samples: &str| {
        let sets = ["--reference", "a", "--samples", samples];
        place.report(&[&sets[..], &PIXELS].concat())["metrics"].clone()
    };
    let expected = score("b");
    assert!(expected["fd"]["value"].as_f64().unwrap() > 0.1, "{expected}");
    for same in ["b.npz", "again", "b.zip"] {
        assert_eq!(score(same), expected, "{same}");
    }
}

#[test]
fn the_page_says_what_was_compared_and_that_it_is_no_fid() {
    let place = Place::new();
    write_folder(&place.path("a"), 1, 40, 12);
    write_folder(&place.path("b"), 2, 30, 12);
    let args = ["--reference", "a", "--samples", "b", "--features-from", "pixels"];
    let page = place.eval(&args).succeeds().stdout;
    for part in [
        "reference  a: 40 images 12x12, png",
        "samples    b: 30 images 12x12, png",
        "features   pixels",
        "FD ",
        "precision ",
        "not FID",
        "30 images for 192",
    ] {
        assert!(page.contains(part), "no {part:?} in\n{page}");
    }
}

#[test]
fn the_same_bits_on_one_thread_and_on_four() {
    let place = Place::new();
    write_folder(&place.path("a"), 1, 5, 20);
    write_folder(&place.path("b"), 2, 4, 20);
    let args = [
        "--reference",
        "a",
        "--samples",
        "b",
        "--features-from",
        "random-inception",
        "--metrics",
        "fid,sfid,is,kid",
        "--out",
    ];
    let mut reports = Vec::new();
    for threads in [1, 4] {
        let out = format!("{threads}.json");
        place.eval_with_threads(&[&args[..], &[&out]].concat(), threads).succeeds();
        reports.push(super::read_json(&place.path(&out)));
    }
    assert_eq!(reports[0]["metrics"], reports[1]["metrics"]);
    let names: Vec<&String> = reports[0]["metrics"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["fd", "sfd", "score", "kd"]);
}

#[test]
fn images_of_other_kinds_are_taken_by_the_stated_policy() {
    let place = Place::new();
    write_folder(&place.path("a"), 1, 6, 12);
    let save = |folder: &str, pixels: &[u8], colour, ending: &str| {
        write_folder(&place.path(folder), 2, 5, 12);
        let file = place.path(folder).join(format!("x.{ending}"));
        image::save_buffer(file, pixels, 12, 12, colour).unwrap();
    };
    let args = |samples: &'static str| {
        ["--reference", "a", "--features-from", "pixels", "--metrics", "fid", "--samples", samples]
    };
    save("grey", &[100; 144], image::ColorType::L8, "png");
    let ended = place.eval(&args("grey")).succeeds();
    assert!(ended.stderr.contains("1 grey images (PNG), repeated as RGB"), "{}", ended.stderr);
    save("jpeg", &noise(2, 9, 12), image::ColorType::Rgb8, "jpg");
    let ended = place.eval(&args("jpeg")).succeeds();
    assert!(ended.stderr.contains("JPEG, which changes pixels"), "{}", ended.stderr);
    save("alpha", &[100; 4 * 144], image::ColorType::Rgba8, "png");
    let ended = place.eval(&args("alpha"));
    ended.refuses(65, &["alpha/x.png", "RGB with alpha", "expected RGB or grey", "--drop-alpha"]);
    let report = place.report(&[&args("alpha")[..], &["--drop-alpha"]].concat());
    let notes = report["samples"]["origin"]["notes"].to_string();
    assert!(notes.contains("1 images with RGB with alpha"), "{notes}");
    save("deep", &[100; 6 * 144], image::ColorType::Rgb16, "png");
    place.eval(&args("deep")).refuses(65, &["deep/x.png", "16 bits", "--drop-alpha"]);
    write_folder(&place.path("mixed"), 2, 5, 12);
    let odd = place.path("mixed").join("x.png");
    image::save_buffer(odd, &noise(2, 9, 10), 10, 10, image::ColorType::Rgb8).unwrap();
    place.eval(&args("mixed")).refuses(65, &["mixed/x.png", "10x10", "expected 12x12"]);
}

#[test]
fn an_experiment_stands_for_its_images_as_they_are_trained_on() {
    let place = Place::new();
    let quickstart =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/quickstart.toml");
    let text = fs::read_to_string(quickstart).unwrap();
    assert!(text.contains("count = 4096"), "{text}");
    fs::write(place.path("shapes.toml"), text.replace("count = 4096", "count = 24")).unwrap();
    let ended = place.eval(&["npz", "shapes.toml", "--out", "shapes.npz"]).succeeds();
    assert!(ended.stdout.contains("images of 16x16"), "{}", ended.stdout);
    let sets = ["--reference", "shapes.toml", "--samples", "shapes.npz"];
    let report = place.report(&[&sets[..], &PIXELS].concat());
    assert_eq!(metric(&report, "fd"), 0.0);
    assert_eq!(metric(&report, "precision"), 1.0);
}

#[test]
fn a_folder_appears_when_it_is_complete() {
    let place = Place::new();
    write_folder(&place.path("a"), 1, 6, 12);
    image::save_buffer(
        place.path("a").join("x.png"),
        &noise(1, 9, 10),
        10,
        10,
        image::ColorType::Rgb8,
    )
    .unwrap();
    for out in ["b", "b.npz"] {
        place.eval(&["npz", "a", "--out", out]).refuses(65, &["a/x.png", "expected 12x12"]);
        assert!(!place.path(out).exists(), "{out}");
    }
    assert!(!place.path("b.npz.partial").exists());
    let again = place.eval(&["npz", "a", "--out", "b"]);
    again.refuses(2, &["b.partial exists", "remove it first"]);
}
