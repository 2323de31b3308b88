//! Zip files of EDM: labels, and archives that are refused.

mod common;

use common::{ZipMember, npy, png, write, zip_of};
use data::{DataError, Dataset, EdmZip, ImageFiles, ImageSource, Preparation, Visit};
use tempfile::TempDir;

const VISIT: Visit = Visit { seed: 0, position: 0 };
const LABELS: &str = r#"{"labels": [["00000/img1.png", 3], ["00000/img0.png", 0]]}"#;

fn images() -> Vec<ZipMember> {
    vec![
        ZipMember::new("00000/img1.png", &png(11)),
        ZipMember::new("00000/", b""),
        ZipMember::deflated("00000/img0.png", &png(10)),
        ZipMember::new("notes.txt", b"no image"),
    ]
}

fn with_labels(json: &str) -> Vec<ZipMember> {
    let mut members = images();
    members.push(ZipMember::deflated("dataset.json", json.as_bytes()));
    members
}

#[test]
fn images_are_sorted_and_labels_found_by_name() {
    let folder = TempDir::new().unwrap();
    let path = write(&folder, "x.zip", &zip_of(&with_labels(LABELS)));
    let set = EdmZip::open(path).unwrap();
    assert_eq!((set.len(), set.num_classes()), (2, 4));
    assert_eq!([0, 1].map(|index| set.label(index)), [0, 3]);
    assert!(
        set.sample_name(0).contains("x.zip: 00000/img0.png, at byte"),
        "{}",
        set.sample_name(0)
    );

    let set = ImageFiles::new(set, Preparation::CentreCrop { size: 8 }).unwrap();
    for (index, grey) in [(0, 10), (1, 11)] {
        let mut out = vec![0.0; 192];
        set.load(index, VISIT, &mut out).unwrap();
        assert!(out.iter().all(|&x| x == data::signed_unit(grey)));
    }
}

#[test]
fn no_labels() {
    let folder = TempDir::new().unwrap();
    for members in [images(), with_labels(r#"{"labels": null, "more": [1]}"#)] {
        let set = EdmZip::open(write(&folder, "x.zip", &zip_of(&members))).unwrap();
        assert_eq!((set.len(), set.num_classes(), set.label(1)), (2, 0, 0));
    }
}

/// Arrays of bytes are images; planes come first, as EDM writes them.
#[test]
fn arrays_are_images() {
    let folder = TempDir::new().unwrap();
    let planes: Vec<u8> = (0..48).collect();
    let members = [
        ZipMember::new("a.npy", &npy("|u1", "(3, 4, 4)", &planes)),
        ZipMember::new("b.npy", &npy("<f4", "(3, 4, 4)", &[0; 192])),
        ZipMember::new("c.npy", &npy("|u1", "(3, 4, 4)", &planes[1..])),
        ZipMember::new("d.npy", &npy("|u1", "(4294967296, 4294967296)", b"")),
        ZipMember::new("e.npy", &npy("|u1", "(0, 4)", b"")),
        ZipMember::new("f.npy", &npy("|u1", "(2, 4, 4)", &planes[..32])),
    ];
    let set = EdmZip::open(write(&folder, "x.zip", &zip_of(&members))).unwrap();
    let set = ImageFiles::new(set, Preparation::CentreCrop { size: 4 }).unwrap();
    let mut out = vec![0.0; 48];
    set.load(0, VISIT, &mut out).unwrap();
    assert!(out.iter().zip(0..).all(|(&x, byte)| x == data::signed_unit(byte)));
    for (index, reason) in [
        (1, "elements <f4 in C order, expected |u1"),
        (2, "47 bytes of pixels, expected 48"),
        (3, "more than 67108864"),
        (4, "4x0 pixels"),
        (5, "shape [2, 4, 4], expected"),
    ] {
        let error = set.probe(index).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}

/// Where a member of a directory says that it is, beyond any file here.
const LIE: u64 = u32::MAX as u64;

/// Member and reason of the refusal.
#[track_caller]
fn refused(bytes: &[u8]) -> (String, String) {
    let folder = TempDir::new().expect("a temporary folder");
    let path = write(&folder, "refused.zip", bytes);
    let found = EdmZip::open(&path).and_then(|set| {
        let mut bytes = Vec::new();
        (0..set.len()).try_for_each(|index| set.read(index, &mut bytes))
    });
    match found.expect_err("a refusal") {
        DataError::Member { file, member, offset, reason } => {
            assert!(file == path && (offset <= bytes.len() as u64 || offset == LIE), "{offset}");
            (member, reason)
        }
        other => panic!("refused without a member: {other}"),
    }
}

#[test]
fn labels_that_do_not_fit() {
    for (json, reason) in [
        (r#"{"labels": [["00000/img1.png", 3]]}"#, "no label for 00000/img0.png"),
        (r#"{"labels": [["00000/img9.png", 3]]}"#, "a label for 00000/img9.png, which is not"),
        (r#"{"labels": [["00000/img1.png", 3], ["00000/img1.png", 3]]}"#, "a second label"),
        (r#"{"labels": [["00000/img1.png", -1]]}"#, "expected 0 to 1048575"),
        (r#"{"labels": [["00000/img1.png", [0, 1]]]}"#, "invalid type"),
        (r#"{"labels": null, "labels": null}"#, "duplicate field"),
        (r#"{"classes": []}"#, "missing field `labels`"),
        (r#"{"labels": ["#, "EOF"),
        (r#"{"labels": null} x"#, "trailing"),
        ("", "EOF"),
    ] {
        let (member, found) = refused(&zip_of(&with_labels(json)));
        assert!(member == "dataset.json" && found.contains(reason), "{json}: {found}");
    }
}

#[test]
fn members_that_are_refused() {
    let good = ZipMember::new("a.png", &png(1));
    let check = |bad: ZipMember, reason: &str| {
        let (member, found) = refused(&zip_of(&[good.clone(), bad.clone()]));
        assert_eq!(member.as_bytes(), bad.name, "{found}");
        assert!(found.contains(reason), "{found}");
    };
    for name in ["../b.png", "/b.png", "C:\\b.png", "a/../../b.png", "\\b.png"] {
        let reason = if name.contains("..") { "`..`" } else { "absolute" };
        check(ZipMember::new(name, b""), reason);
    }
    let bad = ZipMember::new("b.png", &png(2));
    check(ZipMember { mode: 0o120_777, ..bad.clone() }, "a link");
    check(ZipMember { flags: 1, ..bad.clone() }, "encrypted");
    check(ZipMember { method: 14, ..bad.clone() }, "expected stored or deflated");
    check(ZipMember { len: bad.len + 1, ..bad.clone() }, "not to be believed");
    check(ZipMember { crc32: 7, ..bad.clone() }, "expected 00000007");
    check(ZipMember { local_name: b"c.png".to_vec(), ..bad.clone() }, "another name");
    check(ZipMember { local_name: b"bb.png".to_vec(), ..bad.clone() }, "no header");
    check(good.clone(), "two members have this name");

    let deflated = ZipMember::deflated("b.png", &png(2));
    check(ZipMember { len: 1 << 29, ..deflated.clone() }, "more than 268435456");
    check(ZipMember { len: 2 << 20, ..deflated.clone() }, "not to be believed");
    check(ZipMember { len: deflated.len - 1, ..deflated.clone() }, "inflated to");
    check(ZipMember { len: deflated.len + 1, ..deflated.clone() }, "inflated to");
    let noise = (0..40).map(|i| 255 - i).collect();
    check(ZipMember { stored: noise, ..deflated.clone() }, "cannot be inflated");

    // A real bomb: 64 MiB of zeros in 64 KiB.
    let bomb = ZipMember::deflated("b.png", &vec![0; 64 << 20]);
    assert!(bomb.stored.len() < 80 << 10);
    check(bomb, "not to be believed");
}

#[test]
fn archives_that_are_cut_short() {
    let whole = zip_of(&with_labels(LABELS));
    for len in 0..whole.len() {
        refused(&whole[..len]);
    }
    // A directory that points beyond the file.
    let mut beyond = whole.clone();
    let entry = whole.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    beyond[entry + 42..entry + 46].copy_from_slice(&(LIE as u32).to_le_bytes());
    assert!(refused(&beyond).1.contains("not inside"));
    let none = TempDir::new().unwrap();
    let none = write(&none, "x.zip", &zip_of(&[ZipMember::new("a.txt", b"")]));
    assert!(matches!(EdmZip::open(none), Err(DataError::Missing { .. })));
}
