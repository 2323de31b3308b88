//! A web server with one file, which misbehaves as it is told.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// How a request is answered.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reply {
    /// With what was asked for.
    Good,
    /// With the whole file, whatever range was asked for.
    NoRanges,
    /// With what was asked for, the connection being cut after so many bytes of it.
    Cut(usize),
    /// As `Cut`, and no ranges.
    CutNoRanges(usize),
    /// With a status line and no content.
    Status(&'static str),
    /// With the file and more behind it, its length as it is.
    Longer,
    /// With the file and more behind it, without a length.
    LongerUnannounced,
    /// With a page.
    Page,
    /// With the way to `/elsewhere`.
    Redirect,
    /// With a range that was not asked for.
    OtherRange,
}

/// The file, at any address of this server.
pub(super) struct Server {
    address: String,
    requests: Arc<Mutex<Vec<Option<u64>>>>,
}

impl Server {
    /// Answers as `script` says, then well.
    pub(super) fn start(content: &[u8], script: &[Reply]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, content, script) = (requests.clone(), content.to_vec(), script.to_vec());
        thread::spawn(move || {
            let mut script = script.into_iter();
            for stream in listener.incoming() {
                // A client that goes away early is part of the game.
                let Ok(stream) = stream else { continue };
                let Some(range) = read_request(&stream) else { continue };
                seen.lock().unwrap().push(range);
                let _ = answer(stream, &content, range, script.next().unwrap_or(Reply::Good));
            }
        });
        Self { address, requests }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// First bytes of the ranges that were asked for; none where the whole file was.
    pub(super) fn requests(&self) -> Vec<Option<u64>> {
        self.requests.lock().unwrap().clone()
    }
}

/// The first byte that is asked for, or `None` when the client has gone.
#[allow(clippy::option_option, reason = "no request, or one without a range")]
fn read_request(stream: &TcpStream) -> Option<Option<u64>> {
    let mut range = None;
    let mut is_first = true;
    for line in BufReader::new(stream).lines() {
        let line = line.ok()?;
        if line.is_empty() {
            return (!is_first).then_some(range);
        }
        is_first = false;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
            range = value.trim_end_matches('-').parse().ok();
        }
    }
    None
}

fn answer(
    mut stream: TcpStream,
    content: &[u8],
    range: Option<u64>,
    reply: Reply,
) -> std::io::Result<()> {
    let end = "Connection: close\r\n\r\n";
    let total = content.len();
    let with_ranges = !matches!(reply, Reply::NoRanges | Reply::CutNoRanges(_));
    let first = if with_ranges { range.unwrap_or(0) as usize } else { 0 };
    let head = match reply {
        Reply::Status(status) => {
            format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n{end}")
        }
        Reply::Redirect => {
            format!("HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n{end}")
        }
        Reply::Page => {
            format!("HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n{end}")
        }
        Reply::Longer => format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{end}", total + 5),
        Reply::LongerUnannounced => format!("HTTP/1.1 200 OK\r\n{end}"),
        Reply::OtherRange => format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-{}/{total}\r\n\
             Content-Length: {total}\r\n{end}",
            total - 1
        ),
        _ if first >= total => {
            format!("HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\n{end}")
        }
        _ if first > 0 => format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {first}-{}/{total}\r\n\
             Content-Length: {}\r\n{end}",
            total - 1,
            total - first
        ),
        _ => format!("HTTP/1.1 200 OK\r\nContent-Length: {total}\r\n{end}"),
    };
    stream.write_all(head.as_bytes())?;
    match reply {
        Reply::Status(_) | Reply::Redirect => Ok(()),
        Reply::Page => stream.write_all(b"<html>too many users</html>"),
        Reply::Longer | Reply::LongerUnannounced => {
            stream.write_all(content)?;
            stream.write_all(b"extra")
        }
        Reply::Cut(n) | Reply::CutNoRanges(n) => {
            let n = n.min(total.saturating_sub(first));
            stream.write_all(content.get(first..first + n).unwrap_or_default())
        }
        Reply::OtherRange => stream.write_all(content),
        Reply::Good | Reply::NoRanges => stream.write_all(content.get(first..).unwrap_or_default()),
    }
}
