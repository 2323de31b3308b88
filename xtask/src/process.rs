//! Starting cargo, and counting the tests it ran.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use xshell::{Cmd, Shell};

/// A cargo command, to which arguments are added.
pub(crate) fn cargo(shell: &Shell) -> Cmd<'_> {
    shell.cmd(cargo_path())
}

/// Runs a cargo command that has the terminal to itself.
///
/// The error shows what to type, where xshell's own would show the path of the toolchain.
pub(crate) fn run_cargo(command: Cmd<'_>) -> Result<()> {
    let shown = typed(&command);
    eprintln!("$ {shown}");
    let status = Command::from(command).status().context("cannot start cargo")?;
    ensure!(status.success(), "`{shown}` failed ({status})");
    Ok(())
}

/// The command as a person would type it, without the path of cargo.
fn typed(command: &Cmd<'_>) -> String {
    let shown = command.to_string();
    let path = cargo_path().display().to_string();
    shown.strip_prefix(&path).map(|arguments| format!("cargo{arguments}")).unwrap_or(shown)
}

/// The cargo that started us, so that a toolchain override stays in force.
fn cargo_path() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// How many tests ran, and how they ended.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TestCounts {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
}

impl std::ops::AddAssign for TestCounts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl std::fmt::Display for TestCounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(f, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}

/// What one run of `cargo test` did.
pub(crate) struct TestRun {
    pub(crate) success: bool,
    pub(crate) counts: TestCounts,
}

/// Runs `cargo test <arguments> -- <filters>`, shows its output as it comes, counts the tests.
pub(crate) fn cargo_test(
    shell: &Shell,
    arguments: &[String],
    filters: &[String],
) -> Result<TestRun> {
    // The pipe that lets us count would also take the colours away.
    let colour = if std::io::stdout().is_terminal() { "--color=always" } else { "--color=never" };
    let command = cargo(shell).arg("test").args(arguments).args(["--", colour]).args(filters);
    eprintln!("$ {}", typed(&command));
    let mut child =
        Command::from(command).stdout(Stdio::piped()).spawn().context("cannot start cargo")?;
    let output = child.stdout.take().context("the output of cargo was not captured")?;
    let counts = show_and_count(BufReader::new(output), std::io::stdout().lock())?;
    let status = child.wait().context("cannot wait for cargo")?;
    Ok(TestRun { success: status.success(), counts })
}

/// What a test prints that has nothing to run on, where its output is shown.
const SKIP: &str = "skipped, no device: ";

fn show_and_count(mut from: impl BufRead, mut to: impl Write) -> Result<TestCounts> {
    let mut counts = TestCounts::default();
    let (mut line, mut skips) = (Vec::new(), 0);
    // Bytes, not `lines()`: a test may print what is not UTF-8.
    while from.read_until(b'\n', &mut line)? > 0 {
        to.write_all(&line)?;
        let text = String::from_utf8_lossy(&line);
        skips += usize::from(text.contains(SKIP));
        if let Some(mut found) = parse_test_result(&text) {
            // To the test harness a test that did nothing has passed.
            found.passed = found.passed.saturating_sub(skips);
            found.skipped += std::mem::take(&mut skips);
            counts += found;
        }
        line.clear();
    }
    to.flush()?;
    Ok(counts)
}

/// Reads `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out`.
fn parse_test_result(line: &str) -> Option<TestCounts> {
    let (_, result) = line.split_once("test result: ")?;
    let count = |what: &str| {
        let (before, _) = result.split_once(what)?;
        before.split_whitespace().next_back()?.parse().ok()
    };
    Some(TestCounts {
        passed: count(" passed")?,
        failed: count(" failed")?,
        skipped: count(" ignored")?,
    })
}

/// `9.4 s`, or `2 min 05 s`.
pub(crate) fn format_duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 59.95 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round();
    format!("{} min {:02} s", (whole / 60.0).floor(), whole % 60.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_shown_without_the_path_of_the_toolchain() {
        let shell = Shell::new().unwrap();
        assert_eq!(typed(&cargo(&shell).args(["fmt", "--all"])), "cargo fmt --all");
    }

    #[test]
    fn what_has_no_device_counts_as_skipped() {
        let output = "skipped, no device: no driver\ntest a ... ok\ntest b ... ok\n\
            test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n\
            test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n";
        let counts = show_and_count(output.as_bytes(), std::io::sink()).unwrap();
        assert_eq!(counts, TestCounts { passed: 4, failed: 0, skipped: 1 });
    }

    #[test]
    fn results_are_counted_with_and_without_colours() {
        let output = "running 4 tests\n\
            test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out\n\
            test result: \u{1b}[31mFAILED\u{1b}(B\u{1b}[m. 5 passed; 2 failed; 0 ignored; 0 measured\n\
            a line with 9 passed in it\n";
        let mut shown = Vec::new();
        let counts = show_and_count(output.as_bytes(), &mut shown).unwrap();
        assert_eq!(counts, TestCounts { passed: 8, failed: 2, skipped: 1 });
        assert_eq!(shown, output.as_bytes());
        assert_eq!(counts.to_string(), "8 passed, 2 failed, 1 skipped");
    }

    #[test]
    fn bytes_that_are_not_utf8_pass_through() {
        let mut shown = Vec::new();
        let counts = show_and_count(&b"\xff\xfe\nno newline"[..], &mut shown).unwrap();
        assert_eq!(counts, TestCounts::default());
        assert_eq!(shown, b"\xff\xfe\nno newline");
    }

    #[test]
    fn durations_read_naturally() {
        let shown = |seconds| format_duration(Duration::from_secs_f64(seconds));
        assert_eq!(shown(0.04), "0.0 s");
        assert_eq!(shown(9.44), "9.4 s");
        assert_eq!(shown(59.96), "1 min 00 s");
        assert_eq!(shown(125.4), "2 min 05 s");
    }
}
