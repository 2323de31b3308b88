// Neighbouring elements of a row, moved at once.
#pragma once
#include "device.cuh"

constexpr int vector_alignment(int bytes) { return bytes < 16 ? bytes : 16; }

// N elements as memory holds them; they move in pieces of up to 16 bytes.
template <class T, int N>
struct alignas(vector_alignment(sizeof(T) * N)) Vector {
  T at[N];
};

// Pairs of bf16 stay words on their way: a compiler that sees the elements takes words apart and puts them together
// again.
template <int N>
struct alignas(vector_alignment(sizeof(bf16) * N)) Vector<bf16, N> {
  static_assert(N % 2 == 0, "whole words");
  uint32_t words[N / 2];
};
template <>
struct Vector<bf16, 1> {
  bf16 at[1];
};

// ---- to and from f32

template <int N>
__device__ __forceinline__ void widen(const Vector<float, N>& from, float (&to)[N]) {
#pragma unroll
  for (int i = 0; i < N; i++) to[i] = from.at[i];
}

// A bf16 is the upper half of an f32.
template <int N>
__device__ __forceinline__ void widen(const Vector<bf16, N>& from, float (&to)[N]) {
#pragma unroll
  for (int i = 0; i < N / 2; i++) {
    to[2 * i] = __uint_as_float(from.words[i] << 16);
    to[2 * i + 1] = __uint_as_float(from.words[i] & 0xffff0000u);
  }
}
__device__ __forceinline__ void widen(const Vector<bf16, 1>& from, float (&to)[1]) { to[0] = load(&from.at[0]); }

template <int N>
__device__ __forceinline__ void narrow(const float (&from)[N], Vector<float, N>& to) {
#pragma unroll
  for (int i = 0; i < N; i++) to.at[i] = from[i];
}
template <int N>
__device__ __forceinline__ void narrow(const float (&from)[N], Vector<bf16, N>& to) {
#pragma unroll
  for (int i = 0; i < N / 2; i++) {
    bf16 pair[2];
    store(&pair[0], from[2 * i]);
    store(&pair[1], from[2 * i + 1]);
    memcpy(&to.words[i], pair, sizeof pair);
  }
}
__device__ __forceinline__ void narrow(const float (&from)[1], Vector<bf16, 1>& to) { store(&to.at[0], from[0]); }

// ---- memory

template <int N, class T>
__device__ __forceinline__ Vector<T, N> load_vector(const T* at) {
  return *reinterpret_cast<const Vector<T, N>*>(at);
}

// Zeros where `at` is not to be read.
template <int N, class T>
__device__ __forceinline__ Vector<T, N> load_vector_if(bool valid, const T* at) {
  Vector<T, N> vector{};
  if (valid) vector = load_vector<N>(at);
  return vector;
}

template <int N, class T>
__device__ __forceinline__ void load_wide(const T* at, float (&to)[N]) {
  widen(load_vector<N>(at), to);
}

template <int N, class T>
__device__ __forceinline__ void store_wide(T* at, const float (&from)[N]) {
  Vector<T, N> vector;
  narrow(from, vector);
  *reinterpret_cast<Vector<T, N>*>(at) = vector;
}
