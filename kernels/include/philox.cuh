// Philox4x32-10 and its normals: the same bits as the Rust crate `philox`, whose documentation is the definition.
//
// Doubles are added, multiplied and divided by the functions that no compiler contracts into a fused multiply-add.
#pragma once
#include "device.cuh"

// The random numbers of one (seed, purpose, sub, position).
struct Draws {
  uint2 key;
  // Counter words 1 to 3: purpose and sub, position low, position high.
  uint32_t purpose, position_low, position_high;
};

__device__ __forceinline__ Draws draws_at(uint64_t seed, uint32_t purpose, uint32_t sub, uint64_t position) {
  return {make_uint2(uint32_t(seed), uint32_t(seed >> 32)), purpose | sub << 8, uint32_t(position),
          uint32_t(position >> 32)};
}

// Words of the lanes 4 index .. 4 index + 3.
__device__ __forceinline__ uint4 philox_block(const Draws& draws, uint32_t index) {
  constexpr uint32_t MULTIPLIER_0 = 0xD2511F53u, MULTIPLIER_1 = 0xCD9E8D57u;
  uint4 c = make_uint4(index, draws.purpose, draws.position_low, draws.position_high);
  uint2 key = draws.key;
#pragma unroll
  for (int round = 0; round < 10; round++) {
    const uint32_t high_0 = __umulhi(MULTIPLIER_0, c.x), low_0 = MULTIPLIER_0 * c.x;
    const uint32_t high_1 = __umulhi(MULTIPLIER_1, c.z), low_1 = MULTIPLIER_1 * c.z;
    c = make_uint4(high_1 ^ c.y ^ key.x, low_1, high_0 ^ c.w ^ key.y, low_0);
    key.x += 0x9E3779B9u;
    key.y += 0xBB67AE85u;
  }
  return c;
}

// ---- logarithm, sine and cosine from + - * / alone

// sum z + next, rounded twice.
__device__ __forceinline__ double horner(double sum, double z, double next) {
  return __dadd_rn(__dmul_rn(sum, z), next);
}

// An integer below 2^52 as a double.
__device__ __forceinline__ double exact_double(uint64_t integer) {
  return __dsub_rn(__longlong_as_double(0x4330000000000000ll | (long long)integer), 4503599627370496.0);
}

// ln((word + 1) 2^-32) = k ln 2 + ln m, m in [sqrt(1/2), sqrt(2)), ln m = 2 atanh((m - 1) / (m + 1)).
__device__ __forceinline__ double ln_unit(uint32_t word) {
  constexpr uint64_t SQRT_HALF_BITS = 0x3FE6A09E667F3BCDull, ONE_BITS = 0x3FF0000000000000ull;
  constexpr uint64_t MANTISSA = (1ull << 52) - 1;
  const double ln_2_high = __longlong_as_double(0x3FE62E42FEE00000ll), ln_2_low = 1.9082149292705877e-10;

  const double u = __dmul_rn(__dadd_rn(exact_double(word), 1.0), 1.0 / 4294967296.0);
  const uint64_t shifted = uint64_t(__double_as_longlong(u)) + (ONE_BITS - SQRT_HALF_BITS);
  const double k = __dsub_rn(exact_double(shifted >> 52), 1023.0);
  const double m = __longlong_as_double((long long)((shifted & MANTISSA) + SQRT_HALF_BITS));

  const double f = __dsub_rn(m, 1.0);
  const double s = __ddiv_rn(f, __dadd_rn(2.0, f));
  const double z = __dmul_rn(s, s);
  double series = 1.0 / 23.0;
  series = horner(series, z, 1.0 / 21.0);
  series = horner(series, z, 1.0 / 19.0);
  series = horner(series, z, 1.0 / 17.0);
  series = horner(series, z, 1.0 / 15.0);
  series = horner(series, z, 1.0 / 13.0);
  series = horner(series, z, 1.0 / 11.0);
  series = horner(series, z, 1.0 / 9.0);
  series = horner(series, z, 1.0 / 7.0);
  series = horner(series, z, 1.0 / 5.0);
  series = horner(series, z, 1.0 / 3.0);
  // 2 atanh(s) = f - s (f - 2 z series): f is exact, the rest is small.
  const double small = __dmul_rn(s, __dsub_rn(f, __dmul_rn(__dmul_rn(2.0, z), series)));
  return __dsub_rn(__dmul_rn(k, ln_2_high), __dsub_rn(__dsub_rn(small, __dmul_rn(k, ln_2_low)), f));
}

// Sine and cosine of x in [-pi/4, pi/4].
__device__ __forceinline__ void sin_cos_eighth(double x, double* sin, double* cos) {
  const double z = __dmul_rn(x, x);
  double s = 1.0 / 355687428096000.0;
  s = horner(s, z, -1.0 / 1307674368000.0);
  s = horner(s, z, 1.0 / 6227020800.0);
  s = horner(s, z, -1.0 / 39916800.0);
  s = horner(s, z, 1.0 / 362880.0);
  s = horner(s, z, -1.0 / 5040.0);
  s = horner(s, z, 1.0 / 120.0);
  s = horner(s, z, -1.0 / 6.0);
  double c = 1.0 / 20922789888000.0;
  c = horner(c, z, -1.0 / 87178291200.0);
  c = horner(c, z, 1.0 / 479001600.0);
  c = horner(c, z, -1.0 / 3628800.0);
  c = horner(c, z, 1.0 / 40320.0);
  c = horner(c, z, -1.0 / 720.0);
  c = horner(c, z, 1.0 / 24.0);
  *sin = __dadd_rn(x, __dmul_rn(__dmul_rn(x, z), s));
  *cos = __dsub_rn(1.0, __dsub_rn(__dmul_rn(0.5, z), __dmul_rn(__dmul_rn(z, z), c)));
}

// Of an angle of `quarters` quarter turns more than the one whose sine and cosine are given.
__device__ __forceinline__ void turn_quarters(uint32_t quarters, double* sin, double* cos) {
  const double s = *sin, c = *cos;
  const double to_sin = quarters & 1 ? c : s, to_cos = quarters & 1 ? s : c;
  *sin = quarters & 2 ? -to_sin : to_sin;
  *cos = (quarters + 1) & 2 ? -to_cos : to_cos;
}

// Sine and cosine of 2 pi word 2^-32.
__device__ __forceinline__ void sin_cos_turn(uint32_t word, double* sin, double* cos) {
  constexpr uint32_t EIGHTH_TURN = 1u << 29, QUARTER_MASK = (1u << 30) - 1;
  constexpr double TAU = 6.283185307179586476925286766559;
  // The nearest quarter turn and what is left of it, in [-1/8, 1/8) turn.
  const uint32_t moved = word + EIGHTH_TURN;
  const double left = __dsub_rn(exact_double(moved & QUARTER_MASK), double(EIGHTH_TURN));
  sin_cos_eighth(__dmul_rn(left, TAU / 4294967296.0), sin, cos);
  turn_quarters(moved >> 30, sin, cos);
}

// ---- normals

// The standard normals of two neighbouring lanes, from their words (Box-Muller).
__device__ __forceinline__ float2 normal_pair(uint32_t first, uint32_t second) {
  const double r = __dsqrt_rn(__dmul_rn(-2.0, ln_unit(first)));
  double sin, cos;
  sin_cos_turn(second, &sin, &cos);
  return make_float2(float(__dmul_rn(r, cos)), float(__dmul_rn(r, sin)));
}

// The standard normals of the lanes 4 index .. 4 index + 3.
__device__ __forceinline__ float4 normals(const Draws& draws, uint32_t index) {
  const uint4 words = philox_block(draws, index);
  const float2 low = normal_pair(words.x, words.y), high = normal_pair(words.z, words.w);
  return make_float4(low.x, low.y, high.x, high.y);
}
