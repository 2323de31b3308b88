//! Whether this process may use AMX tiles.

use std::sync::OnceLock;

/// Whether the CPU multiplies bf16 tiles, has the vector instructions that pack them, and the
/// operating system lets this process use them.
pub(crate) fn available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| {
        has_bf16_tiles()
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512bf16")
            && granted()
    })
}

/// AMX-TILE and AMX-BF16: bits 24 and 22 of EDX of CPUID leaf 7.
fn has_bf16_tiles() -> bool {
    const BITS: u32 = 1 << 24 | 1 << 22;
    let leaf = std::arch::x86_64::__get_cpuid_max(0).0;
    leaf >= 7 && std::arch::x86_64::__cpuid_count(7, 0).edx & BITS == BITS
}

/// Asks Linux for the tile registers, which it hands only to processes that ask.
#[cfg(target_os = "linux")]
fn granted() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_long = 18;
    // SAFETY: this call takes two numbers and changes nothing but the permission.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn granted() -> bool {
    false
}
