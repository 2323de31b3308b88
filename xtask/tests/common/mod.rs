//! Small workspaces made for a test, and `xtask` started in them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Makes a workspace in a fresh folder; each crate is its name and its source file with text.
pub(crate) fn workspace(test: &str, crates: &[(&str, &str, &str)]) -> PathBuf {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    if root.exists() {
        std::fs::remove_dir_all(&root).unwrap();
    }
    write(&root, "Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = [\"crates/*\"]\n");
    for (name, file, text) in crates {
        let manifest = format!("[package]\nname = \"{name}\"\nedition = \"2024\"\n");
        write(&root, &format!("crates/{name}/Cargo.toml"), &manifest);
        write(&root, &format!("crates/{name}/{file}"), text);
    }
    root
}

pub(crate) fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// `cargo xtask` in that workspace, without what the surrounding cargo set.
pub(crate) fn xtask(root: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command
        .args(arguments)
        .current_dir(root)
        .env("CARGO_TARGET_DIR", root.join("target"))
        .env("CARGO_NET_OFFLINE", "true")
        .env_remove("CARGO_BUILD_TARGET")
        .env_remove("RUSTFLAGS")
        .env_remove("NEXTEST_PROFILE");
    command
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Makes shell scripts of these names in `bin/` of a workspace; the folder.
#[cfg(unix)]
pub(crate) fn programs(root: &Path, scripts: &[(&str, &str)]) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let folder = root.join("bin");
    for (name, script) in scripts {
        write(root, &format!("bin/{name}"), &format!("#!/bin/sh\n{script}\n"));
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(folder.join(name), executable).unwrap();
    }
    folder
}
