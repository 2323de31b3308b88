//! Downloads: interrupted, refused, cheated, and whole.

use super::server::{Reply, Server};
use super::{Ended, dis_data};
use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use tempfile::TempDir;

/// 300,000 bytes `i * 7 mod 251`, and their SHA-256 by Python's hashlib.
const LEN: usize = 300_000;
const SHA256: &str = "b1cf7538cf80d01efe3e0b8e45dc930048a138c7b6f8c4aff08f478e4695e631";

fn content() -> Vec<u8> {
    (0..LEN).map(|i| (i * 7 % 251) as u8).collect()
}

/// A folder, and a server that behaves as a script says.
struct Case {
    folder: TempDir,
    server: Server,
}

impl Case {
    fn new(script: &[Reply]) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), server: Server::start(&content(), script) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Downloads `file.bin`.
    fn get(&self, more: &[&str]) -> Ended {
        let url = self.server.url("some/file.bin?version=1");
        let args = ["download", &url, "--sha256", SHA256];
        dis_data(self.folder.path(), args.iter().chain(more))
    }

    /// The file arrives whole, and nothing else is left.
    #[track_caller]
    fn arrives(&self, more: &[&str]) -> Ended {
        let ended = self.get(more).succeeds();
        assert_eq!(fs::read(self.path("file.bin")).unwrap(), content());
        let left = fs::read_dir(self.folder.path()).unwrap().count();
        assert_eq!(left, 1, "{}", ended.stderr);
        ended
    }

    /// Bytes of the part that is kept.
    fn part(&self) -> Option<u64> {
        fs::metadata(self.path("file.bin.part")).ok().map(|file| file.len())
    }
}

#[test]
fn a_file_arrives_whole_and_is_not_fetched_twice() {
    let case = Case::new(&[]);
    let ended = case.arrives(&[]);
    assert_eq!(ended.stdout, "file.bin  300 kB, SHA-256 is right\n");
    let again = case.arrives(&["--bytes", "300000"]);
    assert_eq!(again.stdout, "file.bin  was there, SHA-256 is right\n");
    assert_eq!(case.server.requests(), [None]);
}

#[test]
fn redirects_are_followed() {
    let case = Case::new(&[Reply::Redirect]);
    case.arrives(&[]);
    assert_eq!(case.server.requests(), [None, None]);
}

#[test]
fn a_cut_connection_is_taken_up_where_it_was() {
    let case = Case::new(&[Reply::Cut(100_000), Reply::Cut(50_000)]);
    let ended = case.arrives(&[]);
    assert_eq!(case.server.requests(), [None, Some(100_000), Some(150_000)]);
    assert!(ended.stderr.contains("after 100000 of 300000 bytes"), "{}", ended.stderr);
}

#[test]
fn a_server_without_ranges_starts_again() {
    let case = Case::new(&[Reply::CutNoRanges(100_000), Reply::NoRanges]);
    case.arrives(&[]);
    assert_eq!(case.server.requests(), [None, Some(100_000)]);
    let case = Case::new(&[Reply::Cut(100_000), Reply::OtherRange, Reply::Good]);
    case.arrives(&[]);
    assert_eq!(case.server.requests(), [None, Some(100_000), None]);
}

#[test]
fn the_next_process_goes_on() {
    let case = Case::new(&[]);
    fs::write(case.path("file.bin.part"), &content()[..123_456]).unwrap();
    case.arrives(&[]);
    assert_eq!(case.server.requests(), [Some(123_456)]);
    // A part of something else is noticed at the end, and one too long at the start.
    for (len, requests) in [(1000, vec![Some(1000), None]), (LEN + 1, vec![Some(300_001), None])] {
        let case = Case::new(&[]);
        fs::write(case.path("file.bin.part"), vec![1; len]).unwrap();
        case.arrives(&[]);
        assert_eq!(case.server.requests(), requests);
    }
    let case = Case::new(&[]);
    fs::write(case.path("file.bin.part"), content()).unwrap();
    case.arrives(&["--bytes", "300000"]);
    assert_eq!(case.server.requests(), []);
}

#[test]
fn a_server_that_recovers_is_asked_again() {
    let busy = Reply::Status("500 Internal Server Error");
    let case = Case::new(&[busy, Reply::Status("429 Too Many Requests")]);
    let ended = case.arrives(&[]);
    assert_eq!(case.server.requests().len(), 3);
    assert!(ended.stderr.contains("500"), "{}", ended.stderr);
}

#[test]
fn a_source_without_progress_is_given_up_and_its_part_kept() {
    let case = Case::new(&[
        Reply::Cut(100),
        Reply::Cut(0),
        Reply::Cut(0),
        Reply::Cut(0),
        Reply::Cut(0),
        Reply::Cut(0),
    ]);
    let url = case.server.url("some/file.bin");
    case.get(&[]).refuses(74, &[&url, "file.bin", "100 of 300000", "5 attempts", "help: ", SHA256]);
    assert_eq!((case.part(), case.server.requests().len()), (Some(100), 5));
}

#[test]
fn what_is_not_there_is_told_at_once() {
    let case = Case::new(&[Reply::Status("404 Not Found")]);
    case.get(&[]).refuses(74, &["file.bin", "http://127.0.0.1", "404 Not Found"]);
    let case = Case::new(&[Reply::Page]);
    case.get(&[]).refuses(74, &["web page"]);
    assert_eq!((case.part(), case.server.requests().len()), (None, 1));
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{closed}/x.bin");
    let ended = dis_data(case.folder.path(), ["download", &url, "--sha256", SHA256]);
    ended.refuses(74, &[&url, "refused", "brought by other means"]);
}

#[test]
fn other_bytes_are_refused_and_not_kept() {
    let case = Case::new(&[]);
    let url = case.server.url("file.bin");
    let other = SHA256.replace('0', "1");
    let ended = dis_data(case.folder.path(), ["download", &url, "--sha256", &other]);
    ended.refuses(65, &["SHA-256", &url, SHA256, &other]);
    assert_eq!((case.part(), case.path("file.bin").exists()), (None, false));
}

#[test]
fn a_longer_body_is_refused() {
    for reply in [Reply::Longer, Reply::LongerUnannounced] {
        let case = Case::new(&[reply]);
        case.get(&["--bytes", "300000"]).refuses(65, &["length in bytes", "expected 300000"]);
        assert_eq!((case.part(), case.path("file.bin").exists()), (None, false), "{reply:?}");
    }
    let case = Case::new(&[Reply::LongerUnannounced]);
    case.get(&[]).refuses(74, &["does not say how long", "--bytes"]);
}

#[test]
fn another_file_is_never_replaced() {
    let case = Case::new(&[]);
    fs::write(case.path("file.bin"), "mine").unwrap();
    case.get(&[]).refuses(65, &["file.bin exists", SHA256, "--out"]);
    assert_eq!(fs::read(case.path("file.bin")).unwrap(), b"mine");
    assert_eq!(case.server.requests(), []);
}

#[test]
fn two_processes_do_not_write_the_same_file() {
    let case = Case::new(&[]);
    let part = fs::File::create(case.path("file.bin.part")).unwrap();
    part.lock().unwrap();
    case.get(&[]).refuses(73, &["file.bin.part", "another process"]);
}

#[test]
fn data_sets_come_from_a_mirror_and_only_as_they_were_published() {
    let case = Case::new(&[]);
    let base = case.server.url("mirror/");
    let get = |name| dis_data(case.folder.path(), ["download", name, "--url", &base]);
    let archive = "data/cifar10/cifar-10-binary.tar.gz";
    get("cifar10").refuses(65, &[archive, "mirror/cifar-10", "300000, expected 170052171"]);
    get("celeba").refuses(65, &["data/celeba/list_eval_partition.txt", "expected 2836386"]);
    assert!(!case.path(archive).exists());
    let bad = Server::start(&[], &[Reply::Status("403 Forbidden")]).url("bad");
    let ended =
        dis_data(case.folder.path(), ["download", "cifar10", "--url", &bad, "--url", &base]);
    ended.refuses(65, &["403 Forbidden; trying the next source", "mirror/cifar-10", "170052171"]);
    get("imagenet").refuses(2, &["help: ", "image-net.org", "ILSVRC2012_img_train.tar"]);
    get("cifar100").refuses(2, &["cifar10, celeba, imagenet", "--list"]);
}

#[test]
fn arguments_that_do_not_fit_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| dis_data(folder.path(), [&["download"], args].concat());
    run(&["http://h/x.bin"]).refuses(2, &["--sha256"]);
    run(&["http://h/x.bin", "--sha256", "12ab"]).refuses(2, &["12ab", "64 hexadecimal digits"]);
    run(&["http://h/", "--sha256", SHA256]).refuses(2, &["name of a file"]);
    run(&["http://h/x", "--sha256", SHA256, "--url", "http://g"]).refuses(2, &["--url"]);
    run(&["cifar10", "--sha256", SHA256]).refuses(2, &["--sha256", "cifar10"]);
    assert_eq!(run(&[]).code, Some(2));
    let list = run(&["--list"]).succeeds().stdout;
    for word in ["cifar10", "170 MB", "celeba", "1.44 GB", "non-commercial", "imagenet", "https://"]
    {
        assert!(list.contains(word), "no {word:?} in\n{list}");
    }
}
