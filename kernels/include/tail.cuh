// Neighbouring elements in registers, also where fewer than N are left or addresses do not allow one access.
#pragma once
#include <string.h>

#include "vector.cuh"

template <int N>
struct Values {
  float at[N];
};

// Elements that fill 16 bytes.
template <class T>
constexpr int FULL_VECTOR = 16 / int(sizeof(T));

// Whether the N elements from `first` on, and from any multiple of N further, may be accessed together. True of null.
template <int N, class T>
__device__ __forceinline__ bool allows(const T* first) {
  return reinterpret_cast<uintptr_t>(first) % alignof(Vector<T, N>) == 0;
}

// The first `count` of N, then zeros; `together` says whether addresses allow one access.
template <int N, class T>
__device__ __forceinline__ Values<N> load_values(const T* at, int count, bool together) {
  Values<N> x;
  if (together && count >= N) {
    load_wide<N>(at, x.at);
  } else {
#pragma unroll
    for (int i = 0; i < N; i++) x.at[i] = i < count ? load(at + i) : 0.0f;
  }
  return x;
}

// One access of 4, 8 or 16 bytes to global memory, which the compiler does not take apart: next to a branch that stores
// elements one by one it makes four stores of a plain one, to share the last.
template <int BYTES>
__device__ __forceinline__ void store_whole(void* at, const uint32_t* words) {
#ifdef __CUDACC__
  const size_t global = __cvta_generic_to_global(at);
  if (BYTES == 16)
    asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(global), "r"(words[0]), "r"(words[1 % (BYTES / 4)]),
                 "r"(words[2 % (BYTES / 4)]), "r"(words[3 % (BYTES / 4)])
                 : "memory");
  else if (BYTES == 8)
    asm volatile("st.global.v2.b32 [%0], {%1, %2};" ::"l"(global), "r"(words[0]), "r"(words[1 % (BYTES / 4)])
                 : "memory");
  else
    asm volatile("st.global.b32 [%0], %1;" ::"l"(global), "r"(words[0]) : "memory");
#else
  struct alignas(BYTES) Whole {
    uint32_t words[BYTES / 4];
  };
  Whole whole;
  memcpy(&whole, words, BYTES);
  *static_cast<Whole*>(at) = whole;
#endif
}

// All N, in pieces of up to 16 bytes.
template <int N, class T>
__device__ __forceinline__ void store_all(T* at, const Values<N>& x) {
  constexpr int BYTES = N * sizeof(T) < 16 ? N * sizeof(T) : 16, PIECE = BYTES / sizeof(T);
  Vector<T, N> vector;
  narrow(x.at, vector);
  uint32_t words[N * sizeof(T) / 4];
  memcpy(words, &vector, sizeof words);
#pragma unroll
  for (int i = 0; i < N; i += PIECE) store_whole<BYTES>(at + i, words + i * sizeof(T) / 4);
}
template <class T>
__device__ __forceinline__ void store_all(T* at, const Values<1>& x) {
  store(at, x.at[0]);
}

template <int N, class T>
__device__ __forceinline__ void store_values(T* at, int count, bool together, const Values<N>& x) {
  if (together && count >= N) {
    store_all(at, x);
    return;
  }
#pragma unroll
  for (int i = 0; i < N; i++) {
    if (i < count) store(at + i, x.at[i]);
  }
}
