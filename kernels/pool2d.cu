// Pooling of images: the largest of the pixels below a window, or their mean, channel by channel.
//
//   out[pixel, c] = max or mean over the pixels of its window inside of the image of x[., c]
//
// A thread has some neighbouring channels of an output pixel, so that neighbouring threads read neighbouring channels of
// the same pixels; what windows share comes from the cache. Pixels are visited row by row, and sums are f32.
#include <math.h>

#include "pool2d.h"
#include "tail.cuh"

namespace {

constexpr int THREADS = DIS_POOL2D_THREADS;

// What is inside of the image of a window's rows, or of its columns.
struct Span {
  int first, end;
};

__device__ __forceinline__ Span span_of(const DisPool2d& p, int out, int size) {
  const int first = out * p.stride - p.pad;
  return {max(first, 0), min(first + p.side, size)};
}

// N channels below a window. `first` is where the first pixel inside of the image has them.
template <bool AVERAGE, int N, class T>
__device__ __forceinline__ Values<N> pool(const DisPool2d& p, const T* first, const Span& rows, const Span& columns) {
  Values<N> pooled;
#pragma unroll
  for (int i = 0; i < N; i++) pooled.at[i] = AVERAGE ? 0.0f : -INFINITY;
  const int64_t image_row = int64_t(p.width) * p.x_stride;
#pragma unroll 1
  for (int y = rows.first; y < rows.end; y++, first += image_row) {
    const T* pixel = first;
#pragma unroll 4
    for (int x = columns.first; x < columns.end; x++, pixel += p.x_stride) {
      const Values<N> below = load_values<N>(pixel, N, true);
#pragma unroll
      for (int i = 0; i < N; i++) {
        pooled.at[i] = AVERAGE ? pooled.at[i] + below.at[i] : larger(pooled.at[i], below.at[i]);
      }
    }
  }
  if (AVERAGE) {
    const float share = 1.0f / (float(rows.end - rows.first) * float(columns.end - columns.first));
#pragma unroll
    for (int i = 0; i < N; i++) pooled.at[i] *= share;
  }
  return pooled;
}

// A thread has the same N channels of the same column in several rows. Channels are a multiple of N.
template <bool AVERAGE, int N, class T>
__device__ __forceinline__ void pool_rows(const DisPool2d& p) {
  const int vectors = p.channels / N, row_vectors = p.out_width * vectors;
  for (int item = int(blockIdx.x) * THREADS + int(threadIdx.x); item < row_vectors; item += int(gridDim.x) * THREADS) {
    const int out_x = item / vectors, channel = (item - out_x * vectors) * N;
    const Span columns = span_of(p, out_x, p.width);
#pragma unroll 1
    for (int row = blockIdx.y; row < p.rows; row += gridDim.y) {
      const int image = row / p.out_height;
      const Span rows = span_of(p, row - image * p.out_height, p.height);
      const int64_t pixel = (int64_t(image) * p.height + rows.first) * p.width + columns.first;
      const T* const first = static_cast<const T*>(p.x) + pixel * p.x_stride + channel;
      T* const to = static_cast<T*>(p.out) + (int64_t(row) * p.out_width + out_x) * p.out_stride + channel;
      store_values<N>(to, N, true, pool<AVERAGE, N>(p, first, rows, columns));
    }
  }
}

template <bool AVERAGE, class T>
__device__ __forceinline__ void pool_vectors(const DisPool2d& p) {
  constexpr int N = FULL_VECTOR<T>;
  const bool whole_rows = p.channels % N == 0 && p.x_stride % N == 0 && p.out_stride % N == 0;
  if (whole_rows && allows<N>(static_cast<const T*>(p.x)) && allows<N>(static_cast<const T*>(p.out))) {
    pool_rows<AVERAGE, N, T>(p);
  } else {
    pool_rows<AVERAGE, 1, T>(p);
  }
}

template <class T>
__device__ __forceinline__ void pool2d(const DisPool2d& p) {
  if (p.average) {
    pool_vectors<true, T>(p);
  } else {
    pool_vectors<false, T>(p);
  }
}

}  // namespace

DIS_KERNEL(pool2d_f32, DisPool2d, THREADS, 4) { pool2d<float>(p); }
DIS_KERNEL(pool2d_bf16, DisPool2d, THREADS, 4) { pool2d<bf16>(p); }
