//! Types of elements, and their values.

use half::f16;

/// Type of the elements of an array, of those that are read and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element {
    kind: Kind,
    /// Whether the bytes of an element stand in the other order than here.
    is_big_endian: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Bool,
    U8,
    U32,
    U64,
    I32,
    I64,
    F16,
    F32,
    F64,
}

/// Kinds as NumPy writes them.
const KINDS: [(&str, Kind); 9] = [
    ("b1", Kind::Bool),
    ("u1", Kind::U8),
    ("u4", Kind::U32),
    ("u8", Kind::U64),
    ("i4", Kind::I32),
    ("i8", Kind::I64),
    ("f2", Kind::F16),
    ("f4", Kind::F32),
    ("f8", Kind::F64),
];

impl Element {
    /// Bytes, as images have.
    pub const U8: Self = Self { kind: Kind::U8, is_big_endian: false };
    /// Single precision, little-endian.
    pub const F32: Self = Self { kind: Kind::F32, is_big_endian: false };
    /// Double precision, little-endian.
    pub const F64: Self = Self { kind: Kind::F64, is_big_endian: false };

    /// The type that NumPy writes as `descr`: `|u1`, `<f4`, `>f8`.
    ///
    /// # Errors
    /// For people: another type; Python objects, which would be a pickle.
    pub fn of_descr(descr: &str) -> Result<Self, String> {
        let (order, code) = descr.split_at_checked(1).unwrap_or_default();
        if code.starts_with('O') {
            return Err(format!(
                "elements {descr} are Python objects, a pickle, which is refused: to read one is \
                 to run it. Save an array of numbers"
            ));
        }
        let kind = KINDS.iter().find(|(name, _)| *name == code).map(|&(_, kind)| kind);
        match (order, kind) {
            ("<" | ">", Some(kind)) => Ok(Self { kind, is_big_endian: order == ">" }),
            ("|", Some(kind @ (Kind::Bool | Kind::U8))) => Ok(Self { kind, is_big_endian: false }),
            _ => Err(format!(
                "elements {descr}, expected b1, u1, u4, u8, i4, i8, f2, f4 or f8, of either order"
            )),
        }
    }

    /// As NumPy writes it.
    pub fn descr(self) -> String {
        let order = match (self.size(), self.is_big_endian) {
            (1, _) => '|',
            (_, false) => '<',
            (_, true) => '>',
        };
        let name = KINDS.iter().find(|(_, kind)| *kind == self.kind).map_or("", |(name, _)| name);
        format!("{order}{name}")
    }

    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self.kind {
            Kind::Bool | Kind::U8 => 1,
            Kind::F16 => 2,
            Kind::U32 | Kind::I32 | Kind::F32 => 4,
            Kind::U64 | Kind::I64 | Kind::F64 => 8,
        }
    }

    /// Whether it is one of the types with a point.
    pub const fn is_float(self) -> bool {
        matches!(self.kind, Kind::F16 | Kind::F32 | Kind::F64)
    }

    /// The value of an element of [`Element::size`] bytes; integers beyond 2^53 are rounded.
    pub(crate) fn to_f64(self, bytes: &[u8]) -> f64 {
        let bits = self.bits(bytes);
        match self.kind {
            Kind::F16 => f16::from_bits(bits as u16).to_f64(),
            Kind::F32 => f64::from(f32::from_bits(bits as u32)),
            Kind::F64 => f64::from_bits(bits),
            Kind::I32 => f64::from(bits as i32),
            Kind::I64 => bits as i64 as f64,
            Kind::Bool | Kind::U8 | Kind::U32 | Kind::U64 => bits as f64,
        }
    }

    /// The value of an element that is an integer within `i64`.
    pub(crate) fn to_i64(self, bytes: &[u8]) -> Option<i64> {
        let bits = self.bits(bytes);
        match self.kind {
            Kind::I32 => Some(i64::from(bits as i32)),
            Kind::I64 => Some(bits as i64),
            Kind::Bool | Kind::U8 | Kind::U32 | Kind::U64 => i64::try_from(bits).ok(),
            Kind::F16 | Kind::F32 | Kind::F64 => None,
        }
    }

    /// An element's bytes as a number, the first being its lowest unless the order is the other.
    fn bits(self, bytes: &[u8]) -> u64 {
        let add = |sum, &byte: &u8| sum << 8 | u64::from(byte);
        if self.is_big_endian { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_every_type() {
        let check = |descr: &str, bytes: &[u8], value: f64| {
            let element = Element::of_descr(descr).unwrap();
            assert_eq!((element.descr().as_str(), element.size()), (descr, bytes.len()));
            assert_eq!(element.to_f64(bytes), value, "{descr}");
            let integer = (!element.is_float()).then_some(value as i64);
            assert_eq!(element.to_i64(bytes), integer, "{descr}");
            let swapped: Vec<u8> = bytes.iter().rev().copied().collect();
            let swapped_descr = descr.replace(['<', '|'], ">");
            let other = Element::of_descr(&swapped_descr).unwrap();
            assert_eq!(other.to_f64(&swapped), value, "{swapped_descr}");
        };
        check("|b1", &[1], 1.0);
        check("|u1", &[200], 200.0);
        check("<u4", &0xFFFF_FF00u32.to_le_bytes(), 4_294_967_040.0);
        check("<u8", &(1u64 << 40).to_le_bytes(), (1u64 << 40) as f64);
        check("<i4", &(-7i32).to_le_bytes(), -7.0);
        check("<i8", &(-1i64 << 40).to_le_bytes(), -((1u64 << 40) as f64));
        check("<f2", &f16::from_f64(-0.375).to_le_bytes(), -0.375);
        check("<f4", &1.5f32.to_le_bytes(), 1.5);
        check("<f8", &0.1f64.to_le_bytes(), 0.1);
        assert_eq!(Element::of_descr("<u8").unwrap().to_i64(&[0xFF; 8]), None);
    }

    #[test]
    fn other_types_are_refused() {
        for descr in ["", "f", "<", "u1", "|f4", "=f4", "<f16", "<c8", "<U5", "|S3", "|V8", "é1"] {
            assert!(Element::of_descr(descr).unwrap_err().contains("expected"), "{descr}");
        }
        for descr in ["|O", "|O8", "<O"] {
            assert!(Element::of_descr(descr).unwrap_err().contains("pickle"), "{descr}");
        }
    }
}
