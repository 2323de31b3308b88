//! Products of packed panels on AMX tiles.
//!
//! Registers `tmm0` to `tmm3` hold the 32 x 32 block of sums, `tmm4` and `tmm5` one part of 32 rows
//! of `a`, `tmm6` and `tmm7` one part of 32 columns of `b`. The compiler never touches tiles, so
//! each product is one piece of assembly from the first load of the sums to the last store.

use super::{Engine, Line, PART_LINES};
use crate::Write;
use crate::simd::amx_available;
use std::arch::asm;

/// Configuration of the tiles, eight of 16 rows of 64 bytes, in the layout of `LDTILECFG`.
#[repr(C, align(64))]
struct Config([u8; 64]);

static CONFIG: Config = {
    let mut bytes = [0; 64];
    bytes[0] = 1; // palette
    let mut tile = 0;
    while tile < 8 {
        bytes[16 + 2 * tile] = 64; // bytes of a row
        bytes[48 + tile] = 16; // rows
        tile += 1;
    }
    Config(bytes)
};

/// Tiles configured on this thread; given back when dropped, since tiles in use make every switch
/// of threads dearer.
pub(crate) struct Tiles(());

impl Tiles {
    /// Configures the tiles where `engine` needs them.
    pub(super) fn of(engine: Engine) -> Option<Self> {
        (engine != Engine::DotBf16).then(Self::new)
    }

    /// Configures the tiles.
    ///
    /// # Panics
    /// When the CPU lacks AMX.
    pub(crate) fn new() -> Self {
        assert!(amx_available(), "this CPU has no AMX");
        // SAFETY: AMX was detected and granted; the configuration is a valid one of palette 1.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const CONFIG, options(nostack, readonly)) };
        Self(())
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: tiles were configured on this thread, and no product is under way.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}

/// Loads a tile from a number of bytes into the slab.
macro_rules! load {
    (a0, $at:literal) => {
        concat!("tileloadd tmm4, [{a} + {line}*1 + ", $at, "]")
    };
    (a1, $at:literal) => {
        concat!("tileloadd tmm5, [{a} + {line}*1 + ", $at, "]")
    };
    (b0, $at:literal) => {
        concat!("tileloadd tmm6, [{b} + {line}*1 + ", $at, "]")
    };
    (b1, $at:literal) => {
        concat!("tileloadd tmm7, [{b} + {line}*1 + ", $at, "]")
    };
}

/// Adds the product of two tiles to their quarter of the block.
macro_rules! multiply {
    (a0, b0) => {
        "tdpbf16ps tmm0, tmm4, tmm6"
    };
    (a0, b1) => {
        "tdpbf16ps tmm1, tmm4, tmm7"
    };
    (a1, b0) => {
        "tdpbf16ps tmm2, tmm5, tmm6"
    };
    (a1, b1) => {
        "tdpbf16ps tmm3, tmm5, tmm7"
    };
}

/// A product of panels. After some two thousand cycles without one, the next store of a tile takes
/// a thousand more (measured on a Xeon), so every fourth slab of three parts makes one that nobody
/// reads: where the number of slabs left has no bit in common with `$rarely`.
///
/// The sums, then `$step` for every slab of `$slab` bytes.
macro_rules! product {
    (
        $name:ident, $parts:literal, $slab:literal, $rarely:literal,
        [$($ahead:expr),+],
        $($step:expr),+
    ) => {
        /// # Safety
        /// The tiles must be configured, `out` must point to 32 rows of 32 elements, `stride` apart,
        /// that nobody else reaches, and behind `a` and `b` their allocations must hold one slab more.
        pub(super) unsafe fn $name(
            a: &[Line],
            b: &[Line],
            write: Write,
            out: *mut f32,
            stride: usize,
        ) {
            let mut spare = [Line::ZERO; 16];
            assert!(a.len() == b.len() && a.len() % ($parts * PART_LINES) == 0 && !a.is_empty());
            // SAFETY: `a` and `b` hold as many whole slabs as the loop has rounds, the loads ahead
            // stay in one more, and `out` is as the contract says.
            unsafe {
                asm!(
                    "test {overwrite:e}, {overwrite:e}",
                    "jnz 2f",
                    "tileloadd tmm0, [{out} + {stride}*1]",
                    "tileloadd tmm1, [{out} + {stride}*1 + 64]",
                    "tileloadd tmm2, [{low} + {stride}*1]",
                    "tileloadd tmm3, [{low} + {stride}*1 + 64]",
                    "jmp 3f",
                    "2:",
                    "tilezero tmm0",
                    "tilezero tmm1",
                    "tilezero tmm2",
                    "tilezero tmm3",
                    "3:",
                    $($ahead,)+
                    "4:",
                    $($step,)+
                    concat!("test {slabs}, ", $rarely),
                    "jnz 5f",
                    "tilestored [{spare} + {line}*1], tmm4",
                    "5:",
                    concat!("add {a}, ", $slab),
                    concat!("add {b}, ", $slab),
                    "dec {slabs}",
                    "jnz 4b",
                    "tilestored [{out} + {stride}*1], tmm0",
                    "tilestored [{out} + {stride}*1 + 64], tmm1",
                    "tilestored [{low} + {stride}*1], tmm2",
                    "tilestored [{low} + {stride}*1 + 64], tmm3",
                    overwrite = in(reg) u32::from(write == Write::Overwrite),
                    a = inout(reg) a.as_ptr() => _,
                    b = inout(reg) b.as_ptr() => _,
                    slabs = inout(reg) a.len() / ($parts * PART_LINES) => _,
                    out = in(reg) out,
                    low = in(reg) out.wrapping_add(16 * stride),
                    stride = in(reg) 4 * stride,
                    line = in(reg) 64usize,
                    spare = in(reg) &raw mut spare,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack)
                );
            }
        }
    };
}

// Parts are ordered by weight. Each step changes the part of one operand, a tile as soon as the one
// before has had its last use: 1 x 3, 1 x 2, 2 x 2, 2 x 1, 3 x 1, 1 x 1. The first tiles of the next
// slab are loaded ahead, after the last slab those of what follows.
product!(
    product_of_three,
    3,
    "6144",
    "3",
    [load!(a0, "0"), load!(b0, "4096")],
    multiply!(a0, b0),
    load!(a1, "1024"),
    multiply!(a1, b0),
    load!(b1, "5120"),
    multiply!(a0, b1),
    load!(b0, "2048"),
    multiply!(a1, b1),
    multiply!(a0, b0),
    load!(b1, "3072"),
    multiply!(a1, b0),
    multiply!(a0, b1),
    load!(a0, "2048"),
    multiply!(a1, b1),
    multiply!(a0, b0),
    load!(a1, "3072"),
    multiply!(a0, b1),
    multiply!(a1, b0),
    load!(b0, "0"),
    multiply!(a1, b1),
    multiply!(a0, b0),
    load!(b1, "1024"),
    multiply!(a1, b0),
    multiply!(a0, b1),
    load!(a0, "4096"),
    multiply!(a1, b1),
    multiply!(a0, b0),
    load!(a1, "5120"),
    multiply!(a0, b1),
    load!(a0, "0"),
    multiply!(a1, b0),
    multiply!(a1, b1),
    load!(a1, "1024"),
    multiply!(a0, b0),
    multiply!(a0, b1),
    load!(a0, "6144"),
    multiply!(a1, b0),
    load!(b0, "6144 + 4096"),
    multiply!(a1, b1)
);
product!(
    product_of_one,
    1,
    "2048",
    "31",
    [load!(a0, "0"), load!(b0, "0")],
    multiply!(a0, b0),
    load!(b1, "1024"),
    multiply!(a0, b1),
    load!(a0, "2048"),
    load!(a1, "1024"),
    multiply!(a1, b0),
    load!(b0, "2048"),
    multiply!(a1, b1)
);
