//! Prints the Rust side of C headers: `xtask-bindgen INCLUDE_FOLDER HEADER...`.
//!
//! `cargo xtask kernels bindings` starts it, with the folder of libclang in `LIBCLANG_PATH`.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the text is what it is for")]

use std::process::ExitCode;

use bindgen::{Builder, EnumVariation, Formatter};

/// What the crate's lints would say about code that no one writes.
const HEADER: &str = "\
// @generated from kernels/include/*.h by `cargo xtask kernels bindings`; do not edit.
#![allow(
    missing_docs,
    unreachable_pub,
    unsafe_code,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    dead_code,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::multiple_unsafe_ops_per_block,
    clippy::undocumented_unsafe_blocks,
    reason = \"generated: C names, and zeroed memory as the default of a struct of pointers\"
)]
";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(include) = arguments.next() else {
        eprintln!("usage: xtask-bindgen INCLUDE_FOLDER HEADER...");
        return ExitCode::FAILURE;
    };
    match generate(&include, arguments) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: bindgen: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The bindings of all headers together. Types and constants of ours begin with `Dis` or `DIS_`.
fn generate(
    include: &str,
    headers: impl IntoIterator<Item = String>,
) -> Result<String, bindgen::BindgenError> {
    let bindings = Builder::default()
        .headers(headers)
        .clang_args(["-std=c11", "-I", include])
        .allowlist_item("Dis.*|DIS_.*")
        .use_core()
        // Sizes and offsets are asserted when the crate is compiled: a change on one side shows.
        .layout_tests(true)
        .derive_default(true)
        .default_enum_style(EnumVariation::Consts)
        .generate_comments(false)
        .disable_header_comment()
        .raw_line(HEADER)
        .formatter(Formatter::Prettyplease)
        .generate()?;
    Ok(bindings.to_string())
}
