//! Archives that are written are read as they were meant.

use npz::{Archive, Element, Writer, images};
use std::panic::{AssertUnwindSafe, catch_unwind};
use tempfile::TempDir;

#[test]
fn arrays_come_back() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("s.npz");
    let mut writer = Writer::create(&path).unwrap();
    writer.array("arr_0", Element::U8, &[3, 2, 2, 3]).unwrap();
    writer.write(&[7; 12]).unwrap();
    writer.write(&[9; 24]).unwrap();
    let sigma: Vec<f64> = (0..30_000).map(|i| f64::from(i).sqrt()).collect();
    writer.array_f64("sigma", &[100, 300], &sigma).unwrap();
    writer.array_f32("mu", &[2], &[1.5, -2.25]).unwrap();
    writer.array_f64("n", &[], &[50_000.0]).unwrap();
    assert!(!path.exists() && folder.path().join("s.npz.partial").exists());
    writer.finish().unwrap();
    assert!(path.exists() && !folder.path().join("s.npz.partial").exists());

    let archive = Archive::open(&path).unwrap();
    assert_eq!(archive.names().collect::<Vec<_>>(), ["arr_0", "mu", "n", "sigma"]);
    for name in ["arr_0", "mu", "n", "sigma"] {
        assert_eq!(archive.header(name).unwrap().data_start % 64, 0, "{name}");
    }
    assert_eq!(archive.header("mu").unwrap().descr, "<f4");
    assert_eq!(archive.read_f64("mu", 2).unwrap(), (vec![2], vec![1.5, -2.25]));
    assert_eq!(archive.read_f64("n", 1).unwrap(), (vec![], vec![50_000.0]));
    assert_eq!(archive.read_f64("sigma", 30_000).unwrap(), (vec![100, 300], sigma));
    let (mut set, mut batch) = (images(&path).unwrap(), Vec::new());
    assert_eq!((set.count(), set.height(), set.width()), (3, 2, 2));
    set.read(1, &mut batch).unwrap();
    assert_eq!(batch, [7; 12]);
    set.read(9, &mut batch).unwrap();
    assert_eq!(batch, [9; 24]);
}

/// Another reader of zip files finds the same, with sizes of 64 bits.
#[test]
fn members_are_stored() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("s.npz");
    let mut writer = Writer::create(&path).unwrap();
    writer.array_f64("a", &[1], &[0.5]).unwrap();
    writer.finish().unwrap();
    let mut zip = zip::ZipArchive::new(std::fs::File::open(&path).unwrap()).unwrap();
    let mut bytes = Vec::new();
    let mut member = zip.by_name("a.npy").unwrap();
    assert_eq!(member.compression(), zip::CompressionMethod::Stored);
    std::io::Read::read_to_end(&mut member, &mut bytes).unwrap();
    assert_eq!(bytes[bytes.len() - 8..], 0.5f64.to_le_bytes());
}

#[test]
fn errors_name_the_file() {
    let folder = TempDir::new().unwrap();
    let nowhere = Writer::create(folder.path().join("none/s.npz")).unwrap_err().to_string();
    assert!(nowhere.contains("none/s.npz.partial"), "{nowhere}");
}

/// What the caller announced is what has to come.
#[test]
fn other_numbers_of_elements_are_mistakes_of_the_caller() {
    let folder = TempDir::new().unwrap();
    let refuses = |act: &dyn Fn(&mut Writer)| {
        let mut writer = Writer::create(folder.path().join("s.npz")).expect("an archive");
        writer.array("a", Element::U8, &[4]).expect("an array");
        catch_unwind(AssertUnwindSafe(|| act(&mut writer))).is_err()
    };
    assert!(!refuses(&|writer| writer.write(&[0; 4]).expect("written")));
    assert!(refuses(&|writer| writer.write(&[0; 5]).expect("written")));
    assert!(refuses(&|writer| writer.array("b", Element::U8, &[1]).expect("written")));
    assert!(refuses(&|writer| {
        writer.write(&[0; 4]).expect("written");
        writer.array("a", Element::U8, &[1]).expect("written");
    }));
    let unfinished = Writer::create(folder.path().join("s.npz")).and_then(|mut writer| {
        writer.array("a", Element::U8, &[4])?;
        Ok(writer)
    });
    let unfinished = unfinished.expect("an archive");
    catch_unwind(AssertUnwindSafe(|| unfinished.finish())).unwrap_err();
    assert!(!folder.path().join("s.npz").exists());
}
