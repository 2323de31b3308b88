// Convolution of images, around a matrix product with the weights.
//
//   patches[pixel, (ky, kx, c)] = x[stride pixel + (ky, kx) - pad, c],   0 outside of the image
//   out[pixel, o]               = activation(sums[pixel, o] + bias[o] + add[pixel, o])
//
// Activations have their channels last, so a tap of a patch is a run of neighbouring elements, and moves in vectors where
// channels, and the rows that they are a part of, are a multiple of one. Patches exist for a strip of output rows at a
// time.
#include <math.h>

#include "columns.cuh"
#include "conv2d.h"

namespace {

constexpr int THREADS = DIS_CONV2D_THREADS;
constexpr int COLUMNS = DIS_CONV2D_COLUMNS;

// Output pixels that a thread of conv2d_finish has under way.
constexpr int AHEAD = 4;

// An element of a patch.
struct Tap {
  int ky, kx, channel;
};

__device__ __forceinline__ Tap tap_of(const DisConv2dGather& p, int element) {
  const int tap = element / p.channels, ky = tap / p.kernel_width;
  return {ky, tap - ky * p.kernel_width, element - tap * p.channels};
}

// What the patch of an output pixel is read from.
template <class T>
struct Window {
  const T* image;
  // Where the first tap is, which may be outside.
  int top, left;
};

template <class T>
__device__ __forceinline__ Window<T> window_of(const DisConv2dGather& p, int row, int out_x) {
  const int image = row / p.out_height, out_y = row - image * p.out_height;
  return {static_cast<const T*>(p.x) + int64_t(image) * p.height * p.width * p.x_stride,
          out_y * p.stride - p.pad_top, out_x * p.stride - p.pad_left};
}

// Null outside of the image, and behind the last tap.
template <class T>
__device__ __forceinline__ const T* element_at(const DisConv2dGather& p, const Window<T>& window, const Tap& tap) {
  const int y = window.top + tap.ky, x = window.left + tap.kx;
  const bool inside = tap.ky < p.kernel_height && y >= 0 && y < p.height << p.doubled && x >= 0 && x < p.width << p.doubled;
  if (!inside) return nullptr;
  return window.image + (int64_t(y >> p.doubled) * p.width + (x >> p.doubled)) * p.x_stride + tap.channel;
}

// N elements from `tap` on. With WHOLE they are channels of one pixel, and move at once.
template <bool WHOLE, int N, class T>
__device__ __forceinline__ Vector<T, N> load_patch(const DisConv2dGather& p, const Window<T>& window, Tap tap) {
  if (WHOLE) {
    const T* const from = element_at(p, window, tap);
    return load_vector_if<N>(from != nullptr, from);
  }
  T elements[N];
#pragma unroll
  for (int i = 0; i < N; i++) {
    const T* const from = element_at(p, window, tap);
    store(&elements[i], from ? load(from) : 0.0f);
    tap.channel++;
    if (tap.channel == p.channels) {
      tap.channel = 0;
      tap.kx++;
    }
    if (tap.kx == p.kernel_width) {
      tap.kx = 0;
      tap.ky++;
    }
  }
  Vector<T, N> vector;
  memcpy(&vector, elements, sizeof vector);
  return vector;
}

// A thread has the same N elements of the patches of several rows.
template <bool WHOLE, int N, class T>
__device__ __forceinline__ void gather_rows(const DisConv2dGather& p) {
  static_assert(DIS_CONV2D_VECTOR % N == 0, "rows of patches are whole vectors");
  const int vectors = p.row_len / N, row_vectors = p.out_width * vectors;
  for (int item = int(blockIdx.x) * THREADS + int(threadIdx.x); item < row_vectors; item += int(gridDim.x) * THREADS) {
    const int out_x = item / vectors;
    const Tap tap = tap_of(p, (item - out_x * vectors) * N);
    T* const to = static_cast<T*>(p.patches) + int64_t(item) * N;
#pragma unroll 1
    for (int row = blockIdx.y; row < p.rows; row += gridDim.y) {
      const Window<T> window = window_of<T>(p, p.first_row + row, out_x);
      *reinterpret_cast<Vector<T, N>*>(to + int64_t(row) * row_vectors * N) = load_patch<WHOLE, N>(p, window, tap);
    }
  }
}

template <class T>
__device__ __forceinline__ void conv2d_gather(const DisConv2dGather& p) {
  constexpr int N = FULL_VECTOR<T>;
  if (p.channels % N == 0 && p.x_stride % N == 0 && allows<N>(static_cast<const T*>(p.x))) {
    gather_rows<true, N, T>(p);
  } else {
    gather_rows<false, 2, T>(p);
  }
}

template <class T>
__device__ __forceinline__ void conv2d_finish(const DisConv2dFinish& p) {
  constexpr int N = FULL_VECTOR<T>;
  const ColumnShare<N> share = column_share<N, COLUMNS, THREADS>(int(blockIdx.x) * COLUMNS, p.channels);
  const T* const add = static_cast<const T*>(p.add);
  T* const out = static_cast<T*>(p.out);
  const bool whole_rows = p.channels % N == 0 && p.sums_stride % N == 0 && p.out_stride % N == 0;
  const bool together = whole_rows && allows<N>(p.sums) && allows<N>(add) && allows<N>(out);
  const Values<N> bias = load_values<N>(p.bias + share.column, p.bias ? share.count : 0, allows<N>(p.bias));
  const float least = p.relu ? 0.0f : -INFINITY;
  const int64_t first = int64_t(blockIdx.y) * p.pixels_per_part;
  const int64_t end = p.pixels - first < p.pixels_per_part ? p.pixels : first + p.pixels_per_part;
  for (int64_t pixel = first + share.strip; pixel < end; pixel += AHEAD * share.strips) {
    Values<N> x[AHEAD], y[AHEAD];
#pragma unroll
    for (int i = 0; i < AHEAD; i++) {
      const int64_t row = pixel + i * share.strips;
      const int count = row < end ? share.count : 0;
      x[i] = load_values<N>(p.sums + row * p.sums_stride + share.column, count, together);
      y[i] = load_values<N>(add + row * p.channels + share.column, add ? count : 0, together);
    }
#pragma unroll
    for (int i = 0; i < AHEAD; i++) {
      const int64_t row = pixel + i * share.strips;
#pragma unroll
      for (int n = 0; n < N; n++) x[i].at[n] = larger(x[i].at[n] + (bias.at[n] + y[i].at[n]), least);
      store_values<N>(out + row * p.out_stride + share.column, row < end ? share.count : 0, together, x[i]);
    }
  }
}

}  // namespace

DIS_KERNEL(conv2d_gather_f32, DisConv2dGather, THREADS, 6) { conv2d_gather<float>(p); }
DIS_KERNEL(conv2d_gather_bf16, DisConv2dGather, THREADS, 6) { conv2d_gather<bf16>(p); }
DIS_KERNEL(conv2d_finish_f32, DisConv2dFinish, THREADS, 4) { conv2d_finish<float>(p); }
DIS_KERNEL(conv2d_finish_bf16, DisConv2dFinish, THREADS, 2) { conv2d_finish<bf16>(p); }
