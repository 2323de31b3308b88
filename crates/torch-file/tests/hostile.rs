//! Files that lie: each is refused in words, within the memory that its length justifies.

mod common;

use common::{Pickle, archive, fixture, legacy, open, refused};
use torch_file::{TensorInfo, TorchFile, TorchFileError, Value};

type Tensors = Result<Vec<TensorInfo>, TorchFileError>;

/// The tensors of an archive whose top level is a dict.
fn tensors(bytes: &[u8]) -> Tensors {
    let file = open(bytes)?;
    let Value::Dict(dict) = file.root() else { panic!("{:?}", file.root()) };
    file.tensors(dict)
}

/// One entry `x` in a storage of sixteen bytes.
fn one(value: impl FnOnce(Pickle) -> Pickle) -> Tensors {
    let pickle = value(Pickle::new().op(b"}").text("x")).op(b"s").stop();
    tensors(&archive(&pickle, &[("0", &[0; 16])]))
}

/// A pickle by itself.
fn run(pickle: Pickle) -> Result<TorchFile, TorchFileError> {
    open(&archive(&pickle.stop(), &[]))
}

#[test]
fn a_call_is_named_and_never_made() {
    let file = TorchFile::open(&fixture("bad_legacy_global.pth")).unwrap();
    assert_eq!(file.root().describe(), "an object, made by os.getcwd");
    let system = b"cos\nsystem\nX\x05\0\0\0false\x85R";
    refused(one(|p| p.op(system)), &["in.pth: x is an object, made by os.system", "a tensor"]);
    // The right name with wrong arguments, and the wrong name of a storage.
    let call = b"ctorch._utils\n_rebuild_tensor_v2\n";
    refused(one(|p| p.op(call).op(b")R")), &["x is a tensor with 0 arguments"]);
    refused(one(|p| p.op(call).op(b"(NNNNtR")), &["offset is None"]);
    refused(one(|p| p.op(call).op(b"(NK\0))tR")), &["x is a tensor in None"]);
    let storage = |p: Pickle| p.op(call).op(b"(").storage("EvilStorage", "0", 4).op(b"K\0))tR");
    refused(one(storage), &["x is in a storage of the name torch.EvilStorage"]);
}

#[test]
fn tensors_stay_inside_of_their_storages_and_storages_inside_of_the_file() {
    refused(one(|p| p.tensor(4, 0, &[5], &[1])), &["x is f32 [5], 20 bytes at 0", "of 16"]);
    refused(one(|p| p.tensor(4, 1, &[4], &[1])), &["16 bytes at 4 of a storage of 16"]);
    refused(one(|p| p.tensor(4, 0, &[2], &[4])), &["strides [4]"]);
    refused(one(|p| p.tensor(4, -1, &[2], &[1])), &["offset is a number"]);
    refused(one(|p| p.tensor(4, 0, &[-1], &[1])), &["shape is not"]);
    refused(one(|p| p.tensor(4, 0, &[2, 2], &[1])), &["shape [2, 2] with strides [1]"]);
    refused(one(|p| p.tensor(4, 0, &[1; 17], &[1; 17])), &["up to 16"]);
    let huge = [i32::MAX; 3];
    refused(one(|p| p.tensor(4, 0, &huge, &[1; 3])), &["x is of shape", "more elements"]);
    refused(one(|p| p.tensor(4, 0, &[2, 2, 2], &huge)), &["inside of its storage"]);
    let missing = Pickle::new().op(b"}").text("x").tensor(4, 0, &[4], &[1]).op(b"s").stop();
    refused(tensors(&archive(&missing, &[("1", &[0; 16])])), &["archive/data/0", "not there"]);
    // Many names of one storage of a kilobyte: up to eight times the file, and more.
    let storage = [0; 1024];
    let names = (0..60).fold(Pickle::new().op(b"}"), |pickle, i| {
        pickle.text(&i.to_string()).tensor(256, 0, &[256], &[1]).op(b"s")
    });
    assert_eq!(tensors(&archive(&names.stop(), &[("0", &storage)])).unwrap().len(), 60);
    let shared = Pickle::new().op(b"}").text("a").tensor(256, 0, &[256], &[1]).op(b"q\0s");
    let shared = (0..1000).fold(shared, |p, i| p.text(&i.to_string()).op(b"h\0s")).stop();
    refused(tensors(&archive(&shared, &[("0", &storage)])), &["at most 8 times the file's"]);
    let twice = Pickle::new().op(b"}").text("a").tensor(4, 0, &[4], &[1]).op(b"q\0s");
    let twice = twice.text("a").op(b"h\0s").stop();
    refused(tensors(&archive(&twice, &[("0", &[0; 16])])), &["a is twice in the dict"]);
    refused(one(|p| p.op(b"Ns").int(1).op(b"N")), &["x is None, expected a tensor"]);
    let number = Pickle::new().op(b"}").int(1).op(b"Ns").stop();
    refused(tensors(&archive(&number, &[])), &["a key of the dict is a number"]);
}

#[test]
fn instructions_that_make_no_sense_are_refused() {
    let cases: [(&[u8], &str); 16] = [
        (b"\x80\x06", "protocol 6"),
        (b"i", "instruction 0x69"),
        (b"\x82\x01", "instruction 0x82"),
        (b"\x85", "the stack is empty"),
        (b"0", "the stack is empty"),
        (b"(R", "the stack is empty"),
        (b"NN(R", "the stack is empty"),
        (b"N(q\0", "the stack is empty"),
        (b"N(\x85", "the stack is empty"),
        (b"Nt", "there is no mark"),
        (b"h\x07", "remembered under 7"),
        (b"NNa", "items are added to None"),
        (b"NNNs", "entries are set of None"),
        (b"}(Nu", "has no value"),
        (b"NN\x93", "named by something"),
        (b"X\x01\0\0\0\xff", "no UTF-8"),
    ];
    for (instructions, words) in cases {
        let result = run(Pickle::new().op(instructions));
        refused(result, &["archive/data.pkl is no torch pickle: at byte ", words]);
    }
    let long_name = Pickle::new().op(b"c").op(&[b'a'; 5000]);
    refused(run(long_name), &["no end within 1024"]);
    refused(open(&archive(b"\x80\x02}", &[])), &["the file ends"]);
}

#[test]
fn nothing_is_allocated_for_what_is_only_claimed() {
    let kinds: [(&[u8], &str); 5] = [
        (b"X\xff\xff\xff\xff", "4294967295 bytes"),
        (b"B\xff\xff\xff\xff", "4294967295 bytes"),
        (b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff", "18446744073709551615 bytes"),
        (b"\x96\xff\xff\xff\xff\xff\xff\xff\xff", "18446744073709551615 bytes"),
        (b"\x8a\xff", "255 bytes"),
    ];
    for (instructions, words) in kinds {
        refused(run(Pickle::new().op(instructions)), &[words, "are announced and 1 follow"]);
    }
    // An index of four billion in the memory.
    let far = run(Pickle::new().op(b"Nr\xff\xff\xff\xffj\xff\xff\xff\xff")).unwrap();
    assert!(matches!(far.root(), Value::None));
}

#[test]
fn sharing_nesting_and_circles_cost_what_they_take_in_the_file() {
    // A tuple doubled a million times.
    let doubled = (0..1 << 20).fold(Pickle::new().op(b")"), |p, _| p.op(b"q\0h\0\x86"));
    assert_eq!(run(doubled).unwrap().root().describe(), "a list");
    // A tuple in a tuple, four million deep, and the same of lists and calls.
    let nested = run(Pickle::new().op(b"N").op(&vec![0x85; 4 << 20])).unwrap();
    assert_eq!(format!("{:?}", nested.root()), "Items(1 items)");
    let lists = Pickle::new().op(b"]").op(&b"]".repeat(1 << 20)).op(&b"a".repeat(1 << 20));
    assert_eq!(run(lists).unwrap().root().describe(), "a list");
    let calls = Pickle::new().op(b"N").op(&b")R".repeat(1 << 20));
    let name = "an object, made by something without a name";
    assert_eq!(run(calls).unwrap().root().describe(), name);
    // A list in itself, and a parameter of itself.
    let circle = run(Pickle::new().op(b"]q\0h\0a")).unwrap();
    let Value::Items(items) = circle.root() else { panic!("{circle:?}") };
    assert_eq!(items.iter().next().map(|v| v.describe()), Some("a list".into()));
    let itself = b"ctorch._utils\n_rebuild_parameter\n]q\0N\x86R";
    refused(one(|p| p.op(itself)), &["x is an object"]);
    // More values, and more that wait, than any checkpoint has.
    let many = Pickle::new().op(&b"]0".repeat((1 << 24) + 1));
    refused(run(many), &["more than 16777216 values"]);
    refused(run(Pickle::new().op(&b"N".repeat((1 << 24) + 1))), &["wait to be used"]);
    refused(run(Pickle::new().op(&b"(".repeat((1 << 24) + 2))), &["marks are open"]);
}

#[test]
fn archives_that_are_no_checkpoints_say_what_is_wrong() {
    let whole = std::fs::read(fixture("zip_mini.pth")).unwrap();
    refused(open(&whole[..whole.len() / 2]), &["in.pth: it is not a whole zip archive"]);
    refused(open(b""), &["it is neither"]);
    refused(open(b"\x80"), &["it is neither"]);
    refused(TorchFile::open("nothing.pth".as_ref()), &["nothing.pth: No such file"]);
    // A bit of the elements, and one of the pickle.
    let pickle = Pickle::new().op(b"}").text("x").tensor(4, 0, &[4], &[1]);
    let pickle = pickle.text("y").tensor(4, 1, &[2], &[1]).op(b"u").stop();
    let pickle = [b"\x80\x02}(".as_slice(), &pickle[3..]].concat();
    let storage = *b"0123456789abcdef";
    let mut bytes = archive(&pickle, &[("0", &storage)]);
    let at = bytes.windows(16).position(|window| window == storage).unwrap();
    bytes[at + 15] ^= 1;
    for name in ["x", "y"] {
        let file = open(&bytes).unwrap();
        let Value::Dict(dict) = file.root() else { panic!() };
        let tensor = file.tensors(dict).unwrap().into_iter().find(|t| t.name() == name).unwrap();
        refused(file.read_f32(&tensor), &[name, "archive/data/0", "damaged"]);
    }
    bytes[at + 15] ^= 1;
    let at = bytes.windows(7).position(|window| window == b"storage").unwrap();
    bytes[at] ^= 1;
    refused(open(&bytes), &["data.pkl", "checksum"]);
}

#[test]
fn files_of_the_older_form_are_read_to_their_end() {
    let cut = TorchFile::open(&fixture("bad_legacy_truncated.pth"));
    refused(cut, &["bad_legacy_truncated.pth", "conv.weight, storage ", "cut short", "3456 bytes"]);
    refused(open(b"\x80\x02}q\x00."), &["a pickle of a dict", "before version 1.6"]);
    let pickle = Pickle::new().op(b"}").text("x").tensor(4, 0, &[4], &[1]).op(b"s").stop();
    let whole = legacy(&pickle, &[("0", &[0; 16])]);
    assert_eq!(tensors(&whole).unwrap().len(), 1);
    for len in 1..whole.len() {
        assert!(open(&whole[..len]).is_err(), "{len} of {} bytes", whole.len());
    }
    let mut other = whole.clone();
    let at = whole.len() - 24;
    other[at] = 5;
    refused(open(&other), &["x, storage 0 is 5 elements, expected 4"]);
    refused(open(&legacy(&pickle, &[("1", &[0; 16])])), &["1, which no tensor is in"]);
    let twice = legacy(&pickle, &[("0", &[0; 16]), ("0", &[0; 16])]);
    refused(open(&twice), &["0 for the second time"]);
    refused(tensors(&legacy(&pickle, &[])), &["x is in the storage 0, which is not there"]);
    let mut other = whole.clone();
    let at = whole.windows(13).position(|window| window == b"little_endian").unwrap() + 13;
    assert_eq!(other[at], 0x88);
    other[at] = 0x89;
    refused(open(&other), &["the order of its bytes", "little-endian"]);
}
