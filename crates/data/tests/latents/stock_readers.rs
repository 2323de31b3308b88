//! Shards are safetensors files like any other.

use crate::support::{LEN, encoding, make, source_hash, spec};
use data::latents::Flip;
use half::f16;
use safetensors::{Dtype, SafeTensors};
use std::fs;
use std::process::Command;

#[test]
fn the_standard_reader_of_rust() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path(), spec()).unwrap();
    let bytes = fs::read(folder.path().join("latents-00001.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let moments = file.tensor("moments").unwrap();
    assert_eq!((moments.dtype(), moments.shape()), (Dtype::F16, &[9, 2, 2, 2, 3, 5][..]));
    // Record 1 is sample 11 of the source; its second encoding, the first element of logstd.
    let at = 2 * ((3 * 2 + 1) * LEN);
    let got = f16::from_le_bytes([moments.data()[at], moments.data()[at + 1]]);
    assert_eq!(got, f16::from_f32(encoding(11, Flip::Horizontal).1[0]));
    let labels = file.tensor("label").unwrap();
    assert_eq!((labels.dtype(), labels.shape(), labels.data()[8]), (Dtype::I64, &[9][..], 3));
    let hashes = file.tensor("source_hash").unwrap();
    assert_eq!((hashes.dtype(), hashes.shape()), (Dtype::U8, &[9, 32][..]));
    assert_eq!(hashes.data()[32..64], source_hash(11));
    let indices = file.tensor("source_index").unwrap();
    // Sample 17 was left out.
    let indices: Vec<u8> = indices.data().iter().copied().step_by(8).collect();
    assert_eq!(indices, [10, 11, 12, 13, 14, 15, 16, 18, 19]);
}

const SCRIPT: &str = "
import sys
try:
    from safetensors import safe_open
    import numpy
except ImportError as error:
    print('skip:', error)
    sys.exit()
with safe_open(sys.argv[1], framework='numpy') as file:
    moments = file.get_slice('moments')[1:2][0, 1, 1]
    print(sorted(file.keys()), moments.dtype, moments.shape, moments[0, 0, 0] == numpy.float16(sys.argv[2]))
    print(file.get_tensor('label').tolist(), file.metadata()['shard'])
";

#[test]
#[expect(clippy::print_stderr, reason = "says what was skipped")]
fn the_standard_reader_of_python() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path(), spec()).unwrap();
    let shard = folder.path().join("latents-00001.safetensors");
    let element = encoding(11, Flip::Horizontal).1[0].to_string();
    let python = std::env::var_os("PYTHON").unwrap_or("python3".into());
    let output = Command::new(python).args(["-c", SCRIPT]).arg(shard).arg(element).output();
    let text = match &output {
        Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Err(error) => format!("skip: no python3: {error}"),
    };
    if text.starts_with("skip:") {
        eprintln!("{text}");
        return;
    }
    let expected = "['label', 'moments', 'source_hash', 'source_index'] float16 (2, 3, 5) True\n\
                    [2, 3, 0, 1, 2, 3, 0, 2, 3] 1\n";
    assert_eq!(text, expected, "{output:?}");
}
