//! What was measured: a table that grows on the screen, and JSON.

use super::costs::{Ceilings, Cost};
use serde_json::{Value, json};
use trainer::workload::median;

/// Where and when.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// In UTC.
    pub date: String,
    /// What was built.
    pub commit: String,
    /// Name of the GPU.
    pub gpu: String,
    /// Its compute capability.
    pub capability: (i32, i32),
    /// Its driver.
    pub driver: String,
    /// The CUDA release that the driver was made for.
    pub release: (i32, i32),
    /// Processors.
    pub processors: usize,
    /// Highest clock of the processors, in Hz.
    pub clock: f64,
    /// Clock of the memory, in Hz.
    pub memory_clock: f64,
    /// Bytes of the shared cache.
    pub cache: usize,
    /// Timed calls of each case.
    pub calls: usize,
    /// Clocks, power and temperature as the driver's own tool says, before and after.
    pub states: Vec<String>,
}

impl About {
    /// The lines above the table.
    pub fn lines(&self) -> Vec<String> {
        let Self { capability: (major, minor), release: (of, minor_of), .. } = self;
        vec![
            format!("Kernels at {}, {}.", self.commit, self.date),
            format!(
                "{}, compute capability {major}.{minor}, {} processors at up to {:.3} GHz, {:.0} MB \
                 shared cache; driver {}, CUDA {of}.{minor_of}.",
                self.gpu,
                self.processors,
                self.clock / 1e9,
                self.cache as f64 / 1e6,
                self.driver
            ),
            format!(
                "Median of {} calls by the GPU's clock, operands not in its cache.",
                self.calls
            ),
        ]
    }

    fn json(&self) -> Value {
        let version = |(major, minor): (i32, i32)| format!("{major}.{minor}");
        json!({
            "date": self.date,
            "commit": self.commit,
            "gpu": self.gpu,
            "capability": version(self.capability),
            "driver": self.driver,
            "cuda": version(self.release),
            "processors": self.processors,
            "clock_hz": self.clock,
            "memory_clock_hz": self.memory_clock,
            "cache_bytes": self.cache,
            "calls": self.calls,
            "states": self.states,
        })
    }
}

/// One case and its times.
#[derive(Clone, Debug)]
pub struct Measured {
    /// As the library names it.
    pub operator: String,
    /// Sizes.
    pub shape: String,
    /// Format of activations.
    pub format: &'static str,
    /// What a call costs at least; nothing for a network.
    pub cost: Cost,
    /// Seconds that it takes at least.
    pub floor: f64,
    /// Images of a batch, for a network.
    pub images: Option<usize>,
    /// Seconds of every call, or why there are none.
    pub times: Result<Vec<f64>, String>,
}

/// Widths of the columns; the first two to the left.
const WIDTHS: [usize; 10] = [34, 26, 5, 10, 10, 9, 8, 8, 9, 9];
const HEADER: [&str; 10] = [
    "operator", "shape", "type", "us", "least", "GB/s", "of copy", "of exp", "TFLOP/s", "of floor",
];

impl Measured {
    /// The middle call.
    pub fn median(&self) -> Option<f64> {
        self.times.as_deref().ok().filter(|times| !times.is_empty()).map(median)
    }

    fn least(&self) -> f64 {
        let times = self.times.as_deref().unwrap_or_default();
        times.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// A line of the table.
    fn line(&self, ceilings: &Ceilings) -> String {
        let names = [self.operator.clone(), self.shape.clone(), self.format.to_string()];
        let (Some(seconds), Ok(_)) = (self.median(), &self.times) else {
            let why = self.times.as_ref().err().map_or("no calls", |why| why);
            return format!("{}  {why}", aligned(&names));
        };
        let some = |value: f64, text: String| if value > 0.0 { text } else { String::new() };
        let share = |value: f64, ceiling: f64| {
            some(value, format!("{:.1} %", 100.0 * value / seconds / ceiling))
        };
        let Cost { bytes, exps, flops } = self.cost;
        let mut cells = names.to_vec();
        cells.extend([
            format!("{:.1}", 1e6 * seconds),
            format!("{:.1}", 1e6 * self.least()),
            some(bytes, format!("{:.0}", bytes / seconds / 1e9)),
            share(bytes, ceilings.bytes),
            share(exps, ceilings.exps),
            some(flops, format!("{:.1}", flops / seconds / 1e12)),
            some(self.floor, format!("{:.1} %", 100.0 * self.floor / seconds)),
        ]);
        let rate = self.images.map(|images| format!("  {:.1} images/s", images as f64 / seconds));
        aligned(&cells) + &rate.unwrap_or_default()
    }

    fn json(&self, ceilings: &Ceilings) -> Value {
        let mut value = json!({
            "operator": self.operator,
            "shape": self.shape,
            "format": self.format,
            "bytes": self.cost.bytes,
            "exps": self.cost.exps,
            "flops": self.cost.flops,
            "floor_seconds": self.floor,
        });
        let more = match (self.median(), &self.times) {
            (Some(seconds), _) => json!({
                "seconds": seconds,
                "least_seconds": self.least(),
                "bytes_per_second": self.cost.bytes / seconds,
                "copy_share": self.cost.bytes / seconds / ceilings.bytes,
                "exp_share": self.cost.exps / seconds / ceilings.exps,
                "flops_per_second": self.cost.flops / seconds,
                "floor_share": self.floor / seconds,
                "images_per_second": self.images.map(|images| images as f64 / seconds),
            }),
            (None, Err(why)) => json!({ "error": why }),
            (None, Ok(_)) => json!({ "error": "no calls" }),
        };
        if let (Value::Object(value), Value::Object(more)) = (&mut value, more) {
            value.extend(more);
        }
        value
    }
}

/// All that was measured so far.
#[derive(Clone, Debug, Default)]
pub struct KernelRecord {
    /// Where and when.
    pub about: About,
    ceilings: Vec<(String, Ceilings)>,
    cases: Vec<(Measured, Value)>,
}

impl KernelRecord {
    /// Without results.
    pub fn new(about: About) -> Self {
        Self { about, ..Self::default() }
    }

    /// The first line of the table.
    pub fn header() -> String {
        aligned(&HEADER.map(String::from))
    }

    /// What a format is compared with from now on, in words.
    pub fn compare_with(&mut self, format: &str, ceilings: Ceilings) -> String {
        self.ceilings.push((format.to_string(), ceilings));
        format!(
            "Ceilings in {format}: copy {:.0} GB/s, exp units {:.2} T/s, product {:.1} TFLOP/s.",
            ceilings.bytes / 1e9,
            ceilings.exps / 1e12,
            ceilings.flops / 1e12
        )
    }

    /// Keeps a case; its line of the table.
    pub fn add(&mut self, case: Measured, ceilings: &Ceilings) -> String {
        let (line, value) = (case.line(ceilings), case.json(ceilings));
        self.cases.push((case, value));
        line
    }

    /// Cases that could not be timed.
    pub fn failures(&self) -> usize {
        self.cases.iter().filter(|(case, _)| case.times.is_err()).count()
    }

    /// Everything.
    pub fn json(&self) -> Value {
        let mut value = self.about.json();
        let ceilings = self.ceilings.iter().map(|(format, c)| {
            json!({
                "format": format,
                "bytes_per_second": c.bytes,
                "exps_per_second": c.exps,
                "flops_per_second": c.flops,
            })
        });
        value["ceilings"] = ceilings.collect();
        value["cases"] = self.cases.iter().map(|(_, value)| value.clone()).collect();
        value
    }
}

/// Names to the left, numbers to the right.
fn aligned(cells: &[String]) -> String {
    let cells = cells.iter().zip(WIDTHS).enumerate().map(|(i, (cell, width))| match i {
        0..3 => format!("{cell:<width$}"),
        _ => format!("{cell:>width$}"),
    });
    cells.collect::<Vec<_>>().join(" ").trim_end().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CEILINGS: Ceilings = Ceilings { bytes: 4e12, exps: 4e12, flops: 8e14 };

    fn scan(times: Result<Vec<f64>, String>) -> Measured {
        let cost = Cost { bytes: 3e8, exps: 8e8, flops: 0.0 };
        Measured {
            operator: "selective_scan".into(),
            shape: "S/2 128x257x768".into(),
            format: "bf16",
            cost,
            floor: cost.floor(&CEILINGS),
            images: None,
            times,
        }
    }

    #[test]
    fn lines_and_json_say_the_same() {
        let mut record = KernelRecord::new(About { gpu: "H200".into(), ..About::default() });
        record.compare_with("bf16", CEILINGS);
        let line = record.add(scan(Ok(vec![5e-4, 2.5e-4, 4e-4])), &CEILINGS);
        let cells: Vec<_> = line.split_whitespace().collect();
        let numbers = ["400.0", "250.0", "750", "18.8", "%", "50.0", "%", "50.0", "%"];
        assert!(cells.ends_with(&numbers), "{line}");
        let json = record.json();
        assert_eq!(json["gpu"], "H200");
        assert_eq!(json["ceilings"][0]["bytes_per_second"], 4e12);
        let case = &json["cases"][0];
        assert_eq!((&case["seconds"], &case["least_seconds"]), (&json!(4e-4), &json!(2.5e-4)));
        assert_eq!((&case["exp_share"], &case["floor_share"]), (&json!(0.5), &json!(0.5)));
        assert_eq!(record.failures(), 0);
    }

    #[test]
    fn a_case_that_failed_says_why_and_is_counted() {
        let mut record = KernelRecord::default();
        let line = record.add(scan(Err("10 GB more".into())), &CEILINGS);
        assert!(line.ends_with("bf16  10 GB more"), "{line:?}");
        assert_eq!(record.json()["cases"][0]["error"], "10 GB more");
        assert_eq!(record.failures(), 1);
    }

    #[test]
    fn a_network_shows_images_a_second() {
        let mut record = KernelRecord::default();
        let times = Ok(vec![0.05]);
        let network = Measured { images: Some(128), cost: Cost::default(), ..scan(times) };
        let line = record.add(network, &CEILINGS);
        assert!(line.ends_with("0.4 %  2560.0 images/s"), "{line}");
        assert_eq!(record.json()["cases"][0]["images_per_second"], 2560.0);
    }

    #[test]
    fn columns_of_the_header_stand_over_those_of_a_case() {
        let line = KernelRecord::default().add(scan(Ok(vec![1.0])), &CEILINGS);
        let at = |text: &str, word: &str| text.find(word).unwrap();
        assert_eq!(at(&KernelRecord::header(), "shape"), at(&line, "S/2"));
        assert_eq!(at(&KernelRecord::header(), "type"), at(&line, "bf16"));
    }
}
