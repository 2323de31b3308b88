//! `dis encode`: the images of an experiment as a cache of latents.

mod job;

use crate::autoencoder::AutoencoderFile;
use crate::device::{ComputeArgs, DeviceArg};
use crate::exit::{Failure, print};
use crate::info::units;
use crate::progress;
use crate::threads::Threads;
use anyhow::{Context, Result};
use data::Dataset;
use data::latents::{Flip, LatentCacheSpec, LatentWriter};
use job::Job;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use trainer::{DataKind, EncodeSection, Experiment, VaeSection, open_encode_source};

const EXAMPLES: &str = "\
Examples:
  dis encode configs/imagenet256-dis-h2.toml --device cuda
  dis encode configs/imagenet256-dis-h2.toml --set encode.path=/disk/imagenet/train
  dis encode my.toml --skip-broken --shard-size 1024

Reads the images of [encode], runs them and their mirror images through the encoder of [vae], and
writes mean and log standard deviation in half precision to the folder data.path. Training then draws
a new latent from them at each visit, without the autoencoder.

A run that is stopped, however that happens, goes on with the same command: complete shards are kept,
and the cache ends as the same bytes. Until it is complete nothing takes it for a cache.";

/// Encode the images of an experiment, once for all training.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Experiment file whose data are latents, with tables vae and encode
    config: PathBuf,
    /// Override a key of the experiment: section.key=value; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// Leave out images that cannot be read, count and list them
    #[arg(long)]
    skip_broken: bool,
    /// Images of one file of the cache, which is what an interruption costs at most
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    shard_size: u64,
    /// Images that pass through the encoder together [default: as many as make 512x512 pixels, on a
    /// GPU sixteen times that]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=4096))]
    batch: Option<u16>,
    /// Images to encode again at the end and to compare with the cache, bit for bit
    #[arg(long, value_name = "N", default_value_t = 8)]
    check: u64,
    #[command(flatten)]
    compute: ComputeArgs,
    #[command(flatten)]
    threads: Threads,
}

pub(crate) fn run(args: Args) -> Result<ExitCode> {
    args.threads.start()?;
    args.compute.require_f32_on_cpu("encoding on the CPU")?;
    let experiment = load(&args)?;
    let (folder, vae, encode) = sections(&experiment, &args.config)?;
    let file = AutoencoderFile::read(&vae.path)
        .context("the autoencoder of the experiment, vae.path, cannot be used")?;
    file.warn_of_scaling(vae);
    check_place(folder, encode)?;
    let source = open_encode_source(encode, experiment.seed)?;
    check_sizes(&experiment, encode, &file, source.as_ref())?;
    let device = args.compute.open()?;
    let pixels = if device.is_cpu() { 1 } else { 16 } * (512 * 512);
    let usual = (pixels / encode.image_size.pow(2)).clamp(1, 1024);
    let batch = args.batch.map_or(usual, usize::from);
    let spec = LatentCacheSpec {
        latent_shape: [experiment.model.channels, side(&experiment), side(&experiment)],
        flips: flips(experiment.data.flip),
        vae: file.fingerprint() + &bits(&args, batch),
        crop: crop(encode),
        source: job::describe(source.as_ref()),
        source_len: source.len(),
        num_classes: source.num_classes(),
        class_names: class_names(source.as_ref()),
        records_per_shard: args.shard_size,
    };
    let writer = open_cache(folder, spec)?;
    tracing::info!(
        "{} images of {} ({}x{}) to latents {}x{}x{} in {}, on {}",
        units::thousands(source.len()),
        source.name(),
        encode.image_size,
        encode.image_size,
        experiment.model.channels,
        side(&experiment),
        side(&experiment),
        folder.display(),
        device.record(),
    );
    let job = Job {
        source: source.as_ref(),
        folder,
        batch,
        skip_broken: args.skip_broken,
        checks: args.check,
    };
    let hash = job.run(writer, file.load(&device)?.as_mut())?;
    print(&format!("{}\nindex hash {hash}\n", folder.display()))?;
    Ok(ExitCode::SUCCESS)
}

fn load(args: &Args) -> Result<Experiment> {
    if !args.config.exists() {
        let what = format!("{}: no such experiment file", args.config.display());
        let help = "give a TOML file of latents, such as configs/imagenet256-dis-h2.toml";
        return Err(Failure::usage(what).help(help).into());
    }
    Ok(Experiment::load(&args.config, &args.sets)?)
}

/// Where the cache goes, and what it is made with and of.
fn sections<'a>(
    experiment: &'a Experiment,
    config: &Path,
) -> Result<(&'a Path, &'a VaeSection, &'a EncodeSection), Failure> {
    match (&experiment.data.path, &experiment.vae, &experiment.encode) {
        (Some(path), Some(vae), Some(encode)) => Ok((path, vae, encode)),
        (_, Some(_), None) => {
            let what = format!("{}: no [encode], so nothing says which images", config.display());
            let help = "add [encode] with kind, path and image_size, as in \
                        configs/imagenet256-dis-h2.toml";
            Err(Failure::usage(what).help(help))
        }
        _ => {
            let kind = experiment.data.kind.name();
            let what = format!("{}: data.kind is {kind:?}, expected \"latents\"", config.display());
            let help = "pixels need no cache; `dis train` reads them as they are";
            Err(Failure::usage(what).help(help))
        }
    }
}

/// What else than the weights decides the bits of a latent. On the CPU an image is the same in any
/// batch; on a device products may be summed as suits the batch.
fn bits(args: &Args, batch: usize) -> String {
    match (args.compute.device(), args.compute.precision().name()) {
        (DeviceArg::Cpu, precision) => format!(" in {precision}"),
        (_, precision) => format!(" in {precision}, {batch} images together"),
    }
}

fn side(experiment: &Experiment) -> usize {
    experiment.data.image_size
}

/// Refuses to write among the images, where the cache would be taken for some of them.
fn check_place(folder: &Path, encode: &EncodeSection) -> Result<(), Failure> {
    let Some(images) = encode.path.as_deref().and_then(|path| path.canonicalize().ok()) else {
        return Ok(());
    };
    let absolute = std::path::absolute(folder).map_err(|e| Failure::writing(folder, e))?;
    let inside = absolute
        .ancestors()
        .any(|ancestor| ancestor.canonicalize().is_ok_and(|ancestor| ancestor == images));
    if !inside {
        return Ok(());
    }
    let what = format!("data.path is {}, inside of encode.path", folder.display());
    Err(Failure::usage(what).help("write the cache to another folder than that of the images"))
}

/// Refuses what would make latents of another size than the experiment says.
fn check_sizes(
    experiment: &Experiment,
    encode: &EncodeSection,
    file: &AutoencoderFile,
    source: &dyn Dataset,
) -> Result<(), Failure> {
    let config = file.config();
    let differs = |key: &str, got: usize, expected: String| {
        Err(Failure::usage(format!("{key} is {got}, expected {expected}")))
    };
    let (channels, factor) = (config.latent_channels, config.downsampling());
    if experiment.model.channels != channels {
        let expected = format!("{channels}, the latent channels of the autoencoder");
        return differs("model.channels", experiment.model.channels, expected);
    }
    if encode.image_size != side(experiment) * factor {
        let (side, expected) = (side(experiment), side(experiment) * factor);
        let expected = format!(
            "{expected}: the autoencoder makes {factor} pixels one, and data.image_size is {side}"
        );
        return differs("encode.image_size", encode.image_size, expected);
    }
    let (classes, expected) = (experiment.model.num_classes, source.num_classes());
    if classes > 0 && classes != expected {
        return differs(
            "model.num_classes",
            classes,
            format!("0 or {expected}, as the images have"),
        );
    }
    Ok(())
}

fn flips(mirrored: bool) -> Vec<Flip> {
    if mirrored { vec![Flip::None, Flip::Horizontal] } else { vec![Flip::None] }
}

/// How images become squares, in words that two equal caches share.
fn crop(encode: &EncodeSection) -> String {
    let size = encode.image_size;
    match encode.kind {
        DataKind::Shapes | DataKind::Cifar10 => format!("{size}x{size} as they are"),
        DataKind::Celeba => format!("128x128 around the face, bilinear to {size}x{size}"),
        _ => format!("halved by a box filter, bicubic, centre {size}x{size}"),
    }
}

/// Names of all classes, or none.
fn class_names(source: &dyn Dataset) -> Vec<String> {
    let names = (0..source.num_classes() as u32).map(|label| source.class_name(label));
    names.map(|name| name.map(String::from)).collect::<Option<_>>().unwrap_or_default()
}

/// Begins the cache, or goes on with it.
fn open_cache(folder: &Path, spec: LatentCacheSpec) -> Result<LatentWriter> {
    let bar = progress::byte_bar(None);
    bar.set_message("hashing what is there");
    let writer = LatentWriter::create_or_resume(folder, spec, &mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    })?;
    bar.finish_and_clear();
    for damage in writer.damaged() {
        tracing::warn!("made again: {damage}");
    }
    writer.check_space()?;
    if writer.records() > 0 {
        let there = units::thousands(writer.records());
        tracing::info!(
            "{there} images are encoded already, {} shards to go",
            writer.missing().len()
        );
    }
    Ok(writer)
}
