//! Files from the network: whole, checked, or not at all.
//!
//! A file arrives as `NAME.part` and is renamed when its length and checksum are right, so whatever
//! has the name is right. A connection that breaks is made again, and goes on where it was, in this
//! process or in the next.

use super::part::{CHUNK, Part, sha256_of};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;
use ureq::http::{Response, StatusCode, header};
use ureq::{Agent, Body};

/// How long a server may be silent.
const SILENCE: Duration = Duration::from_secs(60);
/// Attempts without a new byte after which a source is given up.
const ATTEMPTS: u32 = 5;
/// Pause after the first failed attempt; each next one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// A file that is wanted.
pub(super) struct Wanted<'a> {
    /// Where it is to be had, best first.
    pub(super) urls: &'a [String],
    /// Its length, where that is known beforehand; otherwise the server has to name it.
    pub(super) bytes: Option<u64>,
    /// Its SHA-256, in lower-case hexadecimal digits.
    pub(super) sha256: &'a str,
    /// Where it goes.
    pub(super) target: &'a Path,
}

/// How a wanted file came to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was there, with the right checksum.
    WasThere,
    /// It has been fetched.
    Fetched,
}

/// Why a file could not be fetched.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    /// The system refused a file.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// Another process is fetching the same file.
    #[error("{}: another process is downloading it", part.display())]
    Busy {
        /// What it is writing.
        part: PathBuf,
    },
    /// The server is not there, or does not have the file.
    #[error("cannot download {} from {url}: {reason}", file.display())]
    Refused {
        /// The source.
        url: String,
        /// Where it should have gone.
        file: PathBuf,
        /// What it said instead.
        reason: String,
    },
    /// The server has something else under this address.
    #[error("{url}: {field} of {} is {got}, expected {expected}", file.display())]
    Different {
        /// The source.
        url: String,
        /// Where it should have gone.
        file: PathBuf,
        /// Length or checksum.
        field: &'static str,
        /// What it has to be.
        expected: String,
        /// What it is.
        got: String,
    },
    /// There is another file where this one should go.
    #[error("{} exists and is another file: its SHA-256 is {got}, expected {expected}", file.display())]
    InTheWay {
        /// The file.
        file: PathBuf,
        /// What the wanted file has.
        expected: String,
        /// What this one has.
        got: String,
    },
}

impl FetchError {
    /// For `map_err` on operations of `std::fs`.
    pub(super) fn io(path: &Path, error: io::Error) -> Self {
        Self::Io { path: path.to_path_buf(), error }
    }
}

/// Why an attempt ended early.
enum Trouble {
    /// Another attempt may succeed.
    Passing(String),
    /// Nothing is known of the other end: there may be no network at all.
    Unreachable(String),
    /// It would end the same way.
    Lasting(FetchError),
}

impl From<FetchError> for Trouble {
    fn from(error: FetchError) -> Self {
        Self::Lasting(error)
    }
}

/// Gets a file, unless it is there. `progress` is told how many bytes of how many have arrived.
///
/// Sources are tried in order; one is left when it does not have the file, or when five attempts
/// with growing pauses brought no new byte.
///
/// # Errors
/// [`FetchError`], of the last source where there are several. What has arrived is kept, unless its
/// checksum is wrong.
pub(super) fn fetch(
    wanted: &Wanted<'_>,
    progress: &dyn Fn(u64, u64),
) -> Result<Outcome, FetchError> {
    let target = wanted.target;
    if target.exists() {
        let got = sha256_of(target).map_err(|error| FetchError::io(target, error))?;
        if got == wanted.sha256 {
            return Ok(Outcome::WasThere);
        }
        let (file, expected) = (target.to_path_buf(), wanted.sha256.to_string());
        return Err(FetchError::InTheWay { file, expected, got });
    }
    let Some((last, others)) = wanted.urls.split_last() else {
        let (url, file) = (String::new(), target.to_path_buf());
        return Err(FetchError::Refused { url, file, reason: "no source is known".into() });
    };
    for url in others {
        match (Source { url, wanted, progress }).fetch() {
            Err(error @ (FetchError::Refused { .. } | FetchError::Different { .. })) => {
                tracing::warn!("{error}; trying the next source");
            }
            done => return done.map(|()| Outcome::Fetched),
        }
    }
    Source { url: last, wanted, progress }.fetch().map(|()| Outcome::Fetched)
}

/// One address of a file.
struct Source<'a> {
    url: &'a str,
    wanted: &'a Wanted<'a>,
    progress: &'a dyn Fn(u64, u64),
}

impl Source<'_> {
    /// The whole file from this source.
    fn fetch(&self) -> Result<(), FetchError> {
        let mut part = Part::open(self.wanted.target)?;
        let resumed = part.len() > 0;
        self.bring(&mut part)?;
        if resumed && part.sha256() != self.wanted.sha256 {
            tracing::warn!("{}: the checksum is wrong; starting again", self.name());
            part.restart()?;
            self.bring(&mut part)?;
        }
        let got = part.sha256();
        if got == self.wanted.sha256 {
            return part.complete();
        }
        // Nothing of it can be used, and it would be resumed forever.
        part.discard()?;
        Err(self.different("SHA-256", self.wanted.sha256.to_string(), got))
    }

    /// Attempts until all bytes are there.
    fn bring(&self, part: &mut Part) -> Result<(), FetchError> {
        let agent = agent();
        let (mut failures, mut reached) = (0, false);
        loop {
            let before = part.len();
            let reason = match self.attempt(&agent, part) {
                Ok(()) => return Ok(()),
                Err(Trouble::Lasting(error)) => return Err(error),
                Err(Trouble::Unreachable(reason)) if !reached => return Err(self.refused(reason)),
                Err(Trouble::Unreachable(reason)) => reason,
                Err(Trouble::Passing(reason)) => {
                    reached = true;
                    reason
                }
            };
            failures = if part.len() > before { 1 } else { failures + 1 };
            if failures == ATTEMPTS {
                let reason = format!("{reason}; {ATTEMPTS} attempts brought nothing new");
                return Err(self.refused(reason));
            }
            let pause = FIRST_PAUSE * 2_u32.pow(failures - 1);
            tracing::warn!("{}: {reason}; again in {:.1} s", self.name(), pause.as_secs_f64());
            thread::sleep(pause);
        }
    }

    /// One request, for what is missing.
    fn attempt(&self, agent: &Agent, part: &mut Part) -> Result<(), Trouble> {
        match self.wanted.bytes {
            Some(bytes) if part.len() == bytes => return Ok(()),
            Some(bytes) if part.len() > bytes => part.restart()?,
            _ => {}
        }
        let mut request = agent.get(self.url).header(header::ACCEPT_ENCODING, "identity");
        if part.len() > 0 {
            request = request.header(header::RANGE, format!("bytes={}-", part.len()));
        }
        let response = request.call().map_err(|error| self.not_reached(error))?;
        let total = self.judge(&response, part)?;
        if self.wanted.bytes.is_some_and(|expected| expected != total) {
            let expected = self.wanted.bytes.unwrap_or_default().to_string();
            return Err(self.different("length in bytes", expected, total.to_string()).into());
        }
        self.read(response.into_body(), part, total)
    }

    /// Length of the whole file, from a response whose body continues the part.
    fn judge(&self, response: &Response<Body>, part: &mut Part) -> Result<u64, Trouble> {
        let field = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        match response.status() {
            StatusCode::OK => part.restart()?,
            StatusCode::PARTIAL_CONTENT => {
                let range = field(header::CONTENT_RANGE).and_then(ContentRange::parse);
                return match range {
                    Some(range) if range.first == part.len() => Ok(range.total),
                    _ => {
                        part.restart()?;
                        Err(Trouble::Passing("the server sent another range than asked for".into()))
                    }
                };
            }
            StatusCode::RANGE_NOT_SATISFIABLE => {
                part.restart()?;
                return Err(Trouble::Passing("the file at the server is shorter".into()));
            }
            status => {
                let reason = format!("the server answered {status}");
                return Err(if is_passing(status) {
                    Trouble::Passing(reason)
                } else {
                    self.refused(reason).into()
                });
            }
        }
        // Shops and drives ask questions in pages, and answer 200.
        if field(header::CONTENT_TYPE).is_some_and(|kind| kind.starts_with("text/html")) {
            return Err(self.refused("the server answered with a web page".into()).into());
        }
        let announced = field(header::CONTENT_LENGTH).and_then(|text| text.parse().ok());
        announced.or(self.wanted.bytes).ok_or_else(|| {
            self.refused("the server does not say how long it is, and neither did --bytes".into())
                .into()
        })
    }

    /// The body, up to `total` bytes of the file and no further.
    fn read(&self, body: Body, part: &mut Part, total: u64) -> Result<(), Trouble> {
        let mut body = body.into_reader();
        let mut buffer = vec![0; CHUNK];
        loop {
            let n = match body.read(&mut buffer) {
                Ok(0) if part.len() == total => return Ok(()),
                Ok(0) => {
                    let reason = format!("it ended after {} of {total} bytes", part.len());
                    return Err(Trouble::Passing(reason));
                }
                Ok(n) => n,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => {
                    let reason = format!("cut after {} of {total} bytes: {error}", part.len());
                    return Err(Trouble::Passing(reason));
                }
            };
            if part.len() + n as u64 > total {
                part.restart()?;
                let got = format!("more than {total}");
                return Err(self.different("length in bytes", total.to_string(), got).into());
            }
            part.append(&buffer[..n])?;
            (self.progress)(part.len(), total);
        }
    }

    /// A request without an answer.
    fn not_reached(&self, error: ureq::Error) -> Trouble {
        use ureq::Error::{ConnectionFailed, HostNotFound, Io, Protocol, Timeout};
        match error {
            HostNotFound | ConnectionFailed => Trouble::Unreachable(error.to_string()),
            Io(error) if error.kind() == ErrorKind::ConnectionRefused => {
                Trouble::Unreachable(error.to_string())
            }
            Io(_) | Timeout(_) | Protocol(_) => Trouble::Passing(error.to_string()),
            other => self.refused(other.to_string()).into(),
        }
    }

    fn refused(&self, reason: String) -> FetchError {
        let (url, file) = (self.url.to_string(), self.wanted.target.to_path_buf());
        FetchError::Refused { url, file, reason }
    }

    fn different(&self, field: &'static str, expected: String, got: String) -> FetchError {
        let (url, file) = (self.url.to_string(), self.wanted.target.to_path_buf());
        FetchError::Different { url, file, field, expected, got }
    }

    /// The file, for messages.
    fn name(&self) -> String {
        self.wanted.target.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// Where the body of a partial response stands: `Content-Range: bytes 7-99/100`.
struct ContentRange {
    first: u64,
    total: u64,
}

impl ContentRange {
    fn parse(text: &str) -> Option<Self> {
        let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
        let (first, _) = range.split_once('-')?;
        Some(Self { first: first.parse().ok()?, total: total.parse().ok()? })
    }
}

/// Whether a status may be another one soon.
fn is_passing(status: StatusCode) -> bool {
    let busy = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
    status.is_server_error() || busy.contains(&status)
}

/// Follows redirects and the environment's proxy, and does not wait for ever.
fn agent() -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .user_agent(concat!("dis/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(SILENCE))
        .timeout_recv_response(Some(SILENCE))
        .timeout_per_read(Some(SILENCE))
        .build()
        .into()
}
