//! What the features need: for `cuda` a list of the kernels that were built ahead of time; for
//! `emulated`, which tests use, the kernels built for this machine.
//!
//! The latter are two libraries, because the checker sees every access only of code that was built to
//! tell it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    if env::var_os("CARGO_FEATURE_CUDA").is_some() {
        list_fatbins(&root.join("fatbin"), &out.join("fatbins.rs"));
    }
    if env::var_os("CARGO_FEATURE_EMULATED").is_some() {
        build_for_this_machine(&root.join("../../kernels"), &out);
    }
}

/// Writes the constant `FATBINS`.
fn list_fatbins(folder: &Path, list: &Path) {
    println!("cargo:rerun-if-changed={}", folder.display());
    let entries = files(folder, "fatbin").into_iter().map(|path| {
        let name = path.file_stem().expect("a file").to_string_lossy().into_owned();
        format!("    ({name:?}, include_bytes!({:?})),\n", path.display().to_string())
    });
    let text = format!("const FATBINS: &[(&str, &[u8])] = &[\n{}];\n", entries.collect::<String>());
    fs::write(list, text).expect("OUT_DIR is writable");
}

fn build_for_this_machine(kernels: &Path, out: &Path) {
    println!("cargo:rerun-if-env-changed=CXX");
    let kernels = kernels.canonicalize().expect("kernels/ stands at the root of the workspace");
    println!("cargo:rerun-if-changed={}", kernels.display());
    // Beside the kernels those with a mistake on purpose, which the checker must find.
    let mut sources = files(&kernels, "cu");
    sources.extend(files(&kernels.join("planted"), "cu"));
    for build in [FAST, CHECKED] {
        build.library(&kernels, &sources, out);
    }
}

/// The files of a folder with one extension, sorted.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("an entry of a folder").path());
    let mut files: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|e| e == extension)).collect();
    files.sort();
    files
}

/// A way to build the kernels.
struct Build {
    name: &'static str,
    kernel_flags: &'static [&'static str],
    /// Sources of the emulator that go with it.
    emulator: &'static [&'static str],
}

const FAST: Build = Build {
    name: "fast",
    // FMA, without which every `fmaf` is a call of the library.
    kernel_flags: &["-O2", "-march=native"],
    emulator: &["runtime.cpp"],
};

const CHECKED: Build = Build {
    name: "checked",
    // The calls of the sanitizers, without their libraries: checker.cpp answers them.
    kernel_flags: &["-O1", "-g", "-fsanitize=thread,alignment", "-fno-threadsafe-statics"],
    emulator: &["runtime.cpp", "checker.cpp"],
};

impl Build {
    fn library(&self, kernels: &Path, sources: &[PathBuf], out: &Path) {
        let mut objects = Vec::new();
        let mut jobs = Vec::new();
        for source in sources {
            let stem = source.file_stem().expect("a file").to_string_lossy();
            let object = out.join(format!("{}_{stem}.o", self.name));
            let mut command = compiler(kernels);
            command.args(self.kernel_flags).args(["-x", "c++"]);
            command.arg(source).arg("-c").arg("-o").arg(&object);
            jobs.push(command);
            objects.push(object);
        }
        run_all(jobs);
        let mut link = compiler(kernels);
        link.args(["-O2", "-shared", "-Wl,-Bsymbolic"]).args(&objects);
        link.args(self.emulator.iter().map(|file| kernels.join("emulator").join(file)));
        link.arg("-o").arg(out.join(format!("libkernels_{}.so", self.name)));
        run_all(vec![link]);
    }
}

fn compiler(kernels: &Path) -> Command {
    let mut command = Command::new(env::var("CXX").unwrap_or_else(|_| "c++".into()));
    command.args(["-std=c++17", "-fPIC"]);
    command.arg("-I").arg(kernels.join("include"));
    command
}

/// Runs all commands, as many at a time as cargo allows; ends the build when one fails.
fn run_all(commands: Vec<Command>) {
    let at_once = env::var("NUM_JOBS").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    let mut running: Vec<(Command, Child)> = Vec::new();
    for mut command in commands {
        if running.len() == at_once {
            finish(running.remove(0));
        }
        let child = command.spawn().unwrap_or_else(|error| {
            let program = command.get_program().to_string_lossy();
            panic!("cannot run {program}: {error}; install a C++ compiler, or name one in CXX")
        });
        running.push((command, child));
    }
    running.into_iter().for_each(finish);
}

fn finish((command, mut child): (Command, Child)) {
    let status = child.wait().expect("a process of our own");
    assert!(status.success(), "{command:?} failed: {status}");
}
