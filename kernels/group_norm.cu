// Normalisation of groups of channels over all pixels of an image, with weight, bias and SiLU.
//
//   mean = mean(x),  rstd = (mean((x - mean)^2) + eps)^(-1/2)      over the pixels and channels of one group of one image
//   out  = silu?((x - mean) rstd weight + bias)
//
// Channels are last, so threads have columns and sum over pixels: three launches, of which the first leaves mean and sum of
// squared deviations for every channel of every part of an image, the second joins those of a group, and the third applies.
// The image is read twice. No sum depends on the batch.
#include "block_sum.cuh"
#include "columns.cuh"
#include "group_norm.h"

namespace {

constexpr int THREADS = DIS_GROUP_NORM_THREADS;
constexpr int COLUMNS = DIS_GROUP_NORM_COLUMNS;

// Pixels that a thread has under way; those beyond the end are 0.
constexpr int AHEAD = 4;
constexpr int APPLY_AHEAD = 2;

// Pixels of a part.
struct Part {
  int64_t first;
  int count;
};

__device__ __forceinline__ Part part_of(int64_t index, int64_t pixels, int pixels_per_part) {
  const int64_t first = index * pixels_per_part;
  return {first, pixels - first < pixels_per_part ? int(pixels - first) : pixels_per_part};
}

// Pixels of a strip of a part.
__device__ __forceinline__ int strip_pixels(int part_pixels, int strip, int strips) {
  return part_pixels > strip ? (part_pixels - strip - 1) / strips + 1 : 0;
}

// Means of N channels over the pixels of a thread, and sums of squared deviations from them.
template <int N>
struct Moments {
  Values<N> mean, squares;
};

// Differences are from the thread's first pixel. It is one of the numbers, so the squares that are taken off again are at
// most as many times the result as the thread has pixels.
template <int N, class T>
__device__ __forceinline__ Moments<N> strip_moments(const T* x, int channels, int count, int strips, int pixels,
                                                    bool together) {
  const int64_t step = int64_t(strips) * channels;
  const Values<N> origin = load_values<N>(x, pixels > 0 ? count : 0, together);
  Values<N> sum{}, squares{};
  for (int pixel = 0; pixel < pixels; pixel += AHEAD) {
    Values<N> next[AHEAD];
#pragma unroll
    for (int i = 0; i < AHEAD; i++) {
      next[i] = load_values<N>(x + (pixel + i) * step, pixel + i < pixels ? count : 0, together);
    }
#pragma unroll
    for (int i = 0; i < AHEAD; i++) {
#pragma unroll
      for (int n = 0; n < N; n++) {
        const float difference = pixel + i < pixels ? next[i].at[n] - origin.at[n] : 0.0f;
        sum.at[n] += difference;
        squares.at[n] = fmaf(difference, difference, squares.at[n]);
      }
    }
  }
  const float share = pixels > 0 ? 1.0f / float(pixels) : 0.0f;
  Moments<N> moments;
#pragma unroll
  for (int n = 0; n < N; n++) {
    const float mean = sum.at[n] * share;
    moments.mean.at[n] = origin.at[n] + mean;
    moments.squares.at[n] = fmaxf(fmaf(-mean, sum.at[n], squares.at[n]), 0.0f);
  }
  return moments;
}

// Joins the strips of one column in order; strips lie `stride` floats apart.
__device__ __forceinline__ void join_strips(const float* means, const float* squares, int stride, int strips,
                                            int part_pixels, float* mean_out, float* squares_out) {
  // Relative to the first, which has pixels if any has.
  const float origin = means[0];
  float sum = 0.0f;
  for (int s = 0; s < strips; s++) {
    sum = fmaf(float(strip_pixels(part_pixels, s, strips)), means[s * stride] - origin, sum);
  }
  const float mean = origin + sum / float(part_pixels);
  float total = 0.0f;
  for (int s = 0; s < strips; s++) {
    const float difference = means[s * stride] - mean;
    total += fmaf(float(strip_pixels(part_pixels, s, strips)), difference * difference, squares[s * stride]);
  }
  *mean_out = mean;
  *squares_out = total;
}

template <class T>
__device__ __forceinline__ void group_norm_parts(const DisGroupNormParts& p) {
  DIS_SHARED(shared);
  constexpr int N = FULL_VECTOR<T>;
  static_assert(2 * THREADS * N * sizeof(float) <= DIS_GROUP_NORM_PARTS_SHARED, "two vectors of f32 a thread");
  const int first_column = int(blockIdx.x) * COLUMNS;
  const ColumnShare<N> share = column_share<N, COLUMNS, THREADS>(first_column, p.channels);
  const Part part = part_of(blockIdx.y, p.pixels, p.pixels_per_part);
  const T* const image = static_cast<const T*>(p.x) + int64_t(blockIdx.z) * p.pixels * p.channels;
  const bool together = p.channels % N == 0 && allows<N>(image);
  const Moments<N> moments =
      strip_moments<N>(image + (part.first + share.strip) * p.channels + share.column, p.channels, share.count,
                       share.strips, strip_pixels(part.count, share.strip, share.strips), together);

  const int row = share.lanes * N;
  float *const means = reinterpret_cast<float*>(shared), *const squares = means + THREADS * N;
#pragma unroll
  for (int n = 0; n < N; n++) {
    const int at = share.strip * row + share.lane * N + n;
    means[at] = moments.mean.at[n];
    squares[at] = moments.squares.at[n];
  }
  __syncthreads();
  const int mine = threadIdx.x;
  if (mine < row && first_column + mine < p.channels) {
    float* const out = p.parts + (int64_t(blockIdx.z) * gridDim.y + blockIdx.y) * 2 * p.channels + first_column + mine;
    join_strips(means + mine, squares + mine, row, share.strips, part.count, out, out + p.channels);
  }
}

// Sum over the channels of a group and the parts of an image of value(pixels, mean, squares), in every thread.
template <class Value>
__device__ __forceinline__ double group_sum(const DisGroupNormStatistics& p, double* shared, Value value) {
  const int width = p.channels / p.groups;
  const float* const of_group = p.parts + int64_t(blockIdx.y) * p.part_count * 2 * p.channels + blockIdx.x * width;
  double sum = 0.0;
  for (int i = threadIdx.x; i < p.part_count * width; i += THREADS) {
    const int part = i / width, channel = i - part * width;
    const float* const at = of_group + int64_t(part) * 2 * p.channels + channel;
    sum += value(double(part_of(part, p.pixels, p.pixels_per_part).count), double(at[0]), double(at[p.channels]));
  }
  double* const result = shared + THREADS / WARP;
  sum = block_sum(sum, shared);
  if (threadIdx.x == 0) *result = sum;
  __syncthreads();
  // Before the next sum is put there, every thread has passed the barrier of block_sum.
  return *result;
}

template <class T, bool SILU>
__device__ __forceinline__ void group_norm_apply(const DisGroupNormApply& p) {
  constexpr int N = FULL_VECTOR<T>;
  const ColumnShare<N> share = column_share<N, COLUMNS, THREADS>(int(blockIdx.x) * COLUMNS, p.channels);
  const Part part = part_of(blockIdx.y, p.pixels, p.pixels_per_part);
  const int pixels = strip_pixels(part.count, share.strip, share.strips);
  const int64_t first =
      (int64_t(blockIdx.z) * p.pixels + part.first + share.strip) * p.channels + share.column;
  const T* const x = static_cast<const T*>(p.x) + first;
  T* const out = static_cast<T*>(p.out) + first;
  const bool together =
      p.channels % N == 0 && allows<N>(static_cast<const T*>(p.x)) && allows<N>(static_cast<const T*>(p.out));

  const int width = p.channels / p.groups;
  const float* const statistics = p.statistics + int64_t(blockIdx.z) * p.groups * 2;
  Values<N> mean{}, factor = load_values<N>(p.weight + share.column, share.count, allows<N>(p.weight));
  const Values<N> bias = load_values<N>(p.bias + share.column, share.count, allows<N>(p.bias));
#pragma unroll
  for (int n = 0; n < N; n++) {
    if (n < share.count) {
      const int group = (share.column + n) / width;
      mean.at[n] = statistics[2 * group];
      factor.at[n] *= statistics[2 * group + 1];
    }
  }

  const int64_t step = int64_t(share.strips) * p.channels;
  for (int pixel = 0; pixel < pixels; pixel += APPLY_AHEAD) {
    Values<N> next[APPLY_AHEAD];
#pragma unroll
    for (int i = 0; i < APPLY_AHEAD; i++) {
      next[i] = load_values<N>(x + (pixel + i) * step, pixel + i < pixels ? share.count : 0, together);
    }
#pragma unroll
    for (int i = 0; i < APPLY_AHEAD; i++) {
#pragma unroll
      for (int n = 0; n < N; n++) {
        const float y = fmaf(next[i].at[n] - mean.at[n], factor.at[n], bias.at[n]);
        next[i].at[n] = SILU ? silu(y) : y;
      }
      store_values<N>(out + (pixel + i) * step, pixel + i < pixels ? share.count : 0, together, next[i]);
    }
  }
}

template <class T>
__device__ __forceinline__ void group_norm_apply(const DisGroupNormApply& p) {
  if (p.silu) {
    group_norm_apply<T, true>(p);
  } else {
    group_norm_apply<T, false>(p);
  }
}

}  // namespace

DIS_KERNEL(group_norm_parts_f32, DisGroupNormParts, THREADS, 4) { group_norm_parts<float>(p); }
DIS_KERNEL(group_norm_parts_bf16, DisGroupNormParts, THREADS, 3) { group_norm_parts<bf16>(p); }

DIS_KERNEL(group_norm_statistics, DisGroupNormStatistics, THREADS, 4) {
  DIS_SHARED(shared);
  double* const slots = reinterpret_cast<double*>(shared);
  const double elements = double(p.pixels) * double(p.channels / p.groups);
  const double mean =
      group_sum(p, slots, [](double pixels, double mean, double) { return pixels * mean; }) / elements;
  const double variance = group_sum(p, slots, [=](double pixels, double part_mean, double squares) {
                            const double difference = part_mean - mean;
                            return fma(pixels * difference, difference, squares);
                          }) / elements;
  if (threadIdx.x == 0) {
    float* const out = p.statistics + (int64_t(blockIdx.y) * p.groups + blockIdx.x) * 2;
    out[0] = float(mean);
    out[1] = rsqrtf(float(variance) + p.eps);
  }
}

DIS_KERNEL(group_norm_apply_f32, DisGroupNormApply, THREADS, 4) { group_norm_apply<float>(p); }
DIS_KERNEL(group_norm_apply_bf16, DisGroupNormApply, THREADS, 2) { group_norm_apply<bf16>(p); }
