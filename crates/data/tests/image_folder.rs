//! Folders of images: classes, formats, and files that are broken.

use data::{
    DataError, Dataset, ImageFiles, ImageFolder, Preparation, Raster, Visit, centre_crop,
    read_image, signed_unit,
};
use image::{DynamicImage, GrayAlphaImage, GrayImage, ImageFormat, Rgb, RgbImage, RgbaImage};
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const VISIT: Visit = Visit { seed: 0, position: 0 };

/// Slopes, so that JPEG keeps them nearly.
fn slopes(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([(x * 3) as u8, (y * 3) as u8, (x + y) as u8]))
}

fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).expect("an encoded image");
    bytes.into_inner()
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let file = folder.join(name);
    fs::create_dir_all(file.parent().expect("a parent")).expect("a temporary folder");
    fs::write(&file, bytes).expect("a temporary file");
    file
}

fn open(folder: impl AsRef<Path>, size: usize) -> Result<ImageFiles<ImageFolder>, DataError> {
    ImageFiles::new(ImageFolder::open(folder)?, Preparation::CentreCrop { size })
}

fn load(set: &ImageFiles<ImageFolder>, index: u64) -> (Vec<f32>, u32) {
    let mut out = vec![f32::NAN; set.shape().len()];
    let label = set.load(index, VISIT, &mut out).expect("a good image");
    (out, label)
}

#[test]
fn folders_are_classes() {
    let folder = TempDir::new().unwrap();
    let png = encoded(slopes(40, 50), ImageFormat::Png);
    for name in
        ["zebra/b.png", "zebra/a.PNG", "ant/10.png", "ant/9.png", "Bee/x.jpeg", ".git/x.png"]
    {
        write(folder.path(), name, &png);
    }
    write(folder.path(), "ant/notes.txt", b"not an image");
    write(folder.path(), "labels.csv", b"not an image");
    let set = open(folder.path(), 8).unwrap();
    let files: Vec<_> = (0..set.len())
        .map(|i| {
            let name = set.sample_name(i);
            let name = name.strip_prefix(folder.path().to_str().unwrap()).unwrap();
            (name[1..].to_owned(), load(&set, i).1)
        })
        .collect();
    // Byte order: capitals first, and "10" before "9".
    let expected = [
        ("Bee/x.jpeg", 0),
        ("ant/10.png", 1),
        ("ant/9.png", 1),
        ("zebra/a.PNG", 2),
        ("zebra/b.png", 2),
    ]
    .map(|(name, label)| (name.to_owned(), label));
    assert_eq!(files, expected);
    assert_eq!((set.num_classes(), set.class_name(2), set.class_name(3)), (3, Some("zebra"), None));
    assert_eq!((set.shape().channels, set.shape().height, set.shape().width), (3, 8, 8));
}

#[test]
fn a_flat_folder_has_no_labels() {
    let folder = TempDir::new().unwrap();
    for name in ["b.png", "a.jpg"] {
        write(folder.path(), name, &encoded(slopes(20, 20), ImageFormat::Png));
    }
    let set = open(folder.path(), 16).unwrap();
    assert_eq!((set.len(), set.num_classes(), load(&set, 1).1), (2, 0, 0));
    assert!(set.source().file(0).ends_with("a.jpg"));
}

/// `[C, H, W]` of the crop, in [-1, 1].
#[test]
fn pixels_are_those_of_the_crop() {
    let folder = TempDir::new().unwrap();
    let source = slopes(70, 50);
    write(folder.path(), "a.png", &encoded(source.clone(), ImageFormat::Png));
    let (pixels, _) = load(&open(folder.path(), 24).unwrap(), 0);
    let crop = centre_crop(&Raster::new(70, 50, 3, source.into_raw()), 24);
    for (i, got) in pixels.iter().enumerate() {
        let byte = crop.pixels()[i % (24 * 24) * 3 + i / (24 * 24)];
        assert_eq!(*got, signed_unit(byte));
    }
    assert_eq!([signed_unit(0), signed_unit(255)], [-1.0, 1.0]);
}

#[test]
fn every_kind_of_pixel_becomes_rgb() {
    let folder = TempDir::new().unwrap();
    let rgb = slopes(5, 4);
    let check = |name: &str, image: DynamicImage, expected: &RgbImage| {
        let file = write(folder.path(), name, &encoded(image, ImageFormat::Png));
        assert_eq!(read_image(file).unwrap().pixels(), expected.as_raw(), "{name}");
    };
    check("rgb.png", rgb.clone().into(), &rgb);
    // Alpha is dropped, not composited: even fully transparent pixels keep their colour.
    let rgba = RgbaImage::from_fn(5, 4, |x, y| {
        let [r, g, b] = rgb.get_pixel(x, y).0;
        image::Rgba([r, g, b, (x * 60) as u8])
    });
    check("rgba.png", rgba.into(), &rgb);

    let grey = GrayImage::from_fn(5, 4, |x, y| image::Luma([(x * 50 + y) as u8]));
    let from_grey = RgbImage::from_fn(5, 4, |x, y| Rgb([grey.get_pixel(x, y).0[0]; 3]));
    let grey_alpha = GrayAlphaImage::from_fn(5, 4, |x, y| image::LumaA([(x * 50 + y) as u8, 0]));
    check("grey.png", grey.into(), &from_grey);
    check("grey_alpha.png", grey_alpha.into(), &from_grey);
    let deep = image::ImageBuffer::from_fn(5, 4, |x, y| image::Luma([(x * 50 + y) as u16 * 257]));
    check("grey16.png", DynamicImage::ImageLuma16(deep), &from_grey);
}

/// A palette PNG from its bytes: two colours, 3x1, written by Pillow 13.0 (`optimize=True`).
#[test]
fn palettes_become_rgb() {
    let folder = TempDir::new().unwrap();
    let bytes = include_bytes!("goldens/palette.png");
    let image = read_image(write(folder.path(), "p.png", bytes)).unwrap();
    assert_eq!(image.pixels(), [255, 0, 0, 10, 20, 30, 255, 0, 0]);
}

#[test]
fn jpegs_are_close_to_what_was_encoded() {
    let folder = TempDir::new().unwrap();
    let source = slopes(64, 48);
    // The name lies; the content decides.
    let file = write(folder.path(), "a.png", &encoded(source.clone(), ImageFormat::Jpeg));
    let image = read_image(file).unwrap();
    assert_eq!((image.width(), image.height()), (64, 48));
    let worst = image.pixels().iter().zip(source.as_raw()).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(worst < Some(40), "{worst:?}");

    let grey = GrayImage::from_fn(16, 16, |x, _| image::Luma([x as u8 * 10]));
    let image =
        read_image(write(folder.path(), "grey.jpg", &encoded(grey, ImageFormat::Jpeg))).unwrap();
    assert!(image.pixels().chunks_exact(3).all(|p| p[0] == p[1] && p[1] == p[2]));
}

/// The reason for refusing `bytes` as an image.
#[track_caller]
fn refused(folder: &TempDir, bytes: &[u8]) -> String {
    let path = write(folder.path(), "broken.png", bytes);
    match read_image(&path) {
        Err(DataError::Image { file, reason }) => {
            assert_eq!(file, path);
            reason
        }
        Err(other) => panic!("otherwise refused: {other}"),
        Ok(image) => panic!("accepted: {}x{} pixels", image.width(), image.height()),
    }
}

#[test]
fn broken_files_are_refused_by_name() {
    let folder = TempDir::new().unwrap();
    let png = encoded(slopes(64, 64), ImageFormat::Png);
    let jpeg = encoded(slopes(64, 64), ImageFormat::Jpeg);
    assert_eq!(refused(&folder, b""), "the file is empty");
    assert!(refused(&folder, b"hello, world").contains("format"));
    assert!(refused(&folder, &jpeg[..jpeg.len() - 2]).contains("cut short"));
    for share in 1..20 {
        refused(&folder, &png[..png.len() * share / 20]);
        refused(&folder, &jpeg[..jpeg.len() * share / 20]);
    }
    // A flipped bit in the header is caught by the checksum.
    let mut flipped = png.clone();
    flipped[20] ^= 4;
    refused(&folder, &flipped);

    // Cameras write bytes after the end of a JPEG.
    let mut longer = jpeg;
    longer.extend(b"trailer \xff\xff");
    assert!(read_image(write(folder.path(), "a.jpg", &longer)).is_ok());

    let gone = read_image(folder.path().join("gone.png")).unwrap_err();
    assert!(matches!(&gone, DataError::Io { path, .. } if path.ends_with("gone.png")), "{gone}");
}

/// No panic and no long loop, whatever the bytes; what is accepted has the size it says.
#[test]
fn damaged_files_never_panic() {
    let folder = TempDir::new().unwrap();
    let draws = philox::Draws::new(1, philox::Purpose::EvaluationSubset, 0);
    let sources =
        [ImageFormat::Png, ImageFormat::Jpeg].map(|format| encoded(slopes(33, 21), format));
    for trial in 0..400 {
        let mut bytes = sources[trial as usize % 2].clone();
        for change in 0..4 {
            let lane = trial * 16 + change * 4;
            let at = draws.below(lane, bytes.len() as u64) as usize;
            bytes[at] = draws.word(lane + 2) as u8;
        }
        if let Ok(image) = read_image(write(folder.path(), "x.png", &bytes)) {
            assert_eq!(image.pixels().len(), image.width() * image.height() * 3);
        }
    }
}

/// A PNG header that promises more pixels than memory is refused before any is allocated.
#[test]
fn promises_of_size_are_not_believed() {
    let folder = TempDir::new().unwrap();
    for (width, height) in [(100_000u32, 100_000u32), (8193, 8193), (u32::MAX >> 1, 1)] {
        let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
        let mut header = b"IHDR".to_vec();
        header.extend(width.to_be_bytes());
        header.extend(height.to_be_bytes());
        header.extend([8, 2, 0, 0, 0]);
        png.extend(13u32.to_be_bytes());
        png.extend(&header);
        png.extend(crc32(&header).to_be_bytes());
        png.extend([0, 0, 1, 0]);
        png.extend(b"IDAT");
        let reason = refused(&folder, &png);
        assert!(reason.contains("more than") || reason.contains("imit"), "{width}: {reason}");
    }
}

/// The decoders would set memory aside for all pixels, and JPEG's would make them grey.
#[test]
fn files_too_short_for_their_pixels() {
    let folder = TempDir::new().unwrap();
    let jpeg = encoded(slopes(64, 64), ImageFormat::Jpeg);
    let frame = jpeg.windows(2).position(|w| w == [0xFF, 0xC0]).expect("a frame");
    let mut promise = jpeg;
    promise[frame + 5..frame + 9].copy_from_slice(&[0x1F, 0x40, 0x1F, 0x40]);
    let reason = refused(&folder, &promise);
    assert!(reason.contains("too few for the 8000x8000 pixels"), "{reason}");

    // One colour, compressed as well as can be: short, but all there.
    for image in [DynamicImage::new_rgb8(2000, 2000), DynamicImage::new_luma8(2000, 2000)] {
        let mut bytes = Cursor::new(Vec::new());
        let best = image::codecs::png::PngEncoder::new_with_quality(
            &mut bytes,
            image::codecs::png::CompressionType::Best,
            image::codecs::png::FilterType::NoFilter,
        );
        image.write_with_encoder(best).unwrap();
        let black = read_image(write(folder.path(), "black.png", bytes.get_ref())).unwrap();
        assert_eq!((black.width(), black.pixels()[11_999_999]), (2000, 0));

        let mut promise = bytes.into_inner();
        promise[16..24].copy_from_slice(&[0, 0, 0x1F, 0x40, 0, 0, 0x1F, 0x40]);
        let sum = crc32(&promise[12..29]);
        promise[29..33].copy_from_slice(&sum.to_be_bytes());
        let reason = refused(&folder, &promise);
        assert!(reason.contains("too few for the 8000x8000 pixels"), "{reason}");
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ ((crc & 1) * 0xEDB8_8320))
    })
}

#[test]
fn folders_that_are_no_data_set() {
    let folder = TempDir::new().unwrap();
    let refused = |name: &str| ImageFolder::open(folder.path().join(name)).unwrap_err();
    write(folder.path(), "empty/readme.txt", b"");
    assert!(matches!(refused("empty"), DataError::Missing { .. }));

    let png = encoded(slopes(9, 9), ImageFormat::Png);
    write(folder.path(), "hole/a/x.png", &png);
    write(folder.path(), "hole/b/x.txt", b"");
    let hole = refused("hole");
    assert!(matches!(&hole, DataError::Missing { folder, .. } if folder.ends_with("hole/b")));

    write(folder.path(), "both/a/x.png", &png);
    write(folder.path(), "both/y.png", &png);
    assert!(refused("both").to_string().contains("both y.png and a"), "{}", refused("both"));

    assert!(matches!(refused("nowhere"), DataError::Io { .. }));
    let size = open(folder.path().join("hole/a"), 0).unwrap_err();
    assert_eq!(size.to_string(), "size of images is 0, expected 1 to 4096");
}

/// Names for people change no label, and have to fit the folders.
#[test]
fn names_of_classes() {
    let folder = TempDir::new().unwrap();
    let png = encoded(slopes(9, 9), ImageFormat::Png);
    for class in ["n02", "n01"] {
        write(folder.path(), &format!("{class}/x.png"), &png);
    }
    let names = |file: &str, text: &str| {
        let file = write(folder.path(), file, text.as_bytes());
        let set = open(folder.path(), 8);
        fs::remove_file(file).expect("the file of names");
        set.map(|set| [0, 1].map(|label| set.class_name(label).expect("a class").to_owned()))
    };
    let both = "n02 great white shark, Carcharodon\n\nn01 tench\n";
    let expected = ["tench", "great white shark, Carcharodon"].map(str::to_owned);
    assert_eq!(names("LOC_synset_mapping.txt", both).unwrap(), expected);
    assert_eq!(names("classes.txt", "n01\nn02\n").unwrap(), ["n01", "n02"].map(str::to_owned));
    for (text, reason) in [
        ("n01 tench", "content is no n02, expected a line for every class"),
        ("n01 tench\nn03 x\n", "line 2 is n03, expected the name of a class's folder"),
        ("n01 tench\nn01 fish\n", "line 2 is n01 again"),
    ] {
        let error = names("classes.txt", text).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}

/// What is stored is told apart from what the network sees.
#[test]
fn probes_say_what_is_stored() {
    let folder = TempDir::new().unwrap();
    let rgb = slopes(40, 30);
    let deep = image::ImageBuffer::from_fn(4, 5, |x, _| image::Luma([x as u16]));
    let grey: DynamicImage = GrayImage::new(4, 5).into();
    let files = [
        ("a.png", encoded(rgb.clone(), ImageFormat::Png), (40, 30, "PNG", "RGB")),
        ("b.png", encoded(rgb, ImageFormat::Jpeg), (40, 30, "JPEG", "RGB")),
        ("c.png", encoded(grey.clone(), ImageFormat::Jpeg), (4, 5, "JPEG", "grey")),
        ("d.png", encoded(grey, ImageFormat::Png), (4, 5, "PNG", "grey")),
        (
            "e.png",
            encoded(DynamicImage::ImageLuma16(deep), ImageFormat::Png),
            (4, 5, "PNG", "grey, 16 bits"),
        ),
        ("f.png", encoded(RgbaImage::new(4, 5), ImageFormat::Png), (4, 5, "PNG", "RGB with alpha")),
        ("g.png", include_bytes!("goldens/palette.png").to_vec(), (3, 1, "PNG", "palette")),
    ];
    for (name, bytes, _) in &files {
        write(folder.path(), name, bytes);
    }
    write(folder.path(), "h.jpg", b"\xFF\xD8\xFF");
    let set = open(folder.path(), 8).unwrap();
    for (index, (name, _, expected)) in (0..).zip(&files) {
        let probe = set.probe(index).unwrap();
        assert_eq!((probe.width, probe.height, probe.format, probe.colour), *expected, "{name}");
        assert!(set.sample_name(index).ends_with(name));
    }
    assert!(set.probe(7).unwrap_err().to_string().contains("h.jpg: the JPEG is cut short"));
}

/// JPEG in four inks, written by Pillow 13.0: four squares of 8x8 pixels, with black ink in three.
#[test]
fn cmyk_becomes_rgb() {
    let folder = TempDir::new().unwrap();
    let bytes = include_bytes!("goldens/cmyk.jpg");
    let image = read_image(write(folder.path(), "c.jpg", bytes)).unwrap();
    let centre = |square: usize| &image.pixels()[(4 * 32 + square * 8 + 4) * 3..][..3];
    // What Pillow's `convert("RGB")` makes of the same file.
    let expected = [[164, 42, 119], [5, 245, 225], [55, 55, 55], [122, 63, 7]];
    for (square, expected) in expected.iter().enumerate() {
        let near = centre(square).iter().zip(expected).all(|(a, b)| a.abs_diff(*b) <= 1);
        assert!(near, "square {square}: {:?}, expected {expected:?}", centre(square));
    }
    write(folder.path(), "only/c.jpg", bytes);
    let set = open(folder.path().join("only"), 8).unwrap();
    assert_eq!(set.probe(0).unwrap().colour, "CMYK");
}

#[test]
fn a_link_that_leads_nowhere_is_a_broken_image_and_not_a_broken_folder() {
    let folder = TempDir::new().unwrap();
    write(folder.path(), "a/0.png", &encoded(slopes(8, 8), ImageFormat::Png));
    std::os::unix::fs::symlink("nowhere", folder.path().join("a/1.png")).unwrap();
    let set = open(folder.path(), 8).unwrap();
    assert_eq!((set.len(), load(&set, 0).1), (2, 0));
    let error = set.probe(1).unwrap_err().to_string();
    assert!(error.contains("1.png"), "{error}");
}
