//! Data sets that are looked at, whole and broken.

use super::{Ended, dis_data};
use image::{DynamicImage, GrayImage, ImageFormat, Rgb, RgbImage};
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A folder to make data sets in.
struct Case {
    folder: TempDir,
}

impl Case {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn check(&self, args: &[&str]) -> Ended {
        dis_data(self.folder.path(), [&["check"], args].concat())
    }

    /// Two classes: five red images of 40x30 as PNG, and as JPEG a blue and a grey one of 16x16.
    fn two_classes() -> Self {
        let case = Self::new();
        for i in 0..5 {
            case.write(&format!("set/ripe/{i}.png"), &plain(40, 30, [250, 0, 0], ImageFormat::Png));
        }
        case.write("set/sour/a.jpg", &plain(16, 16, [0, 0, 250], ImageFormat::Jpeg));
        let grey = DynamicImage::from(GrayImage::from_pixel(16, 16, image::Luma([128])));
        case.write("set/sour/b.jpg", &encoded(&grey, ImageFormat::Jpeg));
        case
    }
}

/// An image of one colour.
fn plain(width: u32, height: u32, colour: [u8; 3], format: ImageFormat) -> Vec<u8> {
    encoded(&RgbImage::from_pixel(width, height, Rgb(colour)).into(), format)
}

fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

#[track_caller]
fn has_lines(text: &str, lines: &[&str]) {
    for line in lines {
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.lines().any(|l| words(l) == words(line)), "no {line:?} in\n{text}");
    }
}

/// Colour in the middle of the image at a place of the picture, of images of 64 pixels.
fn shown(picture: &Path, column: u32, row: u32) -> [u8; 3] {
    let picture = image::open(picture).unwrap().into_rgb8();
    picture.get_pixel(2 + 66 * column + 32, 2 + 66 * row + 32).0
}

#[test]
fn a_folder_is_counted_by_size_format_and_class_and_shown() {
    let case = Case::two_classes();
    let ended = case.check(&["set"]).succeeds();
    has_lines(
        &ended.stdout,
        &[
            "set: image_folder, 7 samples, 2 classes",
            "sizes 40x30 5 71.4 %",
            "16x16 2 28.6 %",
            "stored as PNG RGB 5 71.4 %",
            "JPEG RGB 1 14.3 %",
            "JPEG grey 1 14.3 %",
            "classes 0 ripe 5 ########################################",
            "1 sour 2 ################",
            "broken none",
            "wrote check-image_folder.png",
        ],
    );
    let picture = case.path("check-image_folder.png");
    assert_eq!(image::image_dimensions(&picture).unwrap(), (5 * 66 + 2, 2 * 66 + 2));
    let ([r, g, b], blue) = (shown(&picture, 4, 0), shown(&picture, 0, 1));
    assert!(r > 240 && g < 10 && b < 10, "{r} {g} {b}");
    assert!(blue[2] > 240 && blue[0] < 10, "{blue:?}");
    assert_eq!(shown(&picture, 2, 1), [255; 3], "a class of two");
}

#[test]
fn broken_images_are_named_listed_and_end_with_65() {
    let case = Case::two_classes();
    let png = plain(40, 30, [1, 2, 3], ImageFormat::Png);
    case.write("set/ripe/2.png", &png[..png.len() / 2]);
    case.write("set/sour/0.jpg", b"");
    let ended = case.check(&["set", "--broken", "list.txt", "--grid", "some.png"]);
    ended.refuses(65, &["set: 2 broken images, 6 whole ones", "--skip-broken"]);
    has_lines(
        &ended.stdout,
        &["broken 2", "classes 0 ripe 4 ########################################"],
    );
    let list = fs::read_to_string(case.path("list.txt")).unwrap();
    for text in [&ended.stdout, &list] {
        let line = |name: &str| text.lines().find(|line| line.contains(name)).unwrap().to_string();
        assert!(line("set/ripe/2.png").trim_start().starts_with("2 "), "{text}");
        assert!(line("set/sour/0.jpg").contains("empty"), "{text}");
    }
    assert_eq!(list.lines().count(), 2);
    assert!(case.path("some.png").exists() && !case.path("check-image_folder.png").exists());
    let skipped = case.check(&["set", "--skip-broken"]).succeeds();
    has_lines(&skipped.stdout, &["broken 2"]);
    for flag in ["--grid", "--broken"] {
        let nowhere = case.check(&["set", flag, "no/such.png"]);
        nowhere.refuses(74, &["cannot write no/such.png"]);
        assert_eq!(nowhere.stdout, "", "nothing was decoded");
    }
}

#[test]
fn many_broken_images_are_counted_and_the_file_has_them_all() {
    let case = Case::new();
    for i in 0..50 {
        case.write(&format!("set/{i:02}.png"), b"no image");
    }
    let ended = case.check(&["set", "--broken", "list.txt"]);
    ended.refuses(65, &["50 broken images, 0 whole"]);
    has_lines(&ended.stdout, &["set: image_folder, 50 samples, no classes", ".. and 30 more"]);
    assert_eq!(ended.stdout.matches(".png").count(), 20, "{}", ended.stdout);
    let list = fs::read_to_string(case.path("list.txt")).unwrap();
    let names: Vec<bool> =
        (0..50).zip(list.lines()).map(|(i, l)| l.contains(&format!("{i:02}.png"))).collect();
    assert_eq!(names, [true; 50]);
    assert!(!case.path("check-image_folder.png").exists());
}

#[test]
fn classes_beyond_a_screen_are_those_with_most_and_fewest() {
    let case = Case::new();
    // 300 samples of 256 classes: 44 classes of two.
    let records: Vec<u8> = (0..300_usize).map(|i| (i % 256) as u8).collect();
    let npz = npz(&[
        ("arr_0.npy", npy("|u1", "(300, 2, 2, 3)", &[7; 300 * 12])),
        ("arr_1.npy", npy("|u1", "(300,)", &records)),
    ]);
    case.write("set.npz", &npz);
    let ended = case.check(&["set.npz"]).succeeds();
    has_lines(
        &ended.stdout,
        &[
            "set.npz: array, 300 samples, 256 classes",
            "classes 0 2 ########################################",
            ".. 232 classes of 1 to 2 ..",
            "255 1 ####################",
        ],
    );
    assert_eq!(ended.stdout.lines().filter(|line| line.contains('#')).count(), 24);
    assert_eq!(image::image_dimensions(case.path("check-array.png")).unwrap().1, 16 * 66 + 2);
}

#[test]
fn shards_and_official_files_are_told_by_their_names() {
    let case = Case::two_classes();
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_dir_all("train", case.path("set")).unwrap();
    case.write("shards/a.tar", &tar.into_inner().unwrap());
    let ended = case.check(&["shards"]).succeeds();
    has_lines(&ended.stdout, &["shards: webdataset, 7 samples, 2 classes"]);
    case.write("cifar/data_batch_1.bin", &[vec![3], vec![128; 3072]].concat());
    let ended = case.check(&["cifar"]).succeeds();
    has_lines(&ended.stdout, &["cifar: cifar10, 1 samples, 10 classes", "stored as RGB 1 100.0 %"]);
    case.check(&["cifar", "--part", "test"]).refuses(65, &["test_batch.bin"]);
    case.check(&["shards", "--part", "test"]).refuses(2, &["--part test", "webdataset"]);
}

#[test]
fn celeba_is_checked_a_part_at_a_time() {
    let case = Case::new();
    for i in 1..4 {
        let face = plain(178, 218, [10, 200, 10], ImageFormat::Jpeg);
        case.write(&format!("faces/img_align_celeba/00000{i}.jpg"), &face);
    }
    let list = b"000001.jpg 0\n000002.jpg 0\n000003.jpg 2\n";
    case.write("faces/list_eval_partition.txt", list);
    let ended = case.check(&["faces"]).succeeds();
    has_lines(&ended.stdout, &["faces: celeba, 2 samples, no classes", "sizes 178x218 2 100.0 %"]);
    let ended = case.check(&["faces", "--part", "test"]).succeeds();
    has_lines(&ended.stdout, &["faces: celeba, 1 samples, no classes"]);
}

#[test]
fn paths_and_flags_that_are_wrong() {
    let case = Case::two_classes();
    case.check(&["nowhere"]).refuses(65, &["nowhere"]);
    case.write("notes.txt", b"");
    case.check(&["notes.txt"]).refuses(2, &["notes.txt", ".safetensors"]);
    case.check(&["set", "--grid", "x.gif"]).refuses(2, &["--grid", ".png"]);
    case.check(&["set", "--size", "0"]).refuses(2, &["size of images is 0"]);
    case.check(&["set", "--kind", "cifar10"]).refuses(65, &["data_batch_1.bin"]);
    case.write("none/readme.txt", b"");
    case.check(&["none"]).refuses(65, &["none", "image"]);
}

#[test]
#[allow(clippy::print_stdout, reason = "a skipped test says so")]
fn real_photographs_where_they_are() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    if !data.is_dir() {
        println!("skipped: no {}", data.display());
        return;
    }
    let case = Case::new();
    let exact = case.check(&[&data.join("cifar10-subset").display().to_string()]).succeeds();
    assert!(exact.stdout.contains("cifar10, 5,170 samples, 10 classes"), "{}", exact.stdout);
    let shard = data.join("cifar10-jpeg/test-0000.tar").display().to_string();
    let lossy = case.check(&[&shard]).succeeds();
    has_lines(&lossy.stdout, &["stored as JPEG RGB 10,000 100.0 %", "broken none"]);
    assert!(lossy.stdout.lines().any(|l| l.contains("9 truck") && l.contains("1,000")));
}

/// An npy file.
fn npy(kind: &str, shape: &str, bytes: &[u8]) -> Vec<u8> {
    let mut header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}");
    header += &" ".repeat(63 - (10 + header.len()) % 64);
    header.push('\n');
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.as_bytes());
    file.extend(bytes);
    file
}

/// A zip file with stored members.
fn npz(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let stored =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in members {
        zip.start_file(*name, stored).unwrap();
        std::io::Write::write_all(&mut zip, bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}
