//! A file of torch.save, in either form.
#![no_main]

use fuzz::with_file;
use libfuzzer_sys::fuzz_target;
use torch_file::{TorchFile, Value};

fuzz_target!(|bytes: &[u8]| {
    with_file("x.pth", bytes, |path| {
        let Ok(file) = TorchFile::open(path) else { return };
        let Value::Dict(root) = file.root() else { return };
        let inner = root.iter().filter_map(|(_, value)| match value {
            Value::Dict(dict) => Some(dict),
            _ => None,
        });
        for dict in std::iter::once(root).chain(inner) {
            for tensor in file.tensors(dict).unwrap_or_default() {
                let Ok(elements) = file.read_bytes(&tensor) else { continue };
                assert_eq!(elements.len(), tensor.elements() * tensor.dtype().size());
            }
        }
    });
});
