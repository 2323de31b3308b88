//! The folder that goes to a machine with a GPU.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use xshell::Shell;

use super::executables::build;
use crate::workspace::Workspace;

/// What the folder may weigh, so that it fits wherever files are sent.
const MOST_BYTES: u64 = 48 << 20;

/// The experiment that is trained there, shortened by run.sh.
const CONFIG: &str = "configs/quickstart.toml";

const RUN: &str = include_str!("run.sh");
const README: &str = include_str!("bundle.txt");

/// A file of an earlier bundle, by which its folder is known.
const MARK: &str = "commit.txt";

/// Builds everything and fills the folder.
pub(super) fn run(shell: &Shell, out: Option<&Path>) -> Result<()> {
    let root = Workspace::load(shell)?.root;
    let out = out.map_or_else(|| root.join("target/gpu-bundle"), Path::to_path_buf);
    ensure_ours(&out)?;
    let executables = build(shell)?;
    empty(&out)?;
    let bin = out.join("bin");
    std::fs::create_dir_all(&bin).with_context(|| bin.display().to_string())?;
    for (executable, path) in &executables {
        copy(path, &bin.join(executable.name))?;
    }
    copy(&root.join(CONFIG), &out.join("config.toml"))?;
    write(&out.join("run.sh"), RUN)?;
    make_executable(&out.join("run.sh"))?;
    write(&out.join("README.txt"), README)?;
    write(&out.join(MARK), &(commit(&root) + "\n"))?;
    let files = files(&out)?;
    print!("{}", listing(&out, &files));
    check_size(files.iter().map(|(_, bytes)| bytes).sum())
}

/// A folder of something else is not thrown away.
fn ensure_ours(out: &Path) -> Result<()> {
    let is_ours = !out.exists() || out.join(MARK).is_file() || is_empty(out)?;
    let shown = out.display();
    ensure!(is_ours, "{shown} holds something that is no bundle; name another folder with --out");
    Ok(())
}

fn is_empty(folder: &Path) -> Result<bool> {
    let mut entries = folder.read_dir().with_context(|| format!("folder {}", folder.display()))?;
    Ok(entries.next().is_none())
}

/// Results of an earlier run may lie there, and stay.
fn empty(out: &Path) -> Result<()> {
    for name in ["bin", "config.toml", "run.sh", "README.txt", MARK] {
        let path = out.join(name);
        let removed = if path.is_dir() {
            std::fs::remove_dir_all(&path)
        } else if path.exists() {
            std::fs::remove_file(&path)
        } else {
            continue;
        };
        removed.with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let copied = std::fs::copy(from, to);
    copied.with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(unix)]
fn make_executable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let permissions = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(path, permissions).with_context(|| path.display().to_string())
}

#[cfg(not(unix))]
fn make_executable(_path: &Path) -> Result<()> {
    Ok(())
}

/// What was built, `-dirty` behind it where files had changed.
fn commit(root: &Path) -> String {
    let mut git = Command::new("git");
    git.args(["describe", "--always", "--dirty"]).current_dir(root);
    let said = git.output().ok().filter(|output| output.status.success());
    let said = said.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    said.unwrap_or_else(|| "unknown".into())
}

/// The files of the bundle and their bytes, without results that a run left there.
fn files(out: &Path) -> Result<Vec<(PathBuf, u64)>> {
    let mut files = Vec::new();
    for folder in [out.to_path_buf(), out.join("bin")] {
        for entry in folder.read_dir().with_context(|| format!("folder {}", folder.display()))? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_file() {
                files.push((entry.path(), metadata.len()));
            }
        }
    }
    files.sort();
    Ok(files)
}

fn listing(out: &Path, files: &[(PathBuf, u64)]) -> String {
    let mut text = String::new();
    let mut sum = 0;
    for (path, bytes) in files {
        let name = path.strip_prefix(out).unwrap_or(path).display().to_string();
        text += &format!("{name:24} {:>9}\n", mebibytes(*bytes));
        sum += bytes;
    }
    let total = mebibytes(sum);
    text + &format!("{:24} {total:>9} of 48 MiB\n{}\n", "all", out.display())
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.2} MiB", bytes as f64 / f64::from(1 << 20))
}

fn check_size(bytes: u64) -> Result<()> {
    let has = mebibytes(bytes);
    ensure!(bytes <= MOST_BYTES, "the bundle has {has}, which is more than 48 MiB");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_listed_and_limited() {
        let out = Path::new("b");
        let files = [(out.join("bin/dis"), 3 << 20), (out.join("run.sh"), 1 << 19)];
        assert_eq!(
            listing(out, &files),
            "bin/dis                   3.00 MiB\nrun.sh                    0.50 MiB\n\
             all                       3.50 MiB of 48 MiB\nb\n"
        );
        assert!(check_size(48 << 20).is_ok());
        let error = check_size(49 << 20).unwrap_err().to_string();
        assert_eq!(error, "the bundle has 49.00 MiB, which is more than 48 MiB");
    }

    #[test]
    fn the_readme_names_every_step_of_the_script() {
        let steps = RUN.lines().filter_map(|line| line.strip_prefix("step_"));
        let steps: Vec<_> = steps.filter_map(|line| line.split_once('(')).collect();
        assert!(steps.len() > 5, "{steps:?}");
        for (step, _) in steps {
            assert!(README.contains(&format!("\n  {step} ")), "README.txt lacks `{step}`");
        }
    }
}
