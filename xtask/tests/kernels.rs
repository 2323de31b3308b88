//! `cargo xtask kernels`, with shell scripts in the places of nvcc, cuobjdump and python3.

#![forbid(unsafe_code)]
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a failed test panics")]

mod common;

use std::path::Path;

use common::{programs, stderr, stdout, workspace, write, xtask};

const NO_KERNELS: &str = "0 kernel files, 0 fatbins that are not current\n";
const BINDINGS: &str = "crates/ssm-kernels/src/device/bindings.rs";

/// Its fatbin is the source, whose lines are the instructions of the entry `scan`; the registers
/// are as many as the lines.
const NVCC: &str = r#"
test "$1" = --version && echo "Cuda compilation tools, release 13.0, V13.0.88" && exit
while test $# -gt 1; do test "$1" = -o && out=$2; shift; done
cp "$1" "$out"
for arch in sm_80 sm_90; do
    echo "ptxas info    : Compiling entry function 'scan' for '$arch'"
    echo "    $(grep -c LDL "$1") bytes stack frame, 0 bytes spill stores, 0 bytes spill loads"
    echo "ptxas info    : Used $(wc -l < "$1") registers"
done"#;
const CUOBJDUMP: &str = "echo 'Function : scan'; cat \"$4\"";

/// `cargo xtask kernels` on a machine with no more programs than these and cargo.
fn kernels(root: &Path, bin: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let cargo = Path::new(env!("CARGO")).parent().unwrap();
    let path = std::env::join_paths([bin, cargo, Path::new("/usr/bin"), Path::new("/bin")]);
    let mut command = xtask(root, &[&["kernels"], arguments].concat());
    command.env("PATH", path.unwrap()).env_remove("CUDA_HOME").env_remove("CI");
    if bin.join("nvcc").exists() {
        command.env("NVCC", bin.join("nvcc"));
    } else {
        command.env_remove("NVCC");
    }
    let output = command.output().unwrap();
    (output.status.code(), stdout(&output), stderr(&output))
}

const SCAN: &str = "#include \"scan.h\"\n/*0000*/ FADD R0, R0, R1 ;\n\
    /*0010*/ @P0 BRA 0x0 ;\n/*0020*/ EXIT ;\n";

#[test]
fn kernels_are_built_and_checked_against_their_limits() {
    let root = workspace("kernels", &[("ssm-kernels", "src/lib.rs", "")]);
    write(&root, "kernels/scan.cu", SCAN);
    write(&root, "kernels/include/scan.h", "");
    let bin = programs(&root, &[("nvcc", NVCC), ("cuobjdump", CUOBJDUMP)]);
    let run = |arguments: &[&str], code: i32, expected: &str| {
        let (status, out, err) = kernels(&root, &bin, arguments);
        assert_eq!(status, Some(code), "{arguments:?}: {out}{err}");
        assert!((out.clone() + &err).contains(expected), "{expected} is not in\n{out}{err}");
    };
    run(&["check"], 1, "kernels/scan.cu: it has no fatbin; run `cargo xtask kernels build`");
    run(&["build"], 0, "[1/1] kernels/scan.cu: 1 entry, 0.1 KB");
    run(&["build"], 0, "0 of 1 kernel files to build");
    run(&["build", "--all"], 0, "1 of 1 kernel files to build");
    run(&["check"], 1, "lacks [scan.sm_80] [scan.sm_90]; run `cargo xtask kernels check --update`");
    run(&["check", "--update"], 0, "wrote kernels/limits.toml");
    run(&["check", "--loops"], 0, "scan                                 sm_90          4       8");
    run(&["sass", "scan"], 0, "  1  0010    @P0 BRA 0x0");
    run(&["sass", "scam"], 1, "no entry `scam` in kernels/*.cu; did you mean `scan`?");

    write(&root, "kernels/include/scan.h", "// new");
    run(&["check"], 1, "changed since its fatbin was built; run `cargo xtask kernels build`");
    write(&root, "kernels/scan.cu", &SCAN.replace("EXIT ;\n", "LDL R0, [R1] ;\n"));
    run(&["build"], 0, "1 of 1 kernel files to build");
    run(&["check"], 1, "scan on sm_80: 1 bytes of local memory");
    write(&root, "kernels/scan.cu", &SCAN.replace("FADD", "FADD R0, R0, R0 ;\n/*0008*/ FADD"));
    run(&["check"], 1, "scan on sm_90: 4 instructions in all, it had 3");

    write(&root, "kernels/scan.cu", SCAN);
    write(&root, "kernels/include/scan.h", "");
    write(&root, "crates/ssm-kernels/fatbin/gone.fatbin", "");
    run(&["check"], 1, "gone.fatbin: there is no kernels/gone.cu");
    run(&["build"], 0, "removed gone.fatbin");
    run(&["check"], 0, "1 kernel files, 0 fatbins that are not current");
    write(&root, "crates/ssm-kernels/fatbin/scan.fatbin", "another");
    run(&["check"], 1, "its fatbin is not the one of the manifest");
}

#[test]
fn without_nvcc_the_fatbins_are_checked_and_the_rest_is_said() {
    let root = workspace("no_nvcc", &[("ssm-kernels", "src/lib.rs", "")]);
    let bin = programs(&root, &[("python3", "exit 3")]);
    let (status, out, err) = kernels(&root, &bin, &["check"]);
    assert_eq!((status, out.as_str()), (Some(0), NO_KERNELS), "{err}");

    write(&root, "kernels/scan.cu", "");
    let (status, out, err) = kernels(&root, &bin, &["check"]);
    assert_eq!(status, Some(1));
    assert!(err.contains("kernels/scan.cu: it has no fatbin"), "{err}");
    assert!(out.contains("\nskipped: no nvcc 13.0.88, so registers and"), "{out}");
    let (status, _, err) = kernels(&root, &bin, &["build"]);
    assert_eq!(status, Some(1));
    assert!(err.contains("run `cargo xtask kernels toolkit`"), "{err}");
    let (status, _, err) = kernels(&root, &bin, &["toolkit"]);
    assert_eq!(status, Some(1));
    assert!(err.contains("`python3 -m pip --version` failed: ; install pip"), "{err}");
}

#[test]
fn a_toolkit_is_there_whole_or_not_at_all() {
    let root = workspace("toolkit", &[("ssm-kernels", "src/lib.rs", "")]);
    // `pip install --target FOLDER`, which is cut short once.
    let python = r#"
test "$3" = --version && exit
for word; do test "$last" = --target && folder=$word; last=$word; done
mkdir -p "$folder/nvidia/cu13/bin" "$folder/clang/native"
cp bin/tool "$folder/nvidia/cu13/bin/nvcc"
test -f second || { touch second; exit 1; }
cp bin/tool "$folder/nvidia/cu13/bin/cuobjdump"
cp bin/tool "$folder/nvidia/cu13/bin/nvdisasm""#;
    let bin = programs(&root, &[("python3", python), ("tool", NVCC)]);
    let (status, _, err) = kernels(&root, &bin, &["toolkit"]);
    assert_eq!(status, Some(1));
    assert!(err.contains("a package index that it can reach"), "{err}");
    let (status, out, err) = kernels(&root, &bin, &["toolkit"]);
    assert_eq!(status, Some(0), "{out}{err}");
    assert!(out.contains("installing nvidia-cuda-nvcc==13.0.88 "), "{out}");
    std::fs::remove_file(bin.join("python3")).unwrap();
    let (status, out, _) = kernels(&root, &bin, &["toolkit"]);
    assert_eq!(status, Some(0));
    assert!(out.starts_with("the CUDA toolkit is at "), "{out}");
    write(&root, "kernels/scan.cu", SCAN);
    write(&root, "kernels/include/scan.h", "");
    assert_eq!(kernels(&root, &bin, &["build"]).0, Some(0));
}

#[test]
fn bindings_are_written_and_compared() {
    let source = "fn main() { println!(\"pub  const DIS_X: u32 = 1;\"); }";
    let root = workspace(
        "bindings",
        &[("xtask-bindgen", "src/main.rs", source), ("ssm-kernels", "src/lib.rs", "")],
    );
    let manifest = "[package]\nname = \"xtask-bindgen\"\nedition = \"2024\"\n\
        [features]\ngenerate = []\n";
    write(&root, "crates/xtask-bindgen/Cargo.toml", manifest);
    write(&root, "kernels/include/scan.h", "");
    let run = |arguments: &[&str]| {
        let mut command = xtask(&root, &[&["kernels", "bindings"], arguments].concat());
        command.env("LIBCLANG_PATH", &root).output().unwrap()
    };
    let output = run(&["--check"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("run `cargo xtask kernels bindings`"), "{}", stderr(&output));
    assert_eq!(run(&[]).status.code(), Some(0));
    let path = root.join("crates/ssm-kernels/src/device/bindings.rs");
    assert_eq!(std::fs::read_to_string(path).unwrap(), "pub const DIS_X: u32 = 1;\n");
    assert_eq!(stdout(&run(&["--check"])), format!("{BINDINGS} is what 1 headers say\n"));
}
