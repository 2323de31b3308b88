//! Scalars and images for TensorBoard.
//!
//! An event file is a row of records, each its length, a check sum of the length, a protocol-buffer
//! message and a check sum of that. `metrics.jsonl` is the truth; this is a view of it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// An event file of one start of a run.
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    file: File,
}

/// Why events could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct EventError {
    /// The file.
    pub path: PathBuf,
    /// The system's error.
    pub source: io::Error,
}

/// A picture as PNG.
#[derive(Clone, Copy, Debug)]
pub struct EventImage<'a> {
    /// Rows.
    pub height: u64,
    /// Columns.
    pub width: u64,
    /// The PNG file, RGB.
    pub png: &'a [u8],
}

impl EventFile {
    /// Starts a file in a run directory. What earlier files have for steps after `step`, 0 for a new
    /// run, TensorBoard no longer shows.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn start(run: &Path, host: &str, step: u64) -> Result<Self, EventError> {
        let wall = now();
        let host: String = host.chars().map(|c| if c == '/' { '-' } else { c }).collect();
        let path = run.join(format!("events.out.tfevents.{}.{host}", wall as u64));
        // Two starts within a second share a file, which is what it is for.
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let file = file.map_err(|source| EventError { path: path.clone(), source })?;
        let mut events = Self { path, file };
        events.write(&Message::event(wall, 0).bytes(3, b"brain.Event:2"))?;
        // SessionLog with status START.
        let start = Message::default().varint(1, 1);
        events.write(&Message::event(wall, step + 1).bytes(7, &start.0))?;
        Ok(events)
    }

    /// Adds a number.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn scalar(&mut self, step: u64, tag: &str, value: f64) -> Result<(), EventError> {
        self.write(&scalar(now(), step, tag, value as f32))
    }

    /// Adds a picture.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn image(&mut self, step: u64, tag: &str, image: EventImage<'_>) -> Result<(), EventError> {
        let picture = Message::default()
            .varint(1, image.height)
            .varint(2, image.width)
            .varint(3, 3)
            .bytes(4, image.png);
        let value = Message::default().bytes(1, tag.as_bytes()).bytes(4, &picture.0);
        self.write(&event_of(now(), step, &value))
    }

    fn write(&mut self, event: &Message) -> Result<(), EventError> {
        let record = record(&event.0);
        let result = self.file.write_all(&record);
        result.map_err(|source| EventError { path: self.path.clone(), source })
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

fn scalar(wall: f64, step: u64, tag: &str, value: f32) -> Message {
    event_of(wall, step, &Message::default().bytes(1, tag.as_bytes()).float(2, value))
}

/// An event with a summary of one value.
fn event_of(wall: f64, step: u64, value: &Message) -> Message {
    let summary = Message::default().bytes(1, &value.0);
    Message::event(wall, step).bytes(5, &summary.0)
}

/// A protocol-buffer message: fields one after the other, each a number, a type and a value.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    /// Time and step.
    fn event(wall: f64, step: u64) -> Self {
        let mut message = Self(vec![1 << 3 | 1]);
        message.0.extend(wall.to_le_bytes());
        message.varint(2, step)
    }

    fn varint(mut self, field: u8, value: u64) -> Self {
        self.0.push(field << 3);
        self.push_varint(value);
        self
    }

    fn float(mut self, field: u8, value: f32) -> Self {
        self.0.push(field << 3 | 5);
        self.0.extend(value.to_le_bytes());
        self
    }

    fn bytes(mut self, field: u8, value: &[u8]) -> Self {
        self.0.push(field << 3 | 2);
        self.push_varint(value.len() as u64);
        self.0.extend(value);
        self
    }

    fn push_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

fn record(payload: &[u8]) -> Vec<u8> {
    let len = (payload.len() as u64).to_le_bytes();
    let mut record = len.to_vec();
    record.extend(masked_crc(&len).to_le_bytes());
    record.extend(payload);
    record.extend(masked_crc(payload).to_le_bytes());
    record
}

/// A check sum that may itself stand in checked data.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xA282_EAD8)
}

/// Castagnoli's polynomial, reflected.
fn crc32c(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut byte = 0;
        while byte < 256 {
            let mut crc = byte as u32;
            let mut bit = 0;
            while bit < 8 {
                crc = crc >> 1 ^ if crc & 1 == 1 { 0x82F6_3B78 } else { 0 };
                bit += 1;
            }
            table[byte] = crc;
            byte += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |crc, &byte| crc >> 8 ^ TABLE[(crc as u8 ^ byte) as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn check_sums_are_the_published_ones() {
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
        assert_eq!(masked_crc(b"123456789"), 0xC78A_B0E5);
        assert_eq!(crc32c(b""), 0);
    }

    #[test]
    fn a_file_is_whole_records_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let mut events = EventFile::start(folder.path(), "a/b", 41).unwrap();
        events.scalar(42, "train/loss", 0.5).unwrap();
        let image = EventImage { height: 2, width: 300, png: b"not a PNG" };
        events.image(42, "samples", image).unwrap();
        let name = events.path.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with("events.out.tfevents.") && name.ends_with(".a-b"), "{name}");
        let bytes = std::fs::read(&events.path).unwrap();
        let (mut rest, mut payloads) = (&bytes[..], Vec::new());
        while !rest.is_empty() {
            let len = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            let payload = &rest[12..12 + len];
            assert_eq!(rest[..16 + len], record(payload));
            payloads.push(payload);
            rest = &rest[16 + len..];
        }
        let after_time: Vec<String> = payloads.iter().map(|payload| hex(&payload[9..])).collect();
        let expected = [
            "1000".to_owned() + "1a0d" + &hex(b"brain.Event:2"),
            "102a".to_owned() + "3a020801",
            "102a".to_owned() + "2a13" + "0a11" + "0a0a" + &hex(b"train/loss") + "150000003f",
            "102a".to_owned()
                + "2a1f"
                + "0a1d"
                + "0a07"
                + &hex(b"samples")
                + "2212"
                + "0802"
                + "10ac02"
                + "1803"
                + "2209"
                + &hex(b"not a PNG"),
        ];
        assert_eq!(after_time, expected);
    }

    /// Bytes that TensorBoard 2.21 has read.
    #[test]
    fn records_are_those_that_tensorboard_reads() {
        let version = Message::event(1.5e9, 0).bytes(3, b"brain.Event:2");
        assert_eq!(
            hex(&record(&version.0)),
            "1a00000000000000129bd82d09000000c00b5ad64110001a0d627261696e2e4576656e743a327e57b311"
        );
        let loss = scalar(1.5e9, 7, "train/loss", 0.25);
        assert_eq!(
            hex(&record(&loss.0)),
            "200000000000000029eda95009000000c00b5ad64110072a130a110a0a747261696e2f6c6f7373150000\
             803e01a799e8"
        );
    }
}
