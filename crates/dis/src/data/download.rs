//! `dis data download`: known data sets, and files with a known checksum.

mod cifar;
mod fetch;
mod known;
mod part;

use crate::exit::{self, Failure, code};
use crate::info::units::bytes;
use crate::progress;
use anyhow::Result;
use fetch::{FetchError, Outcome, Wanted, fetch};
use known::{ALL, Known};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  dis data download --list
  dis data download cifar10                   into data/cifar10, where the experiments look
  dis data download celeba --out /disk/celeba
  dis data download cifar10 --url http://mirror.example/sets
  dis data download https://host/path/vae.safetensors --sha256 1f2e.. --out weights

What is complete has the right length and SHA-256, and is not fetched again. A connection that
breaks is made again until five attempts in a row brought nothing. After that, or after Ctrl-C, the
same command goes on where it was, if the server can. HTTPS_PROXY and NO_PROXY are honoured.

Without a network, put the files that --list names into the folder by other means: the command then
checks and unpacks them.";

/// Download a data set by name, or a file by address and checksum.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// cifar10, celeba, or the http(s) address of a file
    #[arg(required_unless_present = "list")]
    name: Option<String>,
    /// Folder to put it in [default: data/NAME; for an address the current one]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Take the files of NAME from BASE/FILE instead of where their authors put them; of several,
    /// the next one where one does not have a file
    #[arg(long, value_name = "BASE")]
    url: Vec<String>,
    /// SHA-256 of the file at an address, 64 hexadecimal digits
    #[arg(long, value_name = "HEX")]
    sha256: Option<String>,
    /// Length of the file at an address, where its server does not say it
    #[arg(long, value_name = "N")]
    bytes: Option<u64>,
    /// List names, sizes, sources and terms, and download nothing
    #[arg(long)]
    list: bool,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Result<ExitCode> {
    let name = match &args.name {
        Some(name) if !args.list => name,
        _ => {
            exit::print(&list()?)?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    if name.starts_with("http://") || name.starts_with("https://") {
        one_file(name, &args)?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.sha256.is_some() || args.bytes.is_some() {
        let message = format!("--sha256 and --bytes are for addresses; those of {name} are known");
        return Err(Failure::usage(message).into());
    }
    let Some(known) = ALL.iter().find(|known| known.name == name) else {
        let names: Vec<&str> = ALL.iter().map(|known| known.name).collect();
        let message = format!("{name} is not known, expected {} or an address", names.join(", "));
        return Err(Failure::usage(message).help("dis data download --list says more").into());
    };
    data_set(known, &args)?;
    Ok(ExitCode::SUCCESS)
}

/// All files of a known set, and what has to be done with them.
fn data_set(known: &Known, args: &Args) -> Result<()> {
    if known.files.is_empty() {
        let failure = Failure::usage(format!("{} cannot be downloaded by a program", known.name));
        return Err(failure.help(known.by_hand.unwrap_or(known.page)).into());
    }
    let folder = args.out.clone().unwrap_or_else(|| Path::new("data").join(known.name));
    let is_cifar = known.name == "cifar10";
    if is_cifar && cifar::is_unpacked(&folder) {
        exit::print(&format!("{} has it already\n", folder.display()))?;
        return Ok(());
    }
    tracing::info!("{}: {}; terms: {}", known.name, known.page, known.terms);
    let mut outcome = Outcome::WasThere;
    for file in known.files {
        let mirror = |base: &String| format!("{}/{}", base.trim_end_matches('/'), file.name);
        let urls: Vec<String> = if args.url.is_empty() {
            file.urls.iter().map(|&url| url.to_string()).collect()
        } else {
            args.url.iter().map(mirror).collect()
        };
        let target = folder.join(file.name);
        let wanted =
            Wanted { urls: &urls, bytes: Some(file.bytes), sha256: file.sha256, target: &target };
        outcome = get(&wanted, known.by_hand.filter(|_| args.url.is_empty()))?;
    }
    if is_cifar {
        let archive = folder.join(known.files[0].name);
        let unpacked = cifar::unpack(&archive, &folder)?;
        // Its files have checksums of their own; an archive that somebody brought stays.
        if outcome == Outcome::Fetched {
            fs::remove_file(&archive).map_err(|error| Failure::writing(&archive, error))?;
        }
        exit::print(&format!("unpacked {}\n", unpacked.display()))?;
    }
    exit::print(&format!("look at it with: dis data check {}\n", folder.display()))?;
    Ok(())
}

/// The file at an address.
fn one_file(url: &str, args: &Args) -> Result<()> {
    let is_hex = |hex: &&String| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit());
    let Some(sha256) = args.sha256.as_ref().filter(is_hex) else {
        let message = match &args.sha256 {
            Some(text) => format!("--sha256 {text}, expected 64 hexadecimal digits"),
            None => format!("{url} needs --sha256: what arrives is checked, or not believed"),
        };
        let help = "pages of models and data sets show it, mostly beside the file's size";
        return Err(Failure::usage(message).help(help).into());
    };
    if !args.url.is_empty() {
        return Err(Failure::usage("--url is for data sets that are known by name").into());
    }
    let Some(name) = file_name(url) else {
        return Err(Failure::usage(format!("{url} does not end in the name of a file")).into());
    };
    let target = args.out.clone().unwrap_or_default().join(name);
    let (urls, sha256) = ([url.to_string()], sha256.to_ascii_lowercase());
    get(&Wanted { urls: &urls, bytes: args.bytes, sha256: &sha256, target: &target }, None)?;
    Ok(())
}

/// The last part of an address's path.
fn file_name(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let path = rest.split(['?', '#']).next()?;
    let (_, name) = path.rsplit_once('/')?;
    (!name.is_empty() && name != "." && name != "..").then_some(name)
}

/// One file, with a bar, and a line about how it went. `by_hand` is what helps where the source does
/// not.
fn get(wanted: &Wanted<'_>, by_hand: Option<&str>) -> Result<Outcome, Failure> {
    let bar = progress::byte_bar(wanted.bytes);
    let watch = |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    };
    let outcome = fetch(wanted, &watch);
    bar.finish_and_clear();
    let outcome = outcome.map_err(|error| failure(error, wanted, by_hand))?;
    let name = wanted.target.display();
    let line = match outcome {
        Outcome::WasThere => format!("{name}  was there, SHA-256 is right\n"),
        Outcome::Fetched => {
            let length = fs::metadata(wanted.target).map_or(0, |file| file.len());
            format!("{name}  {}, SHA-256 is right\n", bytes(length))
        }
    };
    exit::print(&line)?;
    Ok(outcome)
}

/// An error with its exit code and what to do about it.
fn failure(error: FetchError, wanted: &Wanted<'_>, by_hand: Option<&str>) -> Failure {
    let (code, help) = match &error {
        FetchError::Refused { .. } if by_hand.is_some() => (code::IO, by_hand.map(String::from)),
        FetchError::Io { .. } => (code::IO, None),
        FetchError::Busy { .. } => (code::IN_USE, None),
        FetchError::Refused { file, .. } => {
            let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = folder.unwrap_or(Path::new(".")).display();
            let help = format!(
                "the same command goes on where this one ended; a file brought by other means to \
                 {folder} is checked the same way, its SHA-256 is {}",
                wanted.sha256
            );
            (code::IO, Some(help))
        }
        FetchError::Different { .. } => {
            let help = "a proxy or mirror may have answered instead of the source";
            (code::DATA, Some(help.to_string()))
        }
        FetchError::InTheWay { .. } => {
            let help = "move it away, or give another folder with --out";
            (code::DATA, Some(help.to_string()))
        }
    };
    let failure = Failure::new(code, error.to_string());
    match help {
        Some(help) => failure.help(help),
        None => failure,
    }
}

/// The table of `--list`.
fn list() -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    for (i, known) in ALL.iter().enumerate() {
        let gap = if i == 0 { "" } else { "\n" };
        writeln!(out, "{gap}{:<10} {}", known.name, known.what)?;
        writeln!(out, "  terms    {}", known.terms)?;
        writeln!(out, "  page     {}", known.page)?;
        for file in known.files {
            writeln!(out, "  {:>8} {}", bytes(file.bytes), file.name)?;
            for url in file.urls {
                writeln!(out, "           {url}")?;
            }
            writeln!(out, "           SHA-256 {}", file.sha256)?;
        }
        match known.files.len() {
            0 => writeln!(out, "  by hand  {}", known.by_hand.unwrap_or(known.page))?,
            1 => {}
            n => writeln!(out, "  {:>8} in {n} files", bytes(known.bytes()))?,
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_file_is_the_end_of_its_path() {
        assert_eq!(file_name("https://h/a/b.bin?download=1"), Some("b.bin"));
        assert_eq!(file_name("http://h:80/b.bin#x/y"), Some("b.bin"));
        for none in ["https://h", "https://h/", "https://h/a/..", "h/b"] {
            assert_eq!(file_name(none), None, "{none}");
        }
    }

    #[test]
    fn checksums_of_known_files_can_be_right() {
        let files: Vec<_> = ALL.iter().flat_map(|known| known.files).collect();
        for file in &files {
            let digits = file.sha256.bytes().filter(|b| b"0123456789abcdef".contains(b)).count();
            assert_eq!((digits, file.sha256.len()), (64, 64), "{}", file.name);
            assert!(file.urls.iter().all(|url| url.starts_with("https://")), "{}", file.name);
        }
        assert_eq!(files.len(), 5);
    }
}
