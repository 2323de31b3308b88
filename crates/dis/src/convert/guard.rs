//! The child process in which a pickle is read.
//!
//! A pickle of a kilobyte can ask for gigabytes, nest without end or run for ever. The child limits
//! its own address space and processor time before it reads a byte; if it dies, the parent says so.

use super::pickle;
use crate::exit::{self, Failure, code};
use crate::info::units::bytes;
use crate::load::{self, Which};
use clap::ValueEnum;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus, Stdio};

/// Address space of a child that reads `file_len` bytes: the widened set of weights, its copy while
/// it is written, and what a process needs anyway.
fn memory_limit(file_len: u64) -> u64 {
    file_len.saturating_mul(4).saturating_add(1 << 30)
}

/// Seconds of processor time: a minute, and one more for every 20 MB.
fn time_limit(file_len: u64) -> u64 {
    60 + file_len / 20_000_000
}

/// Bytes that the child may say.
const LONGEST_MESSAGE: u64 = 16 << 10;

/// Reads `input` in a child that writes safetensors to `output`. Returns what it says it read.
pub(super) fn spawn(input: &Path, output: &Path, key: Option<Which>) -> Result<String, Failure> {
    let own = |error| Failure::new(code::IO, format!("cannot start a second dis: {error}"));
    let mut command = Command::new(std::env::current_exe().map_err(own)?);
    command.args(["convert", "--guarded"]);
    if let Some(name) = key.and_then(|key| key.to_possible_value()) {
        command.args(["--key", name.get_name()]);
    }
    command.arg("--").arg(input).arg(output);
    // What the pickle reader prints is not meant for people.
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(own)?;
    let mut said = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(LONGEST_MESSAGE).read_to_end(&mut said).map_err(own)?;
    }
    let status = child.wait().map_err(own)?;
    let said = String::from_utf8_lossy(&said).trim_end().to_string();
    let file_len = input.metadata().map_or(0, |m| m.len());
    judge(status, said, input, file_len)
}

/// What the end of the child means.
fn judge(status: ExitStatus, said: String, input: &Path, len: u64) -> Result<String, Failure> {
    const SIGXCPU: i32 = 24;
    let name = input.display();
    if let Some(signal) = status.signal() {
        let why = match signal {
            SIGXCPU => format!("it took more than {} s", time_limit(len)),
            _ => format!("its content takes more memory than its {} justify", bytes(len)),
        };
        let message = format!("{name}: {why}; reading was stopped (signal {signal})");
        return Err(Failure::data(message).help("the file is damaged or malicious"));
    }
    match status.code() {
        Some(0) => Ok(said),
        Some(2) => Err(Failure::usage(said)),
        Some(74) => Err(Failure::new(code::IO, said)),
        _ if said.is_empty() => Err(Failure::data(format!("{name}: reading failed ({status})"))),
        _ => Err(Failure::data(said)),
    }
}

/// The child's whole life. Standard output carries what it read, or why it could not.
pub(super) fn child(input: &Path, output: &Path, key: Option<Which>) -> ExitCode {
    // Whatever panics here is the file's doing.
    let name = input.display().to_string();
    std::panic::set_hook(Box::new(move |info| {
        let reason = exit::panic_message(info.payload());
        let _ = exit::print(&format!("{name}: the pickle makes no sense: {reason}\n"));
        std::process::exit(code::DATA.into());
    }));
    match limit(input).and_then(|()| read_and_write(input, output, key)) {
        Ok(read) => {
            let _ = exit::print(&read);
            ExitCode::SUCCESS
        }
        Err(failure) => {
            let _ = exit::print(&failure.in_full());
            failure.code()
        }
    }
}

fn limit(input: &Path) -> Result<(), Failure> {
    let len = input.metadata().map_err(|e| Failure::reading(input, e))?.len();
    for (resource, most) in
        [(Resource::As, memory_limit(len)), (Resource::Cpu, time_limit(len)), (Resource::Core, 0)]
    {
        let already = getrlimit(resource).maximum.unwrap_or(u64::MAX);
        let most = Some(most.min(already));
        let rlimit = Rlimit { current: most, maximum: most };
        setrlimit(resource, rlimit).map_err(|error| {
            Failure::new(code::IO, format!("cannot limit {resource:?} to {most:?}: {error}"))
        })?;
    }
    Ok(())
}

fn read_and_write(input: &Path, output: &Path, key: Option<Which>) -> Result<String, Failure> {
    let (tensors, read) = pickle::read(input, key)?;
    load::write_tensors(output, &tensors)?;
    Ok(read)
}
