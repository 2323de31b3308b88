//! Latents: images encoded, trained on, and decoded again.

use super::{Case, Running, dis, finish};
use rustix::process::Signal;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use vae::VaeConfig;
use vae::weights::{random, write_folder};

/// Twelve steps of a small network on latents 4x8x8 of images 16x16.
const LATENTS: [&str; 12] = [
    "data.kind=latents",
    "data.image_size=8",
    "data.flip=true",
    "model.channels=4",
    "model.hidden_size=16",
    "model.depth=2",
    "train.batch_size=4",
    "train.steps=12",
    "train.warmup_steps=2",
    "train.log_every=3",
    "train.checkpoint_every=4",
    "vae.latent_scale=0.5",
];

/// An autoencoder that makes four pixels one, its weights random.
fn autoencoder() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let config = VaeConfig {
            block_out_channels: vec![8, 16],
            layers_per_block: 1,
            norm_num_groups: 4,
            ..VaeConfig::stable_diffusion()
        };
        write_folder(folder.path(), &config, &random(&config, 0)).unwrap();
        folder
    });
    folder.path()
}

/// An experiment on the latents of `count` generated images, with changes.
fn experiment(count: u32, changes: &[&str]) -> Case {
    let vae = format!("vae.path={}", autoencoder().display());
    let count = format!("encode.count={count}");
    let source = ["encode.kind=shapes", &count, "encode.image_size=16", &vae];
    let previews = ["train.sample_every=6", "sample.steps=4", "sample.count=4"];
    let mut case = Case::with(LATENTS.iter().chain(&previews).chain(&source).copied());
    case.sets.push(format!("data.path={}", case.path("cache").display()));
    case.sets.extend(changes.iter().map(|change| change.to_string()));
    case
}

/// `dis encode` of a case in shards of `shard` images.
fn encode(case: &Case, shard: u32, more: &[&str]) -> std::process::Command {
    let mut command = dis(["encode"]);
    command.arg(case.path("quickstart.toml")).args(["--shard-size", &shard.to_string()]);
    for set in &case.sets {
        command.args(["--set", set]);
    }
    command.args(more);
    command
}

/// The hash that `dis encode` prints.
fn hash_of(case: &Case, shard: u32) -> String {
    let ended = finish(encode(case, shard, &[])).succeeds();
    let (_, hash) = ended.stdout.trim().rsplit_once("index hash ").expect("a hash is printed");
    assert_eq!(hash.len(), 64);
    hash.to_string()
}

fn shards(cache: &Path) -> usize {
    let Ok(entries) = fs::read_dir(cache) else { return 0 };
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".safetensors")).count()
}

/// Encodes, and kills that once there are so many shards.
fn encode_and_kill(case: &Case, shard: u32, enough: usize) {
    let mut command = encode(case, shard, &[]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut running = Running(command.spawn().unwrap());
    let (start, cache) = (Instant::now(), case.path("cache"));
    while shards(&cache) < enough {
        assert_eq!(running.0.try_wait().unwrap(), None, "it ended with {} shards", shards(&cache));
        assert!(start.elapsed() < super::PATIENCE, "not {enough} shards");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(running.end_by(Signal::KILL), Err(9));
}

#[test]
fn a_cache_killed_three_times_is_the_cache_made_at_once() {
    let (whole, parts) = (experiment(1200, &[]), experiment(1200, &[]));
    let expected = hash_of(&whole, 20);
    for enough in [3, 11, 30] {
        encode_and_kill(&parts, 20, enough);
        assert!(!parts.path("cache/index.json").exists(), "under construction");
    }
    finish(parts.train(&[])).refuses(65, &["not complete", "of 60 shards"]);
    assert_eq!(hash_of(&parts, 20), expected);
    assert_eq!(hash_of(&parts, 20), expected, "nothing is left to do");
    assert_eq!(shards(&parts.path("cache")), 60);
    let other = experiment(1200, &["data.flip=false"]);
    assert_ne!(hash_of(&other, 20), expected);
}

#[test]
fn training_on_latents_resumes_and_its_previews_and_samples_are_pixels() {
    let (whole, parts) = (experiment(64, &[]), experiment(64, &[]));
    assert_eq!(hash_of(&whole, 32), hash_of(&parts, 32));
    finish(whole.train(&[])).succeeds();
    finish(parts.train(&["--max-steps", "5"])).succeeds();
    finish(parts.train(&[])).succeeds();
    parts.bits().assert_equal(&whole.bits());
    let preview = whole.run_dir().join("samples/step-000000012.png");
    // Two rows of two images of 16x16 pixels, enlarged to 64x64, and gaps of two pixels.
    assert_eq!(image::image_dimensions(preview).unwrap(), (134, 134));

    let out = whole.path("drawn");
    let mut command = dis(["sample"]);
    command.arg(whole.run_dir()).args(["--count", "3", "--trajectory", "--out"]).arg(&out);
    finish(command).succeeds();
    assert_eq!(image::image_dimensions(out.join("000002.png")).unwrap(), (16, 16));
    assert!(out.join("trajectory.png").exists());
}

#[test]
fn one_flip_is_not_enough_for_flips() {
    let case = experiment(8, &["data.flip=false"]);
    hash_of(&case, 8);
    finish(case.train(&[])).succeeds();
    let mut flipped = experiment(8, &[]);
    flipped.sets.push(format!("data.path={}", case.path("cache").display()));
    finish(flipped.train(&[])).refuses(2, &["mirrored", "help: "]);
}

/// A folder of eight images, one of which is cut short.
fn broken_images() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    for i in 0..8u8 {
        let image = image::RgbImage::from_fn(20, 20, |x, y| image::Rgb([x as u8, y as u8, i]));
        image.save(folder.path().join(format!("{i}.png"))).unwrap();
    }
    let broken = folder.path().join("5.png");
    let bytes = fs::read(&broken).unwrap();
    fs::write(&broken, &bytes[..bytes.len() / 2]).unwrap();
    (folder, broken)
}

#[test]
fn broken_images_stop_the_encoding_unless_they_are_skipped() {
    let (folder, broken) = broken_images();
    let path = format!("encode.path={}", folder.path().display());
    let mut case = experiment(8, &["model.num_classes=0", "guidance.guidance_scale=1.0"]);
    case.sets.retain(|set| !set.starts_with("encode.count") && !set.starts_with("encode.kind"));
    case.sets.extend(["encode.kind=image_folder".to_string(), path]);
    let stopped = finish(encode(&case, 4, &[]));
    stopped.refuses(65, &[&broken.display().to_string(), "--skip-broken"]);

    let ended = finish(encode(&case, 4, &["--skip-broken"])).succeeds();
    assert!(ended.stderr.contains(&broken.display().to_string()), "{}", ended.stderr);
    assert!(ended.stderr.contains("1 images could not be read"), "{}", ended.stderr);
    let mut verify = dis(["data", "verify"]);
    verify.arg(case.path("cache"));
    let page = finish(verify).succeeds().stdout;
    assert!(page.contains("7 samples in 2 shards"), "{page}");
    // Equal samples again, encoded alone, are the same bits; the check at the end has seen to it.
    finish(case.train(&[])).succeeds();
}

#[test]
fn what_cannot_become_latents_is_refused_before_anything_is_written() {
    let case = experiment(8, &[]);
    let refuse = |change: &str, code, words: &[&str]| {
        finish(encode(&case, 8, &["--set", change])).refuses(code, words);
        assert!(!case.path("cache").exists(), "{change}");
    };
    refuse("vae.path=nowhere", 65, &["nowhere", "no such autoencoder"]);
    refuse("encode.image_size=32", 2, &["encode.image_size is 32, expected 16"]);
    refuse("model.channels=5", 2, &["model.channels is 5, expected 4"]);
    refuse("model.num_classes=3", 2, &["model.num_classes is 3, expected 0 or 4"]);
    let config = case.path("quickstart.toml");
    let pixels = finish(dis([std::ffi::OsStr::new("encode"), config.as_os_str()]));
    pixels.refuses(2, &["data.kind is \"shapes\", expected \"latents\""]);
    finish(dis(["encode", "nowhere.toml"])).refuses(2, &["no such experiment file"]);

    let cut = case.path("cut.safetensors");
    let weights = autoencoder().join("diffusion_pytorch_model.safetensors");
    let bytes = fs::read(weights).unwrap();
    fs::write(&cut, &bytes[..bytes.len() - 10]).unwrap();
    refuse(&format!("vae.path={}", cut.display()), 65, &[&cut.display().to_string()]);
}

/// A folder of images in two classes, of the given shade.
fn shaded(shade: u8) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for class in ["a", "b"] {
        fs::create_dir(folder.path().join(class)).unwrap();
        for i in 0..4u8 {
            let image = image::RgbImage::from_pixel(16, 16, image::Rgb([shade, 10 * i, 0]));
            image.save(folder.path().join(class).join(format!("{i}.png"))).unwrap();
        }
    }
    folder
}

/// [`experiment`] on a folder of images with two classes.
fn of_folder(folder: &Path) -> Case {
    let mut case = experiment(8, &["model.num_classes=2", "encode.kind=image_folder"]);
    case.sets.retain(|set| !set.starts_with("encode.count") && set != "encode.kind=shapes");
    case.sets.push(format!("encode.path={}", folder.display()));
    case
}

#[test]
fn a_cache_is_gone_on_with_from_the_same_images_alone() {
    let (images, others) = (shaded(50), shaded(51));
    let case = of_folder(images.path());
    let hash = hash_of(&case, 4);
    fs::remove_file(case.path("cache/latents-00001.safetensors")).unwrap();
    let from =
        |folder: &Path| encode(&case, 4, &["--set", &format!("encode.path={}", folder.display())]);
    finish(from(others.path())).refuses(2, &["source", "index.json"]);
    // The same images with a label changed.
    fs::rename(images.path().join("b/0.png"), images.path().join("a/9.png")).unwrap();
    finish(from(images.path())).refuses(2, &["source"]);
    fs::rename(images.path().join("a/9.png"), images.path().join("b/0.png")).unwrap();
    assert_eq!(hash_of(&case, 4), hash);

    fs::remove_file(case.path("cache/index.json")).unwrap();
    finish(from(images.path())).refuses(65, &["no index.json", "would be overwritten"]);
    let inside = format!("data.path={}", images.path().join("cache").display());
    finish(encode(&case, 4, &["--set", &inside])).refuses(2, &["inside of encode.path"]);
}

#[test]
fn the_mirrored_encoding_is_that_of_the_mirrored_image() {
    use data::latents::{Flip, LatentCache, LatentCacheOptions, LatentScaling};
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let image = image::RgbImage::from_fn(16, 16, |x, y| image::Rgb([9 * x as u8, y as u8, 7]));
    let mirrored = image::imageops::flip_horizontal(&image);
    let [plain, other] = [(&folders[0], image), (&folders[1], mirrored)].map(|(folder, image)| {
        for class in ["a", "b"] {
            fs::create_dir(folder.path().join(class)).unwrap();
            image.save(folder.path().join(class).join("0.png")).unwrap();
        }
        let case = of_folder(folder.path());
        hash_of(&case, 2);
        let options = LatentCacheOptions { scaling: LatentScaling::constant(1.0), flip: true };
        LatentCache::open(&case.path("cache"), &options).unwrap()
    });
    let moments = |cache: &LatentCache, flip| cache.moments(0, flip).unwrap();
    assert_eq!(moments(&plain, Flip::Horizontal), moments(&other, Flip::None));
    assert_ne!(moments(&plain, Flip::None), moments(&other, Flip::None));
    use data::Dataset;
    let mut drawn = vec![0.0; plain.shape().len()];
    let visit = data::Visit { seed: 0, position: 0 };
    assert_eq!(plain.load(1, visit, &mut drawn).unwrap(), 1);
}

#[test]
fn a_start_that_is_refused_leaves_no_run() {
    let images = shaded(50);
    let case = of_folder(images.path());
    hash_of(&case, 8);
    finish(case.train(&["--set", "model.num_classes=3"])).refuses(2, &["2 classes"]);
    assert!(!case.run_dir().exists());
    let other = case.path("vae");
    let config = VaeConfig {
        block_out_channels: vec![8, 16],
        layers_per_block: 1,
        norm_num_groups: 4,
        ..VaeConfig::stable_diffusion()
    };
    write_folder(&other, &config, &random(&config, 1)).unwrap();
    let ended = finish(case.train(&["--set", &format!("vae.path={}", other.display())])).succeeds();
    assert!(ended.stderr.contains("not the autoencoder that made"), "{}", ended.stderr);
    assert!(ended.stderr.contains("the experiment Constant"), "{}", ended.stderr);
}

/// Means and log standard deviations of every image and its mirror image.
#[cfg(feature = "emulated")]
fn moments(case: &Case) -> [Vec<f32>; 2] {
    use data::latents::{Flip, LatentCache, LatentCacheOptions, LatentScaling};
    let options = LatentCacheOptions { scaling: LatentScaling::constant(1.0), flip: true };
    let cache = LatentCache::open(&case.path("cache"), &options).unwrap();
    let [mut mean, mut logstd] = [Vec::new(), Vec::new()];
    for index in 0..cache.index().len() {
        for flip in [Flip::None, Flip::Horizontal] {
            let moments = cache.moments(index, flip).unwrap();
            mean.extend(moments.mean);
            logstd.extend(moments.logstd);
        }
    }
    [mean, logstd]
}

#[cfg(feature = "emulated")]
#[test]
fn a_device_encodes_and_decodes_what_the_cpu_does() {
    use super::sampling::archive;
    let cpu = experiment(6, &[]);
    hash_of(&cpu, 6);
    finish(cpu.train(&[])).succeeds();
    let expected = moments(&cpu);
    let drawn = archive(&cpu, "cpu", &["--count", "2"]);
    let f32 = ["--device", "emulated", "--precision", "f32"];
    // Half precision on the disk is 5e-4 of a number.
    for (flags, bar, most) in [(&f32[..], 1e-3, 1), (&f32[..2], 5e-2, 24)] {
        let there = experiment(6, &[]);
        finish(encode(&there, 6, flags)).succeeds();
        for (there, expected) in moments(&there).iter().zip(&expected) {
            let largest = expected.iter().fold(0f32, |m, x| m.max(x.abs()));
            let error = there.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
            assert!(there.len() == expected.len() && error <= bar * largest, "{flags:?}: {error}");
        }
        let pixels = archive(&cpu, "there", &[&["--count", "2"], flags].concat());
        let found = pixels.iter().zip(&drawn).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(pixels.len() == drawn.len() && found <= Some(most), "{flags:?}: {found:?}");
    }
}
