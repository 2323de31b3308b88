//! A device, operands on it, and how close is close there.

use half::bf16;
use parity::{max_relative_error, uniform};
use ssm_kernels::device::{Activation, Device, DeviceBuffer, Driver, Format};
use ssm_kernels::{Backend, Element, Storage};
use std::sync::Arc;

/// Largest error of values in f32, relative to the largest of the operand.
pub(crate) const VALUES: f64 = 5e-6;
/// The same for gradients.
pub(crate) const GRADIENTS: f64 = 2e-5;

/// A driver that tests run on.
pub(crate) trait TestDriver: Driver {
    /// Schedules to run everything in. Results are the same bits in all of them.
    const SCHEDULES: &'static [u64];
    /// Most elements of an activation that are worth their time here.
    const MOST_ELEMENTS: usize;

    /// The device, unless there is none; then why.
    fn open() -> Result<Arc<Self>, String>;

    /// Takes up a schedule.
    fn set_schedule(&self, seed: u64);
}

#[cfg(feature = "emulated")]
mod emulated {
    use super::{Arc, TestDriver};
    use ssm_kernels::device::emulated::{Checked, Fast};

    impl TestDriver for Fast {
        const SCHEDULES: &'static [u64] = &[0, 1, 2, 3];
        const MOST_ELEMENTS: usize = 200_000;

        fn open() -> Result<Arc<Self>, String> {
            Ok(Arc::new(Self::new().expect("the emulator is part of this build")))
        }

        fn set_schedule(&self, seed: u64) {
            Self::set_schedule(self, seed);
        }
    }

    impl TestDriver for Checked {
        const SCHEDULES: &'static [u64] = &[0];
        const MOST_ELEMENTS: usize = 20_000;

        fn open() -> Result<Arc<Self>, String> {
            Ok(Arc::new(Self::new().expect("the emulator is part of this build")))
        }

        fn set_schedule(&self, seed: u64) {
            Self::set_schedule(self, seed);
        }
    }
}

#[cfg(feature = "cuda")]
mod cuda {
    use super::{Arc, TestDriver};
    use ssm_kernels::device::cuda::Cuda;

    impl TestDriver for Cuda {
        // Twice: no schedule is like another on a GPU.
        const SCHEDULES: &'static [u64] = &[0, 0];
        const MOST_ELEMENTS: usize = 10_000_000;

        fn open() -> Result<Arc<Self>, String> {
            Self::open(0).map(Arc::new).map_err(|error| error.to_string())
        }

        fn set_schedule(&self, _seed: u64) {}
    }
}

/// Format of activations, with its conversions.
pub(crate) trait TestActivation: Activation {
    fn round(x: f64) -> Self;
    fn exact(self) -> f64;
}

impl TestActivation for f32 {
    fn round(x: f64) -> Self {
        x as f32
    }

    fn exact(self) -> f64 {
        f64::from(self)
    }
}

impl TestActivation for bf16 {
    fn round(x: f64) -> Self {
        // As kernels do. `from_f64` drops the lower half of its number before it rounds.
        Self::from_f32(x as f32)
    }

    fn exact(self) -> f64 {
        f64::from(self)
    }
}

/// What `A` makes of numbers.
pub(crate) fn rounded<A: TestActivation>(x: &[f64]) -> Vec<f64> {
    x.iter().map(|&x| A::round(x).exact()).collect()
}

/// Numbers of f32 in `center - spread .. center + spread`.
pub(crate) fn around(seed: u64, len: usize, center: f64, spread: f64) -> Vec<f64> {
    uniform(seed, len).iter().map(|x| f64::from((center + spread * x) as f32)).collect()
}

/// A device and operands on it.
pub(crate) struct Lab<A: TestActivation, D: TestDriver> {
    pub(crate) device: Device<A, D>,
}

impl<A: TestActivation, D: TestDriver> Lab<A, D> {
    pub(crate) fn new(driver: Arc<D>) -> Self {
        Self { device: Device::new(driver) }
    }

    pub(crate) fn put<T: Element>(&self, values: &[T]) -> DeviceBuffer<T, D> {
        let mut buffer = self.device.empty(values.len()).expect("memory");
        self.device.upload(values, buffer.view_mut()).expect("upload");
        buffer
    }

    /// Activations.
    pub(crate) fn act(&self, values: &[f64]) -> DeviceBuffer<A, D> {
        self.put(&values.iter().map(|&x| A::round(x)).collect::<Vec<_>>())
    }

    /// Numbers in f32.
    pub(crate) fn wide(&self, values: &[f64]) -> DeviceBuffer<f32, D> {
        self.put(&values.iter().map(|&x| x as f32).collect::<Vec<_>>())
    }

    /// Memory for a result, which the emulator fills with NaN.
    pub(crate) fn empty<T: Element>(&self, len: usize) -> DeviceBuffer<T, D> {
        self.device.empty(len).expect("memory")
    }

    pub(crate) fn get<T: Element>(&self, buffer: &DeviceBuffer<T, D>) -> Vec<T> {
        let view = buffer.view();
        let mut values = vec![T::default(); ssm_kernels::View::len(&view)];
        self.device.download(view, &mut values).expect("download");
        values
    }

    pub(crate) fn get_act(&self, buffer: &DeviceBuffer<A, D>) -> Vec<f64> {
        self.get(buffer).into_iter().map(A::exact).collect()
    }

    pub(crate) fn get_wide(&self, buffer: &DeviceBuffer<f32, D>) -> Vec<f64> {
        self.get(buffer).into_iter().map(f64::from).collect()
    }

    /// Runs in every schedule, and returns what is the same in all.
    #[track_caller]
    pub(crate) fn in_every_schedule<R: PartialEq>(&self, what: &str, run: impl Fn() -> R) -> R {
        let mut results = D::SCHEDULES.iter().map(|&seed| {
            self.device.driver().set_schedule(seed);
            (seed, run())
        });
        let (_, first) = results.next().expect("a schedule");
        for (seed, result) in results {
            assert!(result == first, "{what}: other bits in schedule {seed}");
        }
        first
    }
}

/// Steps of bf16 between two numbers.
fn steps_between(a: bf16, b: bf16) -> u32 {
    // In the order of numbers: negative ones count down from zero.
    let place = |x: bf16| {
        let bits = i32::from(x.to_bits() & 0x7fff);
        if x.is_sign_negative() { -bits } else { bits }
    };
    place(a).abs_diff(place(b))
}

/// `bar` for results that are left when terms of size `terms` cancel: their error is that of the terms.
pub(crate) fn of_terms(bar: f64, terms: f64, want: &[f64]) -> f64 {
    let largest = want.iter().fold(0.0f64, |most, x| most.max(x.abs()));
    if largest > 0.0 { bar * (terms / largest).max(1.0) } else { bar }
}

/// An activation against the definition. In f32 within `bar` of its largest element; in bf16 within one
/// step of the rounded number for 99.9 % of the elements, and all within four.
#[track_caller]
pub(crate) fn assert_act<A: TestActivation>(what: &str, got: &[f64], want: &[f64], bar: f64) {
    if A::FORMAT == Format::F32 {
        assert_wide(what, got, want, bar);
        return;
    }
    assert_eq!(got.len(), want.len(), "{what}: elements");
    // Where terms cancel, a step of the result is below the rounding of the terms.
    let noise = bar * want.iter().fold(0.0f64, |most, x| most.max(x.abs()));
    let (mut off, mut worst) = (0, 0);
    for (i, (&got, &want)) in got.iter().zip(want).enumerate() {
        assert!(got.is_finite(), "{what}: element {i} is {got}, expected {want}");
        let steps = steps_between(bf16::from_f64(got), bf16::from_f64(want));
        if (got - want).abs() > noise {
            off += usize::from(steps > 1);
            worst = worst.max(steps);
        }
    }
    assert!(
        off * 1000 <= got.len() && worst <= 4,
        "{what}: {off} of {} elements are more than a step of bf16 off, the worst {worst} steps",
        got.len()
    );
}

/// A result in f32 against the definition.
#[track_caller]
pub(crate) fn assert_wide(what: &str, got: &[f64], want: &[f64], bar: f64) {
    assert_eq!(got.len(), want.len(), "{what}: elements");
    if let Some(i) = got.iter().position(|x| !x.is_finite()) {
        panic!("{what}: element {i} is {}, expected {}", got[i], want[i]);
    }
    let error = max_relative_error(got, want);
    assert!(error <= bar, "{what}: off by {error:.2e} of the largest, at most {bar:.0e}");
}

/// Says why a test does nothing, in the words that `cargo xtask kernels parity` counts.
#[allow(clippy::print_stdout, reason = "what is skipped is said")]
pub(crate) fn skip(why: &str) {
    println!("skipped, no device: {why}");
}

/// One test for each function and device: `function::<A, D>(&Lab<A, D>)` in f32 and in bf16.
macro_rules! on_every_device {
    ($($test:ident),+ $(,)?) => {
        $crate::support::on_device!(emulated, "emulated", ssm_kernels::device::emulated::Fast, $($test),+);
        $crate::support::on_device!(checked, "emulated", ssm_kernels::device::emulated::Checked, $($test),+);
        $crate::support::on_device!(cuda, "cuda", ssm_kernels::device::cuda::Cuda, $($test),+);
    };
}
pub(crate) use on_every_device;

macro_rules! on_device {
    ($module:ident, $feature:literal, $driver:ty, $($test:ident),+) => {
        #[cfg(feature = $feature)]
        mod $module {
            use $crate::support::{Lab, TestDriver};
            $(
                #[test]
                fn $test() {
                    match <$driver as TestDriver>::open() {
                        Ok(driver) => {
                            super::$test(&Lab::<f32, _>::new(driver.clone()));
                            super::$test(&Lab::<half::bf16, _>::new(driver));
                        }
                        Err(why) => $crate::support::skip(&why),
                    }
                }
            )+
        }
    };
}
pub(crate) use on_device;
