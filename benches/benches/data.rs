//! What data cost: resizing beside decoding, and images a second that a loader hands out.
//!
//! Files are made for the run: noise of every wavelength as JPEG of 500x375 pixels, and CIFAR-10 records
//! of noise. "elem/s" is images a second. `decode` is the decoder alone on one core, in memory, with
//! which `centre_crop` and the loader's figures are to be compared.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use data::{
    Cifar10, Dataset, Filter, ImageFiles, ImageFolder, Loader, LoaderConfig, Preparation, Raster,
    Split, centre_crop, resize,
};
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageFormat};
use philox::{Draws, Purpose};
use std::path::Path;
use std::sync::Arc;

const WIDTH: usize = 500;
const HEIGHT: usize = 375;
const JPEGS: u64 = 32;
const RECORDS: usize = 10_000;
const RECORD_LEN: usize = 3073;

/// Grids of random colours from 2 to 128 pixels a cell, each half as strong as the coarser one.
fn picture(number: u64) -> Vec<u8> {
    let mut pixels = vec![128i32; WIDTH * HEIGHT * 3];
    for level in 1..8 {
        let (cell, strength) = (1 << level, level as i32 * 6);
        let draws = Draws::new(number, Purpose::SyntheticData, level);
        let mut colours = vec![0.0; (WIDTH / cell + 1) * (HEIGHT / cell + 1) * 3];
        draws.fill_normal(&mut colours);
        for (i, pixel) in pixels.iter_mut().enumerate() {
            let (column, row) = (i / 3 % WIDTH / cell, i / 3 / WIDTH / cell);
            let colour = colours[(row * (WIDTH / cell + 1) + column) * 3 + i % 3];
            *pixel += (colour * strength as f32) as i32;
        }
    }
    pixels.into_iter().map(|pixel| pixel.clamp(0, 255) as u8).collect()
}

fn jpeg(pixels: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, 90)
        .encode(pixels, WIDTH as u32, HEIGHT as u32, ExtendedColorType::Rgb8)
        .expect("an image that can be written");
    bytes
}

fn loader(dataset: Arc<dyn Dataset>, batch_size: usize, workers: usize) -> Loader {
    let stride = batch_size;
    let (seed, start_position, flip, prefetch) = (0, 0, true, 4);
    let config = LoaderConfig { seed, batch_size, stride, start_position, flip, workers, prefetch };
    Loader::new(dataset, config).expect("a good configuration")
}

fn bench_loader(c: &mut Criterion, name: &str, dataset: &Arc<dyn Dataset>, batch_size: usize) {
    let mut group = c.benchmark_group(format!("loader/{name}, batch {batch_size}"));
    group.sample_size(20).throughput(Throughput::Elements(batch_size as u64));
    for workers in [0, 1, 2] {
        let mut loader = loader(Arc::clone(dataset), batch_size, workers);
        group.bench_function(format!("{workers} workers"), |b| {
            b.iter(|| {
                let batch = loader.next_batch().expect("a batch");
                loader.recycle(batch);
            });
        });
    }
    group.finish();
}

fn files(c: &mut Criterion, folder: &Path) {
    let pixels = picture(0);
    let bytes = jpeg(&pixels);
    let image = Raster::new(WIDTH, HEIGHT, 3, pixels);
    let mut group = c.benchmark_group(format!("{WIDTH}x{HEIGHT}"));
    group.throughput(Throughput::Elements(1));
    group.bench_function("decode", |b| {
        b.iter(|| image::load_from_memory_with_format(&bytes, ImageFormat::Jpeg).expect("a JPEG"));
    });
    group.bench_function("centre_crop 256", |b| b.iter(|| centre_crop(&image, 256)));
    for filter in [Filter::Box, Filter::Bilinear, Filter::Bicubic, Filter::Lanczos] {
        group.bench_function(format!("resize 341x256 {filter:?}"), |b| {
            b.iter(|| resize(&image, 341, 256, filter));
        });
    }
    group.finish();
    for number in 0..JPEGS {
        let file = folder.join(format!("{number}.jpg"));
        std::fs::write(file, jpeg(&picture(number))).expect("room for a file");
    }
    let source = ImageFolder::open(folder).expect("images");
    let crop = Preparation::CentreCrop { size: 256 };
    let images: Arc<dyn Dataset> = Arc::new(ImageFiles::new(source, crop).expect("a size"));
    bench_loader(c, "jpeg 500x375 to 256", &images, 32);
}

fn cifar(c: &mut Criterion, folder: &Path) {
    let mut records = vec![0.0; RECORDS * RECORD_LEN];
    Draws::new(0, Purpose::SyntheticData, 0).fill_normal(&mut records);
    // Labels are the first byte of a record and at most 9, so all bytes are.
    let records: Vec<u8> = records.iter().map(|x| (x.abs() * 2.0).min(9.0) as u8).collect();
    std::fs::write(folder.join("data_batch_1.bin"), records).expect("room for a file");
    let cifar: Arc<dyn Dataset> = Arc::new(Cifar10::open(folder, Split::Train).expect("records"));
    bench_loader(c, "cifar10", &cifar, 128);
}

fn data(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder for files");
    files(c, folder.path());
    let folder = tempfile::tempdir().expect("a folder for files");
    cifar(c, folder.path());
}

criterion_group!(benches, data);
criterion_main!(benches);
