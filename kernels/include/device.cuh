// What every kernel includes: the one file that knows nvcc from the host compiler, and the arithmetic that kernels share.
#pragma once
#include <stdint.h>

#include "abi.h"

#ifdef __CUDACC__
#include <cuda_bf16.h>

// An entry: parameters by value in one struct, at most THREADS threads a block, registers for BLOCKS blocks on a processor.
#define DIS_KERNEL(NAME, PARAMS, THREADS, BLOCKS) \
  extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) NAME(const __grid_constant__ PARAMS p)
// The block's dynamic shared memory.
#define DIS_SHARED(NAME) extern __shared__ __align__(16) unsigned char NAME[]

extern "C" {
// Read by the library when it loads the module.
__device__ uint32_t dis_abi_version = DIS_ABI_VERSION;
}
#else
#include "../emulator/emulator.h"
#endif

using bf16 = __nv_bfloat16;

constexpr int WARP = 32;
constexpr unsigned ALL_LANES = 0xffffffffu;
constexpr float LOG2_E = 1.44269504f;
constexpr float LN_2 = 0.693147181f;

// ---- memory

__device__ __forceinline__ float load(const float* at) { return *at; }
__device__ __forceinline__ float load(const bf16* at) { return __bfloat162float(*at); }
__device__ __forceinline__ void store(float* at, float value) { *at = value; }
__device__ __forceinline__ void store(bf16* at, float value) { *at = __float2bfloat16_rn(value); }

// A pointer whose making the compiler forgets: addresses in a loop are then one multiply-add from it, instead of being made anew from
// the parts that it was made of.
template <class T>
__device__ __forceinline__ T* settled(T* pointer) {
#ifdef __CUDACC__
  asm("" : "+l"(pointer));
  __builtin_assume(__isGlobal(pointer));
#endif
  return pointer;
}

__host__ __device__ constexpr int ceil_div(int a, int b) { return (a + b - 1) / b; }

// Token visited at `place` of a walk.
__device__ __forceinline__ int token_at(int place, int seq_len, bool right_to_left) {
  return right_to_left ? seq_len - 1 - place : place;
}

// ---- arithmetic

// `condition ? a : b`, always as a selection: for two of them with a and b exchanged the compiler likes to swap registers, which is
// three instructions for two.
__device__ __forceinline__ float select(bool condition, float a, float b) {
#ifdef __CUDACC__
  float chosen;
  asm("{ .reg .pred p; setp.ne.u32 p, %1, 0; selp.f32 %0, %2, %3, p; }"
      : "=f"(chosen)
      : "r"(uint32_t(condition)), "f"(a), "f"(b));
  return chosen;
#else
  return condition ? a : b;
#endif
}

// The larger of two, one instruction; not a number where one of them is not, which fmaxf would lose.
__device__ __forceinline__ float larger(float a, float b) {
#ifdef __CUDACC__
  float most;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(most) : "f"(a), "f"(b));
  return most;
#else
  return a > b || a != a ? a : b;
#endif
}

// 2^x: one instruction, relative error below 2^-22, results below the normal range are 0.
__device__ __forceinline__ float exp2_approx(float x) {
#ifdef __CUDACC__
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#else
  return emulator::approximate(exp2f(x), 0x1p-22f);
#endif
}

// 1 / x: one instruction, relative error below 2^-23.
__device__ __forceinline__ float reciprocal_approx(float x) {
#ifdef __CUDACC__
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#else
  return emulator::approximate(1.0f / x, 0x1p-23f);
#endif
}

__device__ __forceinline__ float exp_approx(float x) { return exp2_approx(x * LOG2_E); }

// 1 / (1 + e^-x). Without overflow: e^-x = inf gives 0.
__device__ __forceinline__ float sigmoid(float x) { return reciprocal_approx(1.0f + exp_approx(-x)); }

__device__ __forceinline__ float silu(float x) { return x * sigmoid(x); }

// Derivative of silu.
__device__ __forceinline__ float silu_slope(float x) {
  const float s = sigmoid(x);
  return s * fmaf(x, 1.0f - s, 1.0f);
}

// ln(1 + e) for e in [0, 1] as e times a polynomial: relative error below 3e-7 everywhere. The logarithm of 1 + e would lose
// the digits of small e, which are the step sizes of a fresh network.
__device__ __forceinline__ float log1p_unit(float e) {
  float p = 0.0052326927f;
  p = fmaf(p, e, -0.0295052323f);
  p = fmaf(p, e, 0.0782259405f);
  p = fmaf(p, e, -0.136632442f);
  p = fmaf(p, e, 0.191060066f);
  p = fmaf(p, e, -0.24842982f);
  p = fmaf(p, e, 0.333190978f);
  p = fmaf(p, e, -0.499994934f);
  p = fmaf(p, e, 0.99999994f);
  return e * p;
}

// ln(1 + e^x).
__device__ __forceinline__ float softplus(float x) {
  return log1p_unit(exp_approx(-fabsf(x))) + fmaxf(x, 0.0f);
}

// softplus and its derivative, the sigmoid: small values keep their digits in both.
__device__ __forceinline__ float softplus_with_slope(float x, float* slope) {
  const float e = exp_approx(-fabsf(x));
  *slope = (x >= 0.0f ? 1.0f : e) * reciprocal_approx(1.0f + e);
  return log1p_unit(e) + fmaxf(x, 0.0f);
}

// ---- sums in a fixed order

// Sum over the lanes of a warp, the same bits in every lane.
__device__ __forceinline__ float warp_sum(float x) {
#pragma unroll
  for (int distance = WARP / 2; distance > 0; distance /= 2) x += __shfl_xor_sync(ALL_LANES, x, distance);
  return x;
}
