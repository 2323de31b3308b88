//! Latent caches: whole, damaged, unfinished.

use super::{Ended, dis_data};
use data::latents::{Encoding, Flip, LatentCacheSpec, LatentRecord, LatentWriter};
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use tempfile::TempDir;

/// Five samples of two classes, 4x2x2, in shards of two.
struct Case {
    folder: TempDir,
}

impl Case {
    /// The first `shards` of the three, and the index when all are there.
    fn with_shards(shards: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let spec = LatentCacheSpec {
            latent_shape: [4, 2, 2],
            flips: vec![Flip::None, Flip::Horizontal],
            vae: "weights of a test".into(),
            crop: "centre of 16".into(),
            source: "five images".into(),
            source_len: 5,
            num_classes: 2,
            class_names: vec!["even".into(), "odd".into()],
            records_per_shard: 2,
        };
        let path = folder.path().join("cache");
        let mut writer = LatentWriter::create_or_resume(&path, spec, &mut |_, _| {}).unwrap();
        for shard in 0..shards {
            let samples = writer.spec().source_range(shard);
            let mut shard = writer.begin_shard(shard).unwrap();
            for source_index in samples {
                let mean = [source_index as f32; 16];
                let encoding = Encoding { mean: &mean, logstd: &[-5.0; 16] };
                let label = (source_index % 2) as u32;
                let encodings = &[encoding, encoding];
                let source_hash = [7; 32];
                let record = LatentRecord { source_index, label, source_hash, encodings };
                shard.push(&record).unwrap();
            }
            shard.commit().unwrap();
        }
        if shards == 3 {
            writer.finish().unwrap();
        }
        Self { folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("cache").join(name)
    }

    fn run(&self, command: &str) -> Ended {
        dis_data(self.folder.path(), [command, "cache"])
    }
}

#[test]
fn a_whole_cache_says_what_it_is() {
    let case = Case::with_shards(3);
    let page = case.run("verify").succeeds().stdout;
    for words in [
        "cache: 5 samples in 3 shards, ",
        "latents    4x2x2, plain and mirrored",
        "source     five images, 5 samples",
        "vae        weights of a test",
        "damaged    none",
    ] {
        assert!(page.contains(words), "no {words:?} in\n{page}");
    }
    fs::write(case.file("notes.txt"), "").unwrap();
    let again = case.run("verify").succeeds().stdout;
    assert!(again.contains("unknown    notes.txt"), "{again}");
    assert_eq!(again.replace("unknown    notes.txt\n", ""), page);
    let found = case.run("check").succeeds().stdout;
    assert!(found.contains("cache: latents, 5 samples, 2 classes"), "{found}");
    assert!(found.contains("0 even                     3 "), "{found}");
}

#[test]
fn damage_is_found_wherever_it_is() {
    let case = Case::with_shards(3);
    let shard = case.file("latents-00001.safetensors");
    let file = OpenOptions::new().read(true).write(true).open(&shard).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 4100).unwrap();
    file.write_all_at(&[byte[0] ^ 1], 4100).unwrap();
    let ended = case.run("verify");
    ended.refuses(65, &["cache: 1 of 3 shards are damaged", "dis encode"]);
    assert!(ended.stdout.contains("latents-00001.safetensors: BLAKE3"), "{}", ended.stdout);
    fs::remove_file(case.file("latents-00002.safetensors")).unwrap();
    let ended = case.run("verify");
    ended.refuses(65, &["2 of 3 shards"]);
    assert!(
        ended.stdout.contains("latents-00002.safetensors: file is missing"),
        "{}",
        ended.stdout
    );
}

#[test]
fn what_is_no_complete_cache_is_refused() {
    for shards in [0, 2] {
        let case = Case::with_shards(shards);
        for command in ["verify", "check"] {
            let there = format!("{shards} of 3 shards");
            case.run(command).refuses(65, &["not complete", &there, "goes on"]);
        }
    }
    let empty = tempfile::tempdir().unwrap();
    fs::create_dir(empty.path().join("cache")).unwrap();
    dis_data(empty.path(), ["verify", "cache"]).refuses(65, &["index.json", "dis encode"]);
}
