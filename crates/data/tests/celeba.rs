//! CelebA: parts, the crop, and lists that do not fit.

mod common;

use common::{ZipMember, write, zip_of};
use data::{
    Celeba, CelebaPart, DataError, Dataset, Filter, ImageFiles, ImageSource, Preparation, Raster,
    Visit, resize, signed_unit,
};
use image::{Rgb, RgbImage};
use std::path::Path;
use tempfile::TempDir;

const VISIT: Visit = Visit { seed: 0, position: 0 };

/// As lossless as tests need: the content decides the format, and so PNG may be called JPEG.
fn face(width: u32, height: u32, shift: u32) -> Vec<u8> {
    let image = RgbImage::from_fn(width, height, |x, y| {
        Rgb([x as u8, y as u8, (x * y / 16 + shift) as u8])
    });
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png).expect("an encoded image");
    bytes.into_inner()
}

const LIST: &str = "000001.jpg 0\n000002.jpg 0\n000003.jpg 1\n000004.jpg 2\r\n\n";

fn names(set: &Celeba) -> Vec<String> {
    let short = |name: String| {
        let path = name.split(", at").next().unwrap_or_default().to_owned();
        path.rsplit('/').next().unwrap_or_default().to_owned()
    };
    (0..set.len()).map(|index| short(set.sample_name(index))).collect()
}

/// The same images in every way that they may lie.
#[test]
fn zip_or_folder() {
    let layouts: [fn(&TempDir); 3] = [
        |folder| {
            for i in 1..=4 {
                let name = format!("img_align_celeba/00000{i}.jpg");
                write(folder, &name, &face(178, 218, i));
            }
            write(folder, "img_align_celeba/readme.txt", b"");
            write(folder, "list_eval_partition.txt", LIST.as_bytes());
        },
        |folder| {
            for i in 1..=4 {
                write(folder, &format!("00000{i}.jpg"), &face(178, 218, i));
            }
            write(folder, "list_eval_partition.txt", LIST.as_bytes());
        },
        |folder| {
            let member =
                |i| ZipMember::new(&format!("img_align_celeba/00000{i}.jpg"), &face(178, 218, i));
            let mut members: Vec<_> = (1..=4).rev().map(member).collect();
            members.push(ZipMember::new("__MACOSX/img_align_celeba/._000001.jpg", b"x"));
            write(folder, "Img/img_align_celeba.zip", &zip_of(&members));
            write(folder, "Eval/list_eval_partition.txt", LIST.as_bytes());
        },
    ];
    for layout in layouts {
        let folder = TempDir::new().unwrap();
        layout(&folder);
        let train = Celeba::open(folder.path(), CelebaPart::Train).unwrap();
        assert_eq!(names(&train), ["000001.jpg", "000002.jpg"]);
        let test = Celeba::open(folder.path(), CelebaPart::Test).unwrap();
        assert_eq!(names(&test), ["000004.jpg"]);
        let valid = Celeba::open(folder.path(), CelebaPart::Validation).unwrap();
        assert_eq!((names(&valid), valid.num_classes()), (vec!["000003.jpg".into()], 0));
        let mut bytes = Vec::new();
        train.read(1, &mut bytes).unwrap();
        assert_eq!(bytes, face(178, 218, 2));
    }
}

/// Columns 25 to 152 and rows 57 to 184.
#[test]
fn the_crop_is_around_the_face() {
    let folder = TempDir::new().unwrap();
    write(&folder, "000001.jpg", &face(178, 218, 0));
    write(&folder, "list_eval_partition.txt", b"000001.jpg 0");
    let open = |size| {
        let source = Celeba::open(folder.path(), CelebaPart::Train).unwrap();
        ImageFiles::new(source, Preparation::CelebaFace { size }).unwrap()
    };
    let mut whole = vec![0.0; 3 * 128 * 128];
    open(128).load(0, VISIT, &mut whole).unwrap();
    for (i, &value) in whole.iter().enumerate() {
        let (channel, y, x) = (i / 16384, i / 128 % 128 + 57, i % 128 + 25);
        let expected = [x as u8, y as u8, (x * y / 16) as u8][channel];
        assert_eq!(value, signed_unit(expected), "channel {channel}, row {y}, column {x}");
    }
    let pixels = (0..128 * 128 * 3).map(|i| {
        let (y, x) = (i / 384 + 57, i / 3 % 128 + 25);
        [x as u8, y as u8, (x * y / 16) as u8][i % 3]
    });
    let half = resize(&Raster::new(128, 128, 3, pixels.collect()), 64, 64, Filter::Bilinear);
    let mut out = vec![0.0; 3 * 64 * 64];
    let set = open(64);
    set.load(0, VISIT, &mut out).unwrap();
    for (i, &value) in out.iter().enumerate() {
        assert_eq!(value, signed_unit(half.pixels()[i % 4096 * 3 + i / 4096]));
    }
    let probe = set.probe(0).unwrap();
    assert_eq!((probe.width, probe.height), (178, 218));
}

#[test]
fn other_sizes_are_refused() {
    let folder = TempDir::new().unwrap();
    write(&folder, "000001.jpg", &face(178, 217, 0));
    write(&folder, "list_eval_partition.txt", b"000001.jpg 0");
    let source = Celeba::open(folder.path(), CelebaPart::Train).unwrap();
    let set = ImageFiles::new(source, Preparation::CelebaFace { size: 64 }).unwrap();
    let error = set.probe(0).unwrap_err().to_string();
    assert!(error.contains("000001.jpg: 178x217 pixels, expected 178x218"), "{error}");
}

#[test]
fn lists_that_do_not_fit() {
    let folder = TempDir::new().unwrap();
    let open = |folder: &Path| Celeba::open(folder, CelebaPart::Train).unwrap_err();
    for i in 1..=2 {
        write(&folder, &format!("00000{i}.jpg"), b"");
    }
    let missing = open(folder.path());
    assert!(
        matches!(&missing, DataError::Missing { expected: "list_eval_partition.txt", .. }),
        "{missing}"
    );
    for (list, reason) in [
        ("000001.jpg 0", "content is none for 000002.jpg"),
        ("000001.jpg 0\n000002.jpg 0\n000003.jpg 0", "line 3 is 000003.jpg"),
        ("000001.jpg 0\n000001.jpg 0", "line 2 is 000001.jpg again"),
        ("000001.jpg 0\n000002.jpg 3", "line 2 is 000002.jpg 3, expected a name and 0, 1 or 2"),
        ("000001.jpg 0 0", "line 1 is"),
        ("000001.jpg", "line 1 is"),
        ("000001.jpg 1\n000002.jpg 2", "number of images of part 0 (Train) is 0"),
    ] {
        write(&folder, "list_eval_partition.txt", list.as_bytes());
        let error = open(folder.path());
        assert!(
            matches!(error, DataError::Field { .. }) && error.to_string().contains(reason),
            "{error}"
        );
    }
    let empty = TempDir::new().unwrap();
    write(&empty, "list_eval_partition.txt", b"");
    assert!(matches!(open(empty.path()), DataError::Missing { .. }));

    let twice = TempDir::new().unwrap();
    let members = ["a/000001.jpg", "b/000001.jpg"].map(|name| ZipMember::new(name, b""));
    write(&twice, "img_align_celeba.zip", &zip_of(&members));
    write(&twice, "list_eval_partition.txt", b"000001.jpg 0");
    assert!(open(twice.path()).to_string().contains("two images have this name"));
}
