// The part of CUDA that the kernels use, on the host. Included by device.cuh where the compiler is not nvcc; the machinery is in
// runtime.cpp. Every thread of a block is a fiber; barriers and shuffles hand control to the scheduler.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __restrict__ __restrict
#define __align__(n) alignas(n)
#define __constant__ static const

struct uint3 { unsigned x, y, z; };
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

// ---- numbers

struct __nv_bfloat16 { uint16_t bits; };
struct alignas(4) __nv_bfloat162 { __nv_bfloat16 x, y; };

inline float __uint_as_float(uint32_t bits) { float f; memcpy(&f, &bits, 4); return f; }
inline uint32_t __float_as_uint(float f) { uint32_t bits; memcpy(&bits, &f, 4); return bits; }
inline double __longlong_as_double(long long bits) { double d; memcpy(&d, &bits, 8); return d; }
inline long long __double_as_longlong(double d) { long long bits; memcpy(&bits, &d, 8); return bits; }
inline float __bfloat162float(__nv_bfloat16 b) { return __uint_as_float(uint32_t(b.bits) << 16); }
// To nearest, ties to even; every NaN becomes one NaN, as on the device.
inline __nv_bfloat16 __float2bfloat16_rn(float f) {
  uint32_t bits = __float_as_uint(f);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return {0x7fff};
  bits += 0x7fffu + ((bits >> 16) & 1);
  return {uint16_t(bits >> 16)};
}

// Operations that no compiler may contract into a fused multiply-add.
#define DIS_ROUNDED __attribute__((noinline, optimize("fp-contract=off")))
DIS_ROUNDED inline double __dadd_rn(double a, double b) { return a + b; }
DIS_ROUNDED inline double __dsub_rn(double a, double b) { return a - b; }
DIS_ROUNDED inline double __dmul_rn(double a, double b) { return a * b; }
DIS_ROUNDED inline double __ddiv_rn(double a, double b) { return a / b; }
DIS_ROUNDED inline double __dsqrt_rn(double a) { return std::sqrt(a); }
DIS_ROUNDED inline float __fadd_rn(float a, float b) { return a + b; }
DIS_ROUNDED inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdividef(float a, float b) { return a / b; }
inline float rsqrtf(float a) { return 1.0f / std::sqrt(a); }
inline uint32_t __umulhi(uint32_t a, uint32_t b) { return uint32_t(uint64_t(a) * b >> 32); }
template <class T> inline T __ldg(const T* at) { return *at; }
inline int min(int a, int b) { return a < b ? a : b; }
inline int max(int a, int b) { return a > b ? a : b; }

// ---- the running thread

namespace emulator {

const uint3& thread_index();
const uint3& block_index();
const uint3& block_size();
const uint3& grid_size();
unsigned char* shared_memory();
void block_barrier();
void warp_barrier(uint32_t mask);
// Value that lane `source` of the running thread's warp gives; a barrier of the lanes in `mask`.
uint64_t exchange(uint32_t mask, uint64_t value, unsigned source);

using Body = void (*)(const void* params);

// Adds a kernel to the library when the program starts.
struct Entry {
  Entry(const char* name, unsigned max_threads, size_t params_len, Body body);
};

template <class T> inline T shuffle(uint32_t mask, T value, unsigned source) {
  static_assert(sizeof(T) <= sizeof(uint64_t), "a shuffle moves at most 8 bytes");
  uint64_t raw = 0;
  __builtin_memcpy(&raw, &value, sizeof(T));
  raw = exchange(mask, raw, source);
  __builtin_memcpy(&value, &raw, sizeof(T));
  return value;
}

// The result of a device's approximate unit: `exact`, off by up to `error` of itself where the emulator is told to be like a
// device. How far, the bits of the number decide, so results stay the same from run to run.
float approximate(float exact, float error);

inline unsigned lane() {
  const uint3 &t = thread_index(), &n = block_size();
  return (t.x + n.x * (t.y + n.y * t.z)) % 32;
}

}  // namespace emulator

#define threadIdx (emulator::thread_index())
#define blockIdx (emulator::block_index())
#define blockDim (emulator::block_size())
#define gridDim (emulator::grid_size())

inline void __syncthreads() { emulator::block_barrier(); }
inline void __syncwarp(unsigned mask = 0xffffffffu) { emulator::warp_barrier(mask); }
template <class T> inline T __shfl_xor_sync(unsigned mask, T value, int distance) {
  return emulator::shuffle(mask, value, emulator::lane() ^ distance);
}
template <class T> inline T __shfl_sync(unsigned mask, T value, int source) {
  return emulator::shuffle(mask, value, source % 32);
}
template <class T> inline T __shfl_down_sync(unsigned mask, T value, unsigned distance) {
  const unsigned lane = emulator::lane();
  return emulator::shuffle(mask, value, lane + distance < 32 ? lane + distance : lane);
}
template <class T> inline T __shfl_up_sync(unsigned mask, T value, unsigned distance) {
  const unsigned lane = emulator::lane();
  return emulator::shuffle(mask, value, lane >= distance ? lane - distance : lane);
}

#define DIS_KERNEL(NAME, PARAMS, THREADS, BLOCKS)                                                  \
  static void NAME(const PARAMS& p);                                                               \
  static const emulator::Entry NAME##_entry(#NAME, THREADS, sizeof(PARAMS), [](const void* params) { \
    NAME(*static_cast<const PARAMS*>(params));                                                     \
  });                                                                                              \
  static void NAME(const PARAMS& p)
#define DIS_SHARED(NAME) unsigned char* NAME = emulator::shared_memory()
