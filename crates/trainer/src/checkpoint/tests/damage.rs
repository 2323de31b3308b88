//! Files that are not what was written.

use super::{Run, small_config};
use crate::checkpoint::load::load;
use crate::checkpoint::manifest::Manifest;
use crate::checkpoint::{CheckpointError, WeightChoice, load_weights};
use dis_model::DisConfig;
use std::fs;
use std::path::{Path, PathBuf};

/// A run with steps 10 and 20.
fn two_steps() -> Run {
    let run = Run::new();
    run.save(10);
    run.save(20);
    run
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    files
}

/// Asserts that step 20 is rejected for `file` and step 10 loads.
#[track_caller]
fn assert_falls_back(run: &Run, file: &Path, what: &str) -> String {
    let loaded = run.assert_loads(10);
    assert_eq!(loaded.rejected.len(), 1, "{what}");
    assert_eq!(loaded.rejected[0].path, run.path(20));
    let message = loaded.rejected[0].to_string();
    assert!(message.starts_with(&file.display().to_string()), "{what}: {message}");
    message
}

#[test]
fn a_missing_cut_or_longer_file_is_named_and_the_older_checkpoint_loads() {
    let run = two_steps();
    for file in files(&run.path(20)) {
        let good = fs::read(&file).unwrap();
        fs::remove_file(&file).unwrap();
        let message = assert_falls_back(&run, &file, "missing");
        assert!(message.contains("file is missing, expected whole"), "{message}");
        for len in [0, 1, 7, 8, 9, good.len() / 2, good.len() - 1] {
            fs::write(&file, &good[..len]).unwrap();
            assert_falls_back(&run, &file, &format!("cut to {len}"));
        }
        fs::write(&file, [&good[..], b" "].concat()).unwrap();
        assert_falls_back(&run, &file, "one byte longer");
        fs::write(&file, &good).unwrap();
        run.assert_loads(20);
    }
}

#[test]
fn flipped_bits_are_found_in_every_file() {
    let run = Run::new();
    run.save(20);
    let (mut flips, mut found) = (0, 0);
    for file in files(&run.path(20)) {
        let good = fs::read(&file).unwrap();
        let mut bad = good.clone();
        for byte in (0..good.len()).step_by(13) {
            bad[byte] ^= 1 << (byte % 8);
            fs::write(&file, &bad).unwrap();
            flips += 1;
            found += usize::from(load(&run.path(20), &run.layout).is_err());
            bad[byte] = good[byte];
        }
        fs::write(&file, &good).unwrap();
    }
    load(&run.path(20), &run.layout).unwrap();
    assert!(flips > 3_000, "{flips}");
    assert_eq!(found, flips);
}

#[test]
fn a_flipped_name_is_damage_and_not_another_network() {
    let run = two_steps();
    let file = run.path(20).join("ema-0.9999.safetensors");
    let good = fs::read(&file).unwrap();
    let place = good.windows(9).position(|window| window == b"pos_embed").unwrap();
    let mut bad = good.clone();
    bad[place] ^= 1;
    fs::write(&file, &bad).unwrap();
    let message = assert_falls_back(&run, &file, "flipped name");
    assert!(message.contains("BLAKE3 is"), "{message}");
    let weights = load_weights(&run.dir(), &WeightChoice::Ema).unwrap();
    assert_eq!((weights.step, weights.rejected.len()), (Some(10), 1));
    // And in the configuration, which decides how large an arena is.
    let mut bad = good.clone();
    let place = good.windows(15).position(|w| w == br#"hidden_size\":2"#).unwrap();
    bad[place + 14] = b'7';
    fs::write(&file, &bad).unwrap();
    let weights = load_weights(&run.dir(), &WeightChoice::Ema).unwrap();
    assert_eq!((weights.step, weights.rejected.len()), (Some(10), 1));
}

#[test]
fn a_flipped_number_is_told_by_its_hash() {
    let run = two_steps();
    let file = run.path(20).join("model.safetensors");
    let mut bytes = fs::read(&file).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let message = assert_falls_back(&run, &file, "flipped");
    assert!(message.contains("model.safetensors: BLAKE3 is "), "{message}");
    // Weights alone: the average is whole, the weights of the last step are not.
    let ema = load_weights(&run.dir(), &WeightChoice::Ema).unwrap();
    assert_eq!((ema.step, ema.rejected.len()), (Some(20), 0));
    let model = load_weights(&run.dir(), &WeightChoice::Model).unwrap();
    assert_eq!((model.step, model.rejected.len()), (Some(10), 1));
    let alone = load_weights(&run.path(20), &WeightChoice::Model).unwrap_err();
    assert!(matches!(alone, CheckpointError::Damaged { .. }), "{alone}");
}

#[test]
fn a_checkpoint_under_another_name_is_refused() {
    let run = two_steps();
    fs::rename(run.path(20), run.path(30)).unwrap();
    let loaded = run.assert_loads(10);
    let message = loaded.rejected[0].to_string();
    assert!(message.contains("step is 20, expected the one of the folder's name step-000000030"));
}

#[test]
fn damaged_checkpoints_alone_are_an_error_and_not_a_fresh_start() {
    let run = two_steps();
    for step in [10, 20] {
        fs::remove_file(run.path(step).join("state.json")).unwrap();
    }
    let error = run.load().unwrap_err();
    let CheckpointError::NoneUsable { rejected, .. } = &error else { panic!("{error}") };
    assert_eq!(rejected.len(), 2);
    let message = error.to_string();
    assert!(message.contains("none of 2 checkpoints can be used"), "{message}");
    assert_eq!(message.matches("state.json: file is missing").count(), 2, "{message}");
}

#[test]
fn rejected_checkpoints_can_be_set_aside() {
    let run = two_steps();
    for round in 1..=2 {
        fs::write(run.path(20).join("state.json"), "{}").unwrap();
        let loaded = run.assert_loads(10);
        let aside = loaded.rejected[0].set_aside().unwrap();
        assert_eq!(aside, run.dir().join(format!("rejected-{round}-step-000000020")));
        assert!(run.assert_loads(10).rejected.is_empty());
        run.save(20);
    }
    run.save(30);
    run.save(40);
    let names = run.names();
    assert_eq!(names.iter().filter(|name| name.starts_with("rejected-")).count(), 2, "{names:?}");
}

#[test]
fn a_newer_format_is_refused_and_nothing_older_is_taken_instead() {
    let run = two_steps();
    let file = run.path(20).join("manifest.json");
    let text = fs::read_to_string(&file).unwrap();
    let newer = text.replace("\"format_version\": 1", "\"format_version\": 2, \"more\": []");
    fs::write(&file, newer).unwrap();
    let error = run.load().unwrap_err();
    assert!(matches!(error, CheckpointError::NewerFormat { got: 2, known: 1, .. }), "{error}");
    assert!(error.to_string().contains("help: use the program that wrote it"), "{error}");
}

#[test]
fn another_network_gets_a_table_of_every_difference() {
    let run = two_steps();
    let wider = Run::with(DisConfig { hidden_size: 4, ..small_config() });
    let error = crate::checkpoint::load_newest(&run.dir(), &wider.layout).unwrap_err();
    let CheckpointError::Layout(mismatch) = &error else { panic!("{error}") };
    assert_eq!(mismatch.differences.len(), run.layout.iter().count() - 1, "all but one bias");
    let message = error.to_string();
    assert!(message.contains("model.safetensors does not fit the network:\n"), "{message}");
    assert!(message.contains("wrong shape  pos_embed"), "{message}");
    assert!(message.contains("expected [1, 6, 4]     got [1, 6, 2]\n"), "{message}");
    assert!(message.contains("... and 45 more\nhelp: "), "{message}");

    let unconditional = Run::with(DisConfig { num_classes: 0, ..small_config() });
    let error = crate::checkpoint::load_newest(&run.dir(), &unconditional.layout).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("unexpected   label_emb.embedding_table.weight"), "{message}");
    let error = {
        unconditional.save(5);
        crate::checkpoint::load_newest(&unconditional.dir(), &run.layout).unwrap_err()
    };
    assert!(error.to_string().contains("missing      label_emb.embedding_table.weight"), "{error}");
}

#[test]
fn manifests_read_back_and_are_written_in_one_way() {
    let run = Run::new();
    run.save(3);
    let path = run.path(3).join("manifest.json");
    let bytes = fs::read(&path).unwrap();
    let manifest = Manifest::parse(&path, &bytes).unwrap();
    assert_eq!(manifest.to_bytes(), bytes);
    let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(json["step"], 3);
    assert_eq!(json["files"].as_array().unwrap().len(), 5);
    assert_eq!(json["tensors"].as_array().unwrap().len(), 5 * run.layout.iter().count());
    assert_eq!(json["tensors"][0]["name"], "pos_embed");
    // Other white space or a forged digest is not what was written.
    let text = String::from_utf8(bytes).unwrap();
    assert!(Manifest::parse(&path, text.replace("  ", " ").as_bytes()).is_err());
    assert!(Manifest::parse(&path, text.replace("c0ffee", "decaf0").as_bytes()).is_err());
}

#[test]
fn weight_files_of_unknown_networks_are_refused() {
    let run = two_steps();
    let file = run.path(20).join("model.safetensors");
    let good = String::from_utf8_lossy(&fs::read(&file).unwrap()).into_owned();
    assert!(good.contains("dis_config"));
    let other = run.folder.path().join("other.safetensors");
    let refuse = |bytes: &[u8]| {
        fs::write(&other, bytes).unwrap();
        load_weights(&other, &WeightChoice::Ema).unwrap_err().to_string()
    };
    let values = [0u8; 4];
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![1], &values);
    let view = view.unwrap();
    let plain = safetensors::serialize([("x", &view)], None).unwrap();
    let message = refuse(&plain);
    assert!(message.contains("missing      norm_f.weight"), "{message}");
    assert!(refuse(b"PK not a weight file").contains("a zip archive"));
    let with = |config: &str| {
        let metadata = Some([("dis_config".to_owned(), config.to_owned())].into());
        safetensors::serialize([("x", &view)], metadata).unwrap()
    };
    assert!(refuse(&with("{}")).contains("its dis_config cannot be read: missing field"));
    let huge = DisConfig { hidden_size: 65536, depth: 64, num_classes: 65536, ..small_config() };
    let message = refuse(&with(&serde_json::to_string(&huge).unwrap()));
    assert!(message.contains("does not fit the network"), "{message}");
    let odd = DisConfig { depth: 3, ..small_config() };
    let message = refuse(&with(&serde_json::to_string(&odd).unwrap()));
    assert!(message.contains("its dis_config: model.depth is 3"), "{message}");
}
