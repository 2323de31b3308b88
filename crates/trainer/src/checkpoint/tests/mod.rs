//! Checkpoints of a very small network, on good disks and bad ones.

mod damage;
mod faults;
mod power_snapshots;

use super::*;
use crate::storage::faults::FaultyDisk;
use crate::storage::{Disk, Storage};
use dis_model::{Conditioning, Skip};
use tempfile::TempDir;

/// A network of a few hundred parameters.
fn small_config() -> DisConfig {
    DisConfig {
        image_size: 2,
        channels: 1,
        patch_size: 1,
        num_classes: 1,
        hidden_size: 2,
        depth: 2,
        d_state: 1,
        d_conv: 2,
        learned_variance: false,
        skip: Skip::Concat,
        conditioning: Conditioning::Token,
        final_adaln: true,
        direction_sum: 0.5,
        normalize_ssm_inputs: true,
        norm_eps: 1e-5,
        final_eps: 1e-6,
    }
}

/// A run whose numbers depend on the step alone.
pub(super) struct Run {
    config: DisConfig,
    layout: ParamLayout,
    folder: TempDir,
}

impl Run {
    fn new() -> Self {
        Self::with(small_config())
    }

    fn with(config: DisConfig) -> Self {
        let layout = ParamLayout::new(&config);
        Self { config, layout, folder: tempfile::tempdir().unwrap() }
    }

    fn dir(&self) -> PathBuf {
        self.folder.path().join("checkpoints")
    }

    fn path(&self, step: u64) -> PathBuf {
        self.dir().join(step_dir(step))
    }

    fn arena(&self, step: u64, kind: u32) -> Vec<f32> {
        (0..self.layout.len() as u32).map(|i| ((i + 7 * kind) as f32).sin() + step as f32).collect()
    }

    fn state(&self, step: u64) -> TrainState {
        let mut interval = IntervalSums::default();
        let loss = 1.0 / (step + 3) as f64;
        interval.add(&crate::StepMetrics { loss, parts: None, grad_norm: 0.1 });
        TrainState {
            step,
            samples_seen: 32 * step,
            seed: 5,
            attempt: 1,
            instruction_set: "avx2".into(),
            interval,
            feedback: Some(FeedbackState { history: Some(vec![0.1, 2.5e-7]), log_variance: None }),
        }
    }

    fn save(&self, step: u64) -> Saved {
        let saved = self.save_on(&FaultyDisk::good(), step, 2).unwrap();
        assert!(saved.not_removed.is_empty(), "{:?}", saved.not_removed);
        saved
    }

    fn save_on(
        &self,
        disk: &dyn Storage,
        step: u64,
        keep: usize,
    ) -> Result<Saved, CheckpointError> {
        let arenas: Vec<Vec<f32>> = (0..5).map(|kind| self.arena(step, kind)).collect();
        let averages = [
            Average { name: "0.9999", values: &arenas[1] },
            Average { name: "0.5", values: &arenas[4] },
        ];
        let snapshot = Snapshot {
            state: self.state(step),
            config_hash: "c0ffee".into(),
            dis_config: &self.config,
            layout: &self.layout,
            params: &arenas[0],
            averages: &averages,
            m: &arenas[2],
            v: &arenas[3],
        };
        write::save_on(disk, &self.dir(), &snapshot, keep)
    }

    fn load(&self) -> Result<Option<Loaded>, CheckpointError> {
        load_newest(&self.dir(), &self.layout)
    }

    /// Loads and compares every number with what step `step` has.
    #[track_caller]
    fn assert_loads(&self, step: u64) -> Loaded {
        let loaded = self.load().unwrap().unwrap();
        assert_eq!(loaded.path, self.path(step));
        assert_eq!(loaded.state, self.state(step));
        assert_eq!(loaded.params, self.arena(step, 0));
        assert_eq!(loaded.averages.len(), 2);
        assert_eq!(loaded.averages[0], ("0.9999".into(), self.arena(step, 1)));
        assert_eq!(loaded.averages[1], ("0.5".into(), self.arena(step, 4)));
        assert_eq!((&loaded.m, &loaded.v), (&self.arena(step, 2), &self.arena(step, 3)));
        assert_eq!(loaded.config_hash, "c0ffee");
        loaded
    }

    fn steps(&self) -> Vec<u64> {
        list(&self.dir()).unwrap().into_iter().map(|(step, _)| step).collect()
    }

    /// Names in the folder of checkpoints, sorted.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir()).unwrap();
        let mut names: Vec<String> =
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

#[test]
fn what_is_saved_is_what_is_loaded() {
    let run = Run::new();
    assert!(run.load().unwrap().is_none(), "no folder is no checkpoint");
    let saved = run.save_on(&Disk, 5, 2).unwrap();
    assert_eq!(saved.path, run.path(5));
    let on_disk: u64 = fs::read_dir(run.path(5))
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert_eq!(saved.bytes, on_disk);
    assert!(run.assert_loads(5).rejected.is_empty());
    let mut names: Vec<_> =
        fs::read_dir(run.path(5)).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    let expected = [
        "ema-0.5.safetensors",
        "ema-0.9999.safetensors",
        "manifest.json",
        "model.safetensors",
        "optimizer.safetensors",
        "state.json",
    ];
    assert_eq!(names, expected);
}

#[test]
fn bits_survive_that_no_comparison_of_numbers_sees() {
    let run = Run::new();
    let mut values = run.arena(0, 0);
    values[..3].copy_from_slice(&[-0.0, f32::from_bits(0x7fc1_2345), f32::from_bits(1)]);
    let snapshot = Snapshot {
        state: run.state(0),
        config_hash: String::new(),
        dis_config: &run.config,
        layout: &run.layout,
        params: &values,
        averages: &[],
        m: &values,
        v: &values,
    };
    save(&run.dir(), &snapshot, 2).unwrap();
    let loaded = run.load().unwrap().unwrap();
    let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&loaded.params), bits(&values));
    assert_eq!(bits(&loaded.v), bits(&values));
}

#[test]
fn equal_states_give_equal_files_of_tensors_whatever_the_attempt() {
    let (one, two) = (Run::new(), Run::new());
    one.save(7);
    let arenas: Vec<Vec<f32>> = (0..5).map(|kind| two.arena(7, kind)).collect();
    let averages = [
        Average { name: "0.9999", values: &arenas[1] },
        Average { name: "0.5", values: &arenas[4] },
    ];
    let snapshot = Snapshot {
        state: TrainState { attempt: 9, ..two.state(7) },
        config_hash: "c0ffee".into(),
        dis_config: &two.config,
        layout: &two.layout,
        params: &arenas[0],
        averages: &averages,
        m: &arenas[2],
        v: &arenas[3],
    };
    save(&two.dir(), &snapshot, 2).unwrap();
    for name in ["model", "optimizer", "ema-0.9999", "ema-0.5"] {
        let file = format!("{name}.safetensors");
        let read = |run: &Run| fs::read(run.path(7).join(&file)).unwrap();
        assert_eq!(read(&one), read(&two), "{file}");
    }
}

#[test]
fn weight_files_hold_official_names_and_say_what_they_are() {
    let run = Run::new();
    run.save(5);
    let bytes = fs::read(run.path(5).join("ema-0.9999.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(tensors.len(), run.layout.iter().count());
    let param = run.layout.get("in_blocks.0.mixer.A_log").unwrap();
    let tensor = tensors.tensor(&param.name).unwrap();
    assert_eq!(tensor.shape(), param.shape);
    let expected = &run.arena(5, 1)[param.range.clone()];
    assert_eq!(tensor.data(), bytemuck::cast_slice::<f32, u8>(expected));
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let metadata = header.metadata().clone().unwrap();
    let config: DisConfig = serde_json::from_str(&metadata["dis_config"]).unwrap();
    assert_eq!((config, metadata["step"].as_str()), (run.config.clone(), "5"));

    let bytes = fs::read(run.path(5).join("optimizer.safetensors")).unwrap();
    let moments = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(moments.len(), 2 * run.layout.iter().count());
    assert!(moments.tensor("v.mid_block.norm.weight").is_ok());
}

#[test]
fn weight_files_from_before_the_norms_of_scan_inputs_are_without_them() {
    let run = Run::new();
    run.save(5);
    let now = load_weights(&run.path(5).join(MODEL_FILE), &WeightChoice::Model).unwrap();
    assert!(now.dis_config.normalize_ssm_inputs);
    let mut text = serde_json::to_value(&run.config).unwrap();
    text.as_object_mut().unwrap().remove("normalize_ssm_inputs").unwrap();
    let path = run.folder.path().join("older.safetensors");
    let metadata = [(DIS_CONFIG.to_owned(), text.to_string())].into();
    let mut bytes = Vec::new();
    let arena = run.arena(5, 0);
    dis_model::weights::write_safetensors(&mut bytes, &run.layout, &arena, &metadata).unwrap();
    fs::write(&path, bytes).unwrap();
    let older = load_weights(&path, &WeightChoice::Model).unwrap();
    assert_eq!(older.dis_config, DisConfig { normalize_ssm_inputs: false, ..small_config() });
    assert_eq!(older.values, arena);
}

#[test]
fn the_newest_are_kept_and_the_rest_removed() {
    let run = Run::new();
    for step in [10, 20, 30, 40] {
        run.save(step);
    }
    assert_eq!(run.names(), ["step-000000030", "step-000000040"]);
    run.save_on(&FaultyDisk::good(), 50, 3).unwrap();
    assert_eq!(run.steps(), [50, 40, 30]);
    // Going back: later steps are not touched, and do not push out earlier ones.
    run.save_on(&FaultyDisk::good(), 45, 2).unwrap();
    assert_eq!(run.steps(), [50, 45, 40]);
    // The same step again takes the place of the old.
    run.save(45);
    assert_eq!(run.names(), ["step-000000040", "step-000000045", "step-000000050"]);
}

#[test]
fn other_names_are_no_checkpoints() {
    let run = Run::new();
    run.save(5);
    for name in ["step-9", "step-0000000009", "step-x", "other", ".tmp-step-000000009-1"] {
        fs::create_dir(run.dir().join(name)).unwrap();
    }
    assert_eq!(run.steps(), [5]);
    assert_eq!(step_dir(12_345_678_901), "step-12345678901");
    fs::create_dir(run.dir().join(step_dir(12_345_678_901))).unwrap();
    assert_eq!(run.steps(), [12_345_678_901, 5]);
}

#[test]
fn weights_are_found_from_any_level() {
    let run = Run::new();
    let root = run.folder.path();
    let nothing = load_weights(root, &WeightChoice::Ema).unwrap_err();
    assert!(matches!(nothing, CheckpointError::NoWeights { .. }), "{nothing}");
    run.save(5);
    run.save(9);
    let file = run.path(5).join(MODEL_FILE);
    let cases = [
        (root.to_path_buf(), WeightChoice::Ema, 9, 1),
        (root.to_path_buf(), WeightChoice::Model, 9, 0),
        (run.dir(), WeightChoice::Ema, 9, 1),
        (run.path(5), WeightChoice::Ema, 5, 1),
        (run.path(5), WeightChoice::Model, 5, 0),
        (file.clone(), WeightChoice::Ema, 5, 0),
    ];
    for (path, choice, step, kind) in cases {
        let weights = load_weights(&path, &choice).unwrap();
        assert_eq!(weights.values, run.arena(step, kind), "{}", path.display());
        assert_eq!((weights.step, &weights.dis_config), (Some(step), &run.config));
        assert_eq!(weights.layout.len(), run.layout.len());
    }
    let elsewhere = root.join("alone.safetensors");
    fs::copy(file, &elsewhere).unwrap();
    assert_eq!(load_weights(&elsewhere, &WeightChoice::Ema).unwrap().values, run.arena(5, 0));
    let missing = load_weights(&root.join("none"), &WeightChoice::Ema).unwrap_err();
    assert!(missing.to_string().ends_with("none: file is missing, expected whole"), "{missing}");
}

#[test]
fn averages_are_chosen_by_name_and_those_that_exist_are_named() {
    let run = Run::new();
    run.save(5);
    run.save(9);
    let choice = |text: &str| text.parse::<WeightChoice>().unwrap();
    for (text, kind) in
        [("ema", 1), ("model", 0), ("ema-0.9999", 1), ("ema-0.5", 4), ("ema-0.50", 4)]
    {
        let weights = load_weights(run.folder.path(), &choice(text)).unwrap();
        assert_eq!((weights.values, weights.step), (run.arena(9, kind), Some(9)), "{text}");
    }
    let error = load_weights(run.folder.path(), &choice("ema-power-0.05")).unwrap_err();
    let expected = format!(
        "{}: no ema-power-0.05 in it; there are model, ema-0.9999, ema-0.5",
        run.path(9).display()
    );
    assert_eq!(error.to_string(), expected);
    let file = run.path(5).join(MODEL_FILE);
    let error = load_weights(&file, &choice("ema-0.5")).unwrap_err().to_string();
    assert!(error.contains("a file has no averages to choose from"), "{error}");
    for text in ["", "ema-", "0.9999", "models"] {
        assert!(text.parse::<WeightChoice>().is_err(), "{text}");
    }
}

#[test]
fn an_average_is_taken_from_a_checkpoint_once_and_by_name() {
    let run = Run::new();
    run.save(5);
    let mut loaded = run.load().unwrap().unwrap();
    assert_eq!(loaded.take_average("0.5").unwrap(), run.arena(5, 4));
    assert_eq!(loaded.take_average("0.9999").unwrap(), run.arena(5, 1));
    let error = loaded.take_average("power-0.1").unwrap_err().to_string();
    assert!(error.ends_with("no ema-power-0.1 in it; there are ema-0.9999, ema-0.5"), "{error}");
}

#[test]
fn weight_files_of_other_programs_are_read_by_their_shapes() {
    // What shapes do not show must have its official value.
    let official = DisConfig { direction_sum: 1.0, normalize_ssm_inputs: false, ..small_config() };
    let run = Run::with(official);
    let (ema, model) = (run.arena(1, 1), run.arena(1, 0));
    let path = run.folder.path().join("foreign.safetensors");
    let mut bare = Vec::new();
    let none = std::collections::BTreeMap::new();
    dis_model::weights::write_safetensors(&mut bare, &run.layout, &model, &none).unwrap();
    fs::write(&path, bare).unwrap();
    for choice in [WeightChoice::Ema, WeightChoice::Model] {
        let weights = load_weights(&path, &choice).unwrap();
        assert_eq!((weights.values, weights.step), (model.clone(), None));
        assert_eq!(weights.dis_config, run.config);
    }

    let (mut views, labels) = (Vec::new(), [0u8; 16]);
    for (prefix, arena) in [("ema", &ema), ("model", &model)] {
        for param in run.layout.iter() {
            let bytes = bytemuck::cast_slice(&arena[param.range.clone()]);
            let view = safetensors::tensor::TensorView::new(
                safetensors::Dtype::F32,
                param.shape.clone(),
                bytes,
            );
            views.push((format!("{prefix}.{}", param.name), view.unwrap()));
        }
    }
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::I64, vec![2], &labels);
    views.push(("in.y".into(), view.unwrap()));
    fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
    assert_eq!(load_weights(&path, &WeightChoice::Ema).unwrap().values, ema);
    assert_eq!(load_weights(&path, &WeightChoice::Model).unwrap().values, model);
}
