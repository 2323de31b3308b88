//! How a command speaks on standard output, and how the process ends.
//!
//! | code | means | examples |
//! |---|---|---|
//! | 0 | done | also when the reader of standard output went away (`dis info \| head -1`) |
//! | 2 | usage or configuration | unknown flag or key, a label beyond the classes, an existing output |
//! | 65 | bad data | an input file that is missing, cut short or not what the network expects |
//! | 70 | bug | a panic on any thread; never the user's fault |
//! | 73 | run directory in use | another process holds `run.lock` |
//! | 74 | the system refused | disk full, directory not writable, no GPU or no memory left on it |
//! | 75 | checkpoint saved after a signal | run the same command again |
//! | 76 | halted | a loss or gradient that is not finite |
//!
//! Errors get their code from their type; a [`Failure`] has one itself. Of the errors in a chain the
//! outermost that has a code decides; without any it is 2.

use data::DataError;
use data::latents::LatentError;
use diffusion::DiffusionError;
use dis_model::ModelError;
use eval::EvalError;
use npz::NpzError;
use ssm_kernels::KernelError;
use std::error::Error;
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;
use trainer::checkpoint::CheckpointError;
use trainer::{
    ConfigError, EventError, ExitCode as _, MetricsError, RunDirError, StepError, TrainError,
};
use vae::VaeError;

pub(crate) use trainer::exit as code;

/// The table that `dis --help` ends with.
pub(crate) const HELP: &str = "\
Exit codes:
   0  done
   2  usage or configuration: a flag, a key or a value is wrong
  65  bad data: an input file is missing, damaged or not what the network expects
  70  a bug in dis
  73  the run directory is in use by another process
  74  the system refused: disk full, directory not writable, no GPU or no memory left on it
  75  checkpoint saved after a signal: run the same command again
  76  halted on a loss or gradient that is not finite";

/// Lines of one report; what is left out is counted.
const SCREEN_LINES: usize = 36;

/// An error that knows its code, and perhaps what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    code: u8,
    message: String,
    help: Option<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    /// `message` names the file or flag, what was expected and what was found.
    pub(crate) fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), help: None, source: None }
    }

    /// A wrong flag, key or value.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(code::CONFIG, message)
    }

    /// A wrong input file.
    pub(crate) fn data(message: impl Into<String>) -> Self {
        Self::new(code::DATA, message)
    }

    /// What to do about it.
    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// Message, cause and help, one after the other.
    pub(crate) fn in_full(&self) -> String {
        let cause = self.source.as_ref().map_or_else(String::new, |e| format!(": {e}"));
        let help = self.help.as_ref().map_or_else(String::new, |help| format!("\nhelp: {help}"));
        format!("{}{cause}{help}\n", self.message)
    }

    /// An input file that cannot be read: bad data where it is missing, else the system's fault.
    pub(crate) fn reading(path: &Path, error: io::Error) -> Self {
        let failure = Self::new(code_of_io(&error), format!("cannot read {}", path.display()));
        Self { source: Some(error.into()), ..failure }
    }

    /// An output file that cannot be written.
    pub(crate) fn writing(path: &Path, error: io::Error) -> Self {
        let failure = Self::new(code::IO, format!("cannot write {}", path.display()));
        Self { source: Some(error.into()), ..failure }
    }
}

/// Refuses a file in a folder that is not there, before hours of work.
pub(crate) fn check_parent(file: &Path) -> Result<(), Failure> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    match folder.map(std::fs::metadata) {
        None | Some(Ok(_)) => Ok(()),
        Some(Err(error)) => Err(Failure::writing(file, error)),
    }
}

/// Code of an operating system's error about which nothing else is known.
fn code_of_io(error: &io::Error) -> u8 {
    match error.kind() {
        ErrorKind::NotFound
        | ErrorKind::IsADirectory
        | ErrorKind::NotADirectory
        | ErrorKind::InvalidData
        | ErrorKind::InvalidInput
        | ErrorKind::UnexpectedEof => code::DATA,
        _ => code::IO,
    }
}

/// Code of one error, by its type.
fn code_of(error: &(dyn Error + 'static)) -> Option<u8> {
    macro_rules! one_of {
        ($($error:ty),*) => {
            $(if let Some(error) = error.downcast_ref::<$error>() {
                return Some(error.exit_code());
            })*
        };
    }
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return Some(failure.code);
    }
    if let Some(error) = error.downcast_ref::<VaeError>() {
        return match error {
            VaeError::Kernel(error) => Some(error.exit_code()),
            VaeError::Input { .. } => Some(code::CONFIG),
            VaeError::Config { .. } | VaeError::File { .. } | VaeError::Weights(_) => {
                Some(code::DATA)
            }
        };
    }
    if let Some(error) = error.downcast_ref::<EvalError>() {
        return match error {
            EvalError::Kernel(error) => Some(error.exit_code()),
            EvalError::Io { error, .. } => Some(code_of_io(error)),
            EvalError::Npz(error) => code_of(error),
            EvalError::Input { .. } => Some(code::CONFIG),
            _ => Some(code::DATA),
        };
    }
    if let Some(error) = error.downcast_ref::<NpzError>() {
        return match error {
            NpzError::Io { error, .. } => Some(code_of_io(error)),
            _ => Some(code::DATA),
        };
    }
    one_of!(ModelError, DataError, DiffusionError, CheckpointError, ConfigError, LatentError);
    one_of!(EventError, KernelError, MetricsError, RunDirError, StepError, TrainError);
    error.downcast_ref::<io::Error>().map(code_of_io)
}

/// Ends a command: prints what went wrong on one screen of standard error, and picks the code.
pub(crate) fn report(result: anyhow::Result<ExitCode>) -> ExitCode {
    let error = match result {
        Ok(code) => return code,
        Err(error) => error,
    };
    let code = error.chain().find_map(code_of).unwrap_or(code::CONFIG);
    // Standard error may be gone as well; the code remains.
    let _ = io::stderr().lock().write_all(explain(&error).as_bytes());
    ExitCode::from(code)
}

/// The chain from what was attempted to its cause, then what to do about it.
fn explain(error: &anyhow::Error) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut help: Vec<String> = Vec::new();
    let mut above = String::new();
    for (depth, cause) in error.chain().enumerate() {
        let message = cause.to_string();
        // Libraries that quote their cause in their own message need no second line.
        if !above.contains(&message) {
            let (advice, text): (Vec<&str>, Vec<&str>) =
                message.lines().partition(|line| line.trim_start().starts_with("help: "));
            let (first, rest) = if depth == 0 { ("error: ", "  ") } else { ("  because ", "    ") };
            lines.extend(
                text.iter()
                    .enumerate()
                    .map(|(i, line)| format!("{}{line}", if i == 0 { first } else { rest })),
            );
            help.extend(advice.iter().map(|line| line.trim_start().to_string()));
        }
        if let Some(advice) = cause.downcast_ref::<Failure>().and_then(|f| f.help.as_ref()) {
            help.push(format!("help: {advice}"));
        }
        above = message;
    }
    let hidden = lines.len().saturating_sub(SCREEN_LINES);
    if hidden > 0 {
        lines.truncate(SCREEN_LINES);
        lines.push(format!("  … and {hidden} more lines"));
    }
    lines.extend(help);
    lines.join("\n") + "\n"
}

/// Makes a panic on any thread end the process with code 70 and an apology.
pub(crate) fn install_panic_hook() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map_or_else(String::new, |place| format!(", at {place}"));
        let message = panic_message(info.payload());
        let version = env!("CARGO_PKG_VERSION");
        let mut text = format!(
            "error: this is a bug in dis {version}, not a mistake of yours\n  {message}{place}\n"
        );
        let backtrace = std::backtrace::Backtrace::capture();
        if backtrace.status() == std::backtrace::BacktraceStatus::Captured {
            text += &format!("{backtrace}\n");
        }
        text += "help: please report these lines with the command; RUST_BACKTRACE=1 adds the way there\n";
        let _ = io::stderr().lock().write_all(text.as_bytes());
        std::process::exit(code::BUG.into());
    }));
}

/// What a panic said.
fn panic_message(payload: &dyn std::any::Any) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

/// Writes lines to standard output. A reader that has gone away is no error.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::writing(Path::new("standard output"), error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    fn code(error: anyhow::Error) -> Option<u8> {
        error.chain().find_map(code_of)
    }

    #[test]
    fn the_outermost_error_with_a_code_decides_through_any_context() {
        let missing = || io::Error::from(ErrorKind::NotFound);
        let bare = Err::<(), _>(missing()).context("opening a file").unwrap_err();
        assert_eq!(code(bare), Some(code::DATA));
        let output = Failure::writing(Path::new("o"), missing());
        assert_eq!(code(anyhow::Error::from(output).context("saving")), Some(code::IO));
        let label =
            ModelError::Input { operand: "labels", got: "11".into(), expected: "10".into() };
        assert_eq!(code(anyhow::Error::from(label).context("forward")), Some(code::CONFIG));
        let held = RunDirError::InUse { path: "runs/x".into(), holder: None };
        assert_eq!(code(held.into()), Some(code::IN_USE));
        assert_eq!(code(anyhow::anyhow!("plain")), None);
    }

    #[test]
    fn a_device_that_fails_is_no_bug_however_deep_it_is_found() {
        let device = || KernelError::Device { op: "allocate".into(), message: "full".into() };
        let model = || ModelError::Kernel(device());
        assert_eq!(code(device().into()), Some(code::IO));
        assert_eq!(code(anyhow::Error::from(model()).context("value pass")), Some(code::IO));
        assert_eq!(code(TrainError::Model(model()).into()), Some(code::IO));
        assert_eq!(code(TrainError::Step(StepError::Model(model())).into()), Some(code::IO));
        let expected = "1 x 1".to_string();
        let operand =
            KernelError::Matrix { op: "gemm", operand: "a", got: expected.clone(), expected };
        assert_eq!(code(ModelError::Kernel(operand).into()), Some(code::BUG));
    }

    #[test]
    fn a_report_is_a_chain_with_its_help_last_and_fits_a_screen() {
        let full = io::Error::from(ErrorKind::StorageFull);
        let failure = Failure::writing(Path::new("out/x"), full).help("free some space");
        let text = explain(&anyhow::Error::from(failure).context("saving the result"));
        assert_eq!(
            text,
            "error: saving the result\n  because cannot write out/x\n  because no storage space\n\
             help: free some space\n"
        );
        let table: String = (0..100).map(|i| format!("row {i}\n")).collect();
        let long = explain(&Failure::data(format!("{table}help: look again")).into());
        assert_eq!(long.lines().count(), SCREEN_LINES + 2);
        assert!(long.ends_with("  … and 64 more lines\nhelp: look again\n"), "{long}");
    }

    #[test]
    fn a_cause_already_quoted_is_not_repeated() {
        let error = Err::<(), _>(anyhow::anyhow!("disk on fire"))
            .context("x.safetensors: disk on fire")
            .unwrap_err();
        assert_eq!(explain(&error), "error: x.safetensors: disk on fire\n");
    }
}
