//! One process at a time writes to a run directory.

use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Who holds, or held last, a run directory. The content of `run.lock`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Process number.
    pub pid: u32,
    /// Machine.
    pub host: String,
    /// Start of the process, UTC.
    pub started: String,
    /// Starts of the run up to this one.
    pub attempt: u64,
}

/// The lock. The operating system frees it when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct RunLock {
    // Only held open: closing it frees the lock.
    _file: File,
}

/// Why there is no lock.
#[derive(Debug)]
pub(crate) enum LockError {
    /// Another process has it; what it wrote about itself, if that can be read.
    Held(Option<Holder>),
    Io(io::Error),
}

impl From<io::Error> for LockError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl RunLock {
    /// Takes the lock and writes down who has it.
    pub(crate) fn take(path: &Path, host: &str) -> Result<(Self, Holder), LockError> {
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let locked = file.try_lock();
        let mut text = String::new();
        // Torn or foreign content is no reason not to run.
        let last: Option<Holder> = match file.read_to_string(&mut text) {
            Ok(_) => serde_json::from_str(&text).ok(),
            Err(_) => None,
        };
        match locked {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LockError::Held(last)),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let holder = Holder {
            pid: std::process::id(),
            host: host.into(),
            started: utc(SystemTime::now()),
            attempt: last.map_or(0, |last| last.attempt) + 1,
        };
        file.rewind()?;
        file.set_len(0)?;
        file.write_all(serde_json::to_string(&holder).map_err(io::Error::from)?.as_bytes())?;
        Ok((Self { _file: file }, holder))
    }
}

/// `2026-01-31T23:59:59Z`.
fn utc(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Gregorian date of a day counted from 1970-01-01.
fn date(days: u64) -> (u64, u64, u64) {
    // In years that begin in March leap days come last: month m of those begins on day
    // (153 m + 2)/5, and 400 years have 146,097 days, 719,468 of them before 1970-01-01.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let march_month = (5 * day + 2) / 153;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = 400 * era + year + u64::from(month <= 2);
    (year, month, day - (153 * march_month + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let at = |seconds| utc(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(at(1_709_251_200), "2024-03-01T00:00:00Z");
        assert_eq!(at(1_767_225_599), "2025-12-31T23:59:59Z");
        assert_eq!(at(4_107_542_400), "2100-03-01T00:00:00Z");
        // Every day of 800 years follows the one before.
        let mut last = date(0);
        for day in 1..292_194 {
            let now = date(day);
            let next_day = now == (last.0, last.1, last.2 + 1);
            let next_month = now == (last.0, last.1 + 1, 1) && last.2 >= 28;
            let next_year = now == (last.0 + 1, 1, 1) && (last.1, last.2) == (12, 31);
            assert!(next_day || next_month || next_year, "{last:?} then {now:?}");
            last = now;
        }
        assert_eq!(last, (2769, 12, 31));
    }

    #[test]
    fn the_second_is_told_who_the_first_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.lock");
        let (lock, first) = RunLock::take(&path, "here").unwrap();
        let Err(LockError::Held(Some(holder))) = RunLock::take(&path, "there") else { panic!() };
        assert_eq!(holder, first);
        assert_eq!((holder.pid, holder.host.as_str()), (std::process::id(), "here"));
        drop(lock);
        let (_lock, second) = RunLock::take(&path, "a host with a shorter name").unwrap();
        assert_eq!((first.attempt, second.attempt), (1, 2));
    }

    #[test]
    fn a_stale_or_torn_lock_file_is_no_lock() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.lock");
        let long = "no JSON, and longer than what is written ".repeat(20);
        for text in ["", "{\"pid\":1,\"ho", &long] {
            std::fs::write(&path, text).unwrap();
            let (_lock, holder) = RunLock::take(&path, "h").unwrap();
            assert_eq!(holder.attempt, 1);
            let written = std::fs::read_to_string(&path).unwrap();
            assert_eq!(serde_json::from_str::<Holder>(&written).unwrap(), holder);
        }
    }
}
