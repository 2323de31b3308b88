//! `dis sample` on a trained tiny run.

use super::{Case, dis, finish};
use safetensors::{Dtype, tensor::TensorView};
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Command;

const IMAGE: usize = 8 * 8 * 3;

fn sample(case: &Case, args: &[&str]) -> Command {
    let mut command = dis(["sample"]);
    command.arg(case.run_dir()).args(args);
    command
}

/// `arr_0` of the images that the arguments draw.
#[track_caller]
pub(super) fn archive(case: &Case, name: &str, args: &[&str]) -> Vec<u8> {
    let file = case.path(&format!("{name}.npz"));
    let mut command = sample(case, args);
    command.arg("--out").arg(&file);
    let stdout = finish(command).succeeds().stdout;
    let grid = case.path(&format!("{name}.grid.png"));
    for path in [&file, &grid] {
        assert!(path.is_file() && stdout.contains(&path.display().to_string()), "{stdout}");
    }
    let mut zip = zip::ZipArchive::new(fs::File::open(file).unwrap()).unwrap();
    let mut bytes = Vec::new();
    zip.by_name("arr_0.npy").unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

/// File of `count` start noises.
fn write_noise(file: &Path, count: usize, amplitude: f32) {
    let bytes: Vec<u8> = (0..count * IMAGE)
        .flat_map(|i| (amplitude * (i as f32 * 0.7).sin()).to_le_bytes())
        .collect();
    let noise = TensorView::new(Dtype::F32, vec![count, 3, 8, 8], &bytes).unwrap();
    fs::write(file, safetensors::serialize([("noise", noise)], None).unwrap()).unwrap();
}

/// Away from itself a network is not led anywhere; away from its weights of another step it is.
#[test]
fn a_weaker_network_guides() {
    let case = Case::trained(&["train.steps=3"]);
    let weak = case.checkpoint(3).join("model.safetensors");
    let (run, weak) = (case.run_dir(), weak.to_str().unwrap().to_owned());
    let run = run.to_str().unwrap();
    let plain = archive(&case, "plain", &["--count", "2", "--guidance", "1"]);
    let guided = ["--count", "2", "--guidance", "3", "--weak-model"];
    let itself = archive(&case, "itself", &[&guided[..], &[run]].concat());
    assert!(itself == plain, "guidance by itself changed the images");
    let other = archive(&case, "other", &[&guided[..], &[&weak]].concat());
    assert!(other != plain, "guidance by other weights changed nothing");
}

#[test]
fn images_depend_on_seed_and_number_alone() {
    let case = Case::trained(&[]);
    let two = archive(&case, "two", &["--count", "5", "--batch", "2"]);
    let five = archive(&case, "five", &["--count", "5", "--batch", "5"]);
    assert!(two == five, "the batch size changed the images");
    assert!(String::from_utf8_lossy(&two).contains("(5, 8, 8, 3)"));
    let images = &two[two.len() - 5 * IMAGE..];
    for (i, image) in images.chunks(IMAGE).enumerate() {
        assert!(images.chunks(IMAGE).skip(i + 1).all(|other| other != image), "image {i} twice");
    }
    // More images begin with the same ones.
    let seven = archive(&case, "seven", &["--count", "7", "--batch", "4"]);
    assert_eq!(seven[seven.len() - 7 * IMAGE..][..5 * IMAGE], *images);

    let ddpm = ["--count", "5", "--sampler", "ddpm", "--steps", "5", "--batch"];
    let [a, b] = ["1", "5"].map(|batch| archive(&case, batch, &[&ddpm[..], &[batch]].concat()));
    assert!(a == b && a != five, "DDPM");

    for args in [&["--seed", "1"][..], &["--weights", "model"], &["--classes", "3"]] {
        let other = archive(&case, "other", &[&["--count", "5"], args].concat());
        assert!(other.len() == five.len() && other != five, "{args:?} changes nothing");
    }
}

#[test]
fn a_folder_gets_pictures_a_grid_and_a_trajectory() {
    let case = Case::trained(&["train.steps=6"]);
    let folder = case.path("pictures");
    let mut command = sample(&case, &["--count", "3", "--trajectory"]);
    command.arg("--out").arg(&folder);
    let stdout = finish(command).succeeds().stdout;
    let files: BTreeMap<String, (u32, u32)> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let size = image::image_dimensions(entry.path()).unwrap();
            (entry.file_name().into_string().unwrap(), size)
        })
        .collect();
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    assert_eq!(names, ["000000.png", "000001.png", "000002.png", "grid.png", "trajectory.png"]);
    assert_eq!(files["000002.png"], (8, 8));
    // Four states of three images.
    let (width, height) = files["trajectory.png"];
    assert!(width.max(height) >= 32 && width.min(height) >= 24, "{width}x{height}");
    assert!(stdout.contains("grid.png") && stdout.contains("trajectory.png"), "{stdout}");

    // The pictures are those of the archive.
    let bytes = archive(&case, "same", &["--count", "3"]);
    let picture = image::open(folder.join("000002.png")).unwrap().to_rgb8();
    assert_eq!(picture.as_raw(), &bytes[bytes.len() - IMAGE..]);
}

#[test]
fn without_out_samples_lie_in_the_run_directory() {
    let case = Case::trained(&["train.steps=3"]);
    finish(sample(&case, &["--count", "1", "--seed", "7"])).succeeds();
    assert!(case.run_dir().join("samples/seed-7/000000.png").is_file());
}

#[test]
fn given_noise_takes_the_place_of_the_seed() {
    let case = Case::trained(&["train.steps=3"]);
    let [a, b] = [("a", 1.0), ("b", 0.5)].map(|(name, amplitude)| {
        let file = case.path(&format!("{name}.safetensors"));
        write_noise(&file, 3, amplitude);
        file.display().to_string()
    });
    let draw = |name, noise: &str, seed| {
        archive(&case, name, &["--count", "3", "--batch", "2", "--noise", noise, "--seed", seed])
    };
    let first = draw("first", &a, "0");
    assert!(first == draw("seed", &a, "1"), "the seed changed images of given noise");
    assert!(first != draw("other", &b, "0"), "the noise changed nothing");
    assert!(first != archive(&case, "own", &["--count", "3"]), "the noise was not used");

    let few = sample(&case, &["--count", "4", "--noise", &a]);
    finish(few).refuses(65, &["`noise` is [3, 3, 8, 8]", "[4, 3, 8, 8]"]);
}
