//! Tensors in files of `torch.save`, without running what stands in them.
//!
//! A file of torch is a program for a stack machine, a *pickle*, beside the elements of tensors.
//! Python runs the program, and a program may do anything. Here a machine of our own runs the few
//! instructions that `torch.save` writes, in protocols 2 to 5. It keeps the names of functions and
//! classes as names and calls none; a tensor is what a call of `torch._utils._rebuild_tensor_v2` with
//! the arguments of a tensor would give, and anything else stays a description that cannot be read as
//! a tensor: optimiser states, arguments of a run, objects of any class.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use torch_file::{TorchFile, Value};
//!
//! let file = TorchFile::open("S-2.pt".as_ref())?;
//! let Value::Dict(weights) = file.root() else { return Err("expected a state dict".into()) };
//! for tensor in file.tensors(weights)? {
//!     let values = file.read_f32(&tensor)?;
//!     println!("{} {:?} {}", tensor.name(), tensor.shape(), values.len());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What a hostile file can do
//!
//! Memory and time are linear in the length of the file, so it needs no process of its own.
//! - An instruction adds at most one value of 24 bytes, and a text takes what the file has of it.
//!   Values name each other by number (`values.rs`): using one again copies a number, nesting needs
//!   no recursion, neither to build, to print nor to drop, and a circle is only numbers.
//! - Nothing is allocated for a length that the file claims before the bytes are there. There are
//!   limits of instructions' bytes, values, waiting and remembered values, members and axes, far above
//!   those of the largest network.
//! - Every tensor is compared with its storage, and every storage with the file, before anything is
//!   read; the bytes of a set of tensors are at most eight times those of the file.
//! - Tensors are read one at a time.
#![forbid(unsafe_code)]

mod containers;
mod error;
mod file;
mod input;
mod machine;
mod opcode;
mod tensor;
mod values;
mod view;

pub use error::TorchFileError;
pub use file::{TorchFile, looks_like_torch};
pub use tensor::{Dtype, TensorInfo};
pub use view::{Dict, Items, Other, Value};
