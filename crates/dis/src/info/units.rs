//! Numbers for people.

/// `28488008` as `28,488,008`.
pub(crate) fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Bytes in the decimal unit that leaves one to three digits before the point.
pub(crate) fn bytes(n: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = if unit == 0 || value >= 100.0 { 0 } else { 1 + usize::from(value < 10.0) };
    format!("{value:.digits$} {}", units[unit])
}

/// Floating-point operations, in GFLOP from a tenth on.
pub(crate) fn flops(n: f64) -> String {
    if n >= 1e8 { format!("{:.3} GFLOP", n / 1e9) } else { format!("{:.3} MFLOP", n / 1e6) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_scaled() {
        assert_eq!(thousands(7), "7");
        assert_eq!(thousands(900_558_432), "900,558,432");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1_500), "1.50 kB");
        assert_eq!(bytes(569_760_160), "570 MB");
        assert_eq!(bytes(22_230_000_000), "22.2 GB");
        assert_eq!(bytes(999_600), "1.00 MB");
        assert_eq!(flops(460.863e9), "460.863 GFLOP");
        assert_eq!(flops(3_700_000.0), "3.700 MFLOP");
    }
}
