// Time and label embeddings, tokens, and their gradients.
//
//   phases    = [cos(t f) | sin(t f)],   f_i = 10000^(-i / floor(D / 2))
//   sum       = time + table[label],   condition = silu(sum)
//   tokens    = [table[label], time, patches + bias] + position          (what there is of the leading two)
//
//   grad_position += sum over images of grad_tokens,   grad_bias += sum of that over patches
//   g = grad_condition silu'(sum),   grad_time = g + gradient of time's token
//   grad_table[label] += g + gradient of the label's token
//
// Elementwise passes give a vector of channels to a thread. Where images share an operand (position, bias) a thread
// keeps it and walks the images. No sum depends on a schedule: a thread adds up its images in order, and a row of the
// table belongs to the first image with its label.
#include "embed.h"
#include "philox.cuh"
#include "tail.cuh"

namespace {

constexpr int THREADS = DIS_EMBED_THREADS;

// Elements of one access.
template <class T>
constexpr int VECTOR = FULL_VECTOR<T>;
static_assert(VECTOR<float> <= DIS_EMBED_VECTOR && VECTOR<bf16> <= DIS_EMBED_VECTOR, "a launch has threads enough");

// ---- values

// The phase is far from 0, and so is reduced in f64: to at most pi/4 beside a multiple of pi/2, given in two parts.
__device__ __forceinline__ void sin_cos(double phase, double* sin, double* cos) {
  constexpr double TWO_OVER_PI = 0.636619772367581343075535053490;
  constexpr double HALF_PI_HIGH = 1.5707963267948966, HALF_PI_LOW = 6.123233995736766e-17;
  const double quarters = rint(phase * TWO_OVER_PI);
  const double left = fma(-quarters, HALF_PI_LOW, fma(-quarters, HALF_PI_HIGH, phase));
  sin_cos_eighth(left, sin, cos);
  turn_quarters(uint32_t(int(quarters)), sin, cos);
}

template <class T>
__device__ __forceinline__ void phases(const DisEmbedPhases& p) {
  constexpr double LN_10000 = 9.210340371976182736071965818737;
  T* const out = static_cast<T*>(p.phases);
  const int half = p.width / 2, columns = p.width - half;
  const int64_t at = int64_t(blockIdx.x) * THREADS + threadIdx.x;
  const int b = int(at / columns), i = int(at % columns);
  T* const row = out + int64_t(b) * p.width;
  if (b < p.batch && i < half) {
    double sin, cos;
    sin_cos(p.timesteps[b] * exp(-LN_10000 * i / half), &sin, &cos);
    store(row + i, float(cos));
    store(row + half + i, float(sin));
  } else if (b < p.batch) {
    store(row + p.width - 1, 0.0f);
  }
}

template <class T, int N>
__device__ __forceinline__ void condition(const DisEmbedCondition& p) {
  const T* const time = static_cast<const T*>(p.time);
  const int64_t len = int64_t(p.batch) * p.width, step = int64_t(gridDim.x) * THREADS * N;
  for (int64_t at = (int64_t(blockIdx.x) * THREADS + threadIdx.x) * N; at < len; at += step) {
    const int64_t b = at / p.width;
    const int column = int(at - b * p.width);
    Values<N> x = load_values<N>(time + at, N, N > 1);
    if (p.labels) {
      const Values<N> label = load_values<N>(p.table + int64_t(p.labels[b]) * p.width + column, N, N > 1);
#pragma unroll
      for (int i = 0; i < N; i++) x.at[i] += label.at[i];
    }
    store_values<N>(static_cast<T*>(p.sum) + at, N, N > 1, x);
#pragma unroll
    for (int i = 0; i < N; i++) x.at[i] = silu(x.at[i]);
    store_values<N>(static_cast<T*>(p.condition) + at, N, N > 1, x);
  }
}

template <class T>
__device__ __forceinline__ void condition(const DisEmbedCondition& p) {
  constexpr int N = VECTOR<T>;
  const bool together = p.width % N == 0 && allows<N>(static_cast<const T*>(p.time)) && allows<N>(p.table) &&
                        allows<N>(static_cast<T*>(p.sum)) && allows<N>(static_cast<T*>(p.condition));
  if (together)
    condition<T, N>(p);
  else
    condition<T, 1>(p);
}

// Images that are under way together.
constexpr int IMAGES_AHEAD = 4;

// N channels of one token, in the images from blockIdx.y on.
template <class T, int N>
__device__ __forceinline__ void patch_token(const DisEmbedTokens& p, int64_t at, int column,
                                            const Values<N>& position) {
  const int64_t image_len = int64_t(p.seq_len) * p.width;
  const Values<N> bias = load_values<N>(p.bias + column, N, N > 1);
  for (int first = blockIdx.y; first < p.batch; first += IMAGES_AHEAD * gridDim.y) {
    T* const here = static_cast<T*>(p.tokens) + first * image_len + at;
    const int64_t step = gridDim.y * image_len;
    Values<N> x[IMAGES_AHEAD] = {};
#pragma unroll
    for (int i = 0; i < IMAGES_AHEAD; i++) {
      if (first + i * int(gridDim.y) < p.batch) x[i] = load_values<N>(here + i * step, N, N > 1);
    }
#pragma unroll
    for (int i = 0; i < IMAGES_AHEAD; i++) {
#pragma unroll
      for (int k = 0; k < N; k++) x[i].at[k] = x[i].at[k] + bias.at[k] + position.at[k];
      if (first + i * int(gridDim.y) < p.batch) store_values<N>(here + i * step, N, N > 1, x[i]);
    }
  }
}

template <class T, int N>
__device__ __forceinline__ void leading_token(const DisEmbedTokens& p, int64_t at, int token, int column,
                                              const Values<N>& position) {
  const T* const time = static_cast<const T*>(p.time);
  for (int b = blockIdx.y; b < p.batch; b += gridDim.y) {
    Values<N> x{};
    if (token == p.extra - 1)
      x = load_values<N>(time + int64_t(b) * p.width + column, N, N > 1);
    else if (p.labels)
      x = load_values<N>(p.table + int64_t(p.labels[b]) * p.width + column, N, N > 1);
#pragma unroll
    for (int k = 0; k < N; k++) x.at[k] += position.at[k];
    store_values<N>(static_cast<T*>(p.tokens) + int64_t(b) * p.seq_len * p.width + at, N, N > 1, x);
  }
}

template <class T, int N>
__device__ __forceinline__ void tokens(const DisEmbedTokens& p) {
  const int64_t image_len = int64_t(p.seq_len) * p.width, step = int64_t(gridDim.x) * THREADS * N;
  for (int64_t at = (int64_t(blockIdx.x) * THREADS + threadIdx.x) * N; at < image_len; at += step) {
    const int token = int(at / p.width), column = int(at % p.width);
    const Values<N> position = load_values<N>(p.position + at, N, N > 1);
    if (token < p.extra)
      leading_token<T, N>(p, at, token, column, position);
    else
      patch_token<T, N>(p, at, column, position);
  }
}

template <class T>
__device__ __forceinline__ void tokens(const DisEmbedTokens& p) {
  constexpr int N = VECTOR<T>;
  const bool together = p.width % N == 0 && allows<N>(static_cast<T*>(p.tokens)) && allows<N>(p.bias) &&
                        allows<N>(p.position) && allows<N>(static_cast<const T*>(p.time)) && allows<N>(p.table);
  if (together)
    tokens<T, N>(p);
  else
    tokens<T, 1>(p);
}

// ---- gradients

template <class T>
__device__ __forceinline__ void position_backward(const DisEmbedPositionBackward& p) {
  constexpr int N = 4;
  static_assert(DIS_EMBED_POSITION_ELEMENTS == N * DIS_EMBED_POSITION_THREADS, "a thread has one vector");
  // Images whose vectors are under way together.
  constexpr int AHEAD = 8;
  const T* const grads = static_cast<const T*>(p.grad_tokens);
  const int64_t len = int64_t(p.seq_len) * p.width;
  const int64_t at = int64_t(blockIdx.x) * DIS_EMBED_POSITION_ELEMENTS + int(threadIdx.x) * N;
  const int count = len - at < 0 ? 0 : len - at < N ? int(len - at) : N;
  const bool together = len % N == 0 && allows<N>(grads);
  const bool sums_together = allows<N>(p.grad_position) && allows<N>(p.token_sums);
  Values<N> sum{};
  for (int first = 0; first < p.batch; first += AHEAD) {
    Values<N> images[AHEAD];
#pragma unroll
    for (int i = 0; i < AHEAD; i++)
      images[i] = load_values<N>(grads + (first + i) * len + at, first + i < p.batch ? count : 0, together);
#pragma unroll
    for (int i = 0; i < AHEAD; i++) {
#pragma unroll
      for (int k = 0; k < N; k++) sum.at[k] += images[i].at[k];
    }
  }
  store_values<N>(p.token_sums + at, count, sums_together, sum);
  Values<N> position = load_values<N>(p.grad_position + at, count, sums_together);
#pragma unroll
  for (int k = 0; k < N; k++) position.at[k] += sum.at[k];
  store_values<N>(p.grad_position + at, count, sums_together, position);
}

// The gradient of time plus label.
template <class T>
__device__ __forceinline__ float sum_grad(const void* grad_condition, const void* sum, int64_t at) {
  return load(static_cast<const T*>(grad_condition) + at) * silu_slope(load(static_cast<const T*>(sum) + at));
}

// Which of the 32 images from `first` on, but before `end`, have a label: a bit each.
__device__ __forceinline__ uint32_t images_with(const uint32_t* labels, uint32_t label, int first, int end) {
  uint32_t images = 0;
#pragma unroll
  for (int i = 0; i < 32; i++) images |= uint32_t(first + i < end && labels[first + i] == label) << i;
  return images;
}

template <class T>
__device__ __forceinline__ void table_backward(const DisEmbedTableBackward& p) {
  const int column = int(blockIdx.x) * THREADS + int(threadIdx.x);
  for (int owner = blockIdx.y; owner < p.batch; owner += gridDim.y) {
    const uint32_t label = p.labels[owner];
    uint32_t earlier = 0;
    for (int first = 0; first < owner; first += 32) earlier |= images_with(p.labels, label, first, owner);
    if (earlier != 0 || column >= p.width) continue;
    float sum = 0.0f;
    for (int first = owner; first < p.batch; first += 32) {
      int64_t b = first;
      for (uint32_t images = images_with(p.labels, label, first, p.batch); images != 0; images >>= 1, b++) {
        if (images % 2 == 0) continue;
        sum += sum_grad<T>(p.grad_condition, p.sum, b * p.width + column);
        if (p.extra == 2) sum += load(static_cast<const T*>(p.grad_tokens) + b * p.seq_len * p.width + column);
      }
    }
    p.grad_table[int64_t(label) * p.width + column] += sum;
  }
}

template <class T, int N>
__device__ __forceinline__ void time_backward(const DisEmbedTimeBackward& p) {
  T* const grads = static_cast<T*>(p.grad_condition);
  const int64_t len = int64_t(p.batch) * p.width, step = int64_t(gridDim.x) * THREADS * N;
  for (int64_t at = (int64_t(blockIdx.x) * THREADS + threadIdx.x) * N; at < len; at += step) {
    const int64_t b = at / p.width;
    const int column = int(at - b * p.width);
    Values<N> g = load_values<N>(grads + at, N, N > 1);
    const Values<N> sum = load_values<N>(static_cast<const T*>(p.sum) + at, N, N > 1);
#pragma unroll
    for (int i = 0; i < N; i++) g.at[i] *= silu_slope(sum.at[i]);
    if (p.extra > 0) {
      const T* const token = static_cast<const T*>(p.grad_tokens) + (b * p.seq_len + p.extra - 1) * p.width + column;
      const Values<N> of_token = load_values<N>(token, N, N > 1);
#pragma unroll
      for (int i = 0; i < N; i++) g.at[i] += of_token.at[i];
    }
    store_values<N>(grads + at, N, N > 1, g);
  }
}

template <class T>
__device__ __forceinline__ void time_backward(const DisEmbedTimeBackward& p) {
  constexpr int N = VECTOR<T>;
  const bool together = p.width % N == 0 && allows<N>(static_cast<T*>(p.grad_condition)) &&
                        allows<N>(static_cast<const T*>(p.sum)) && allows<N>(static_cast<const T*>(p.grad_tokens));
  if (together)
    time_backward<T, N>(p);
  else
    time_backward<T, 1>(p);
}

}  // namespace

DIS_KERNEL(embed_phases_f32, DisEmbedPhases, THREADS, 4) { phases<float>(p); }
DIS_KERNEL(embed_phases_bf16, DisEmbedPhases, THREADS, 4) { phases<bf16>(p); }
DIS_KERNEL(embed_condition_f32, DisEmbedCondition, THREADS, 4) { condition<float>(p); }
DIS_KERNEL(embed_condition_bf16, DisEmbedCondition, THREADS, 4) { condition<bf16>(p); }
DIS_KERNEL(embed_tokens_f32, DisEmbedTokens, THREADS, 4) { tokens<float>(p); }
DIS_KERNEL(embed_tokens_bf16, DisEmbedTokens, THREADS, 4) { tokens<bf16>(p); }
DIS_KERNEL(embed_position_bwd_f32, DisEmbedPositionBackward, DIS_EMBED_POSITION_THREADS, 8) {
  position_backward<float>(p);
}
DIS_KERNEL(embed_position_bwd_bf16, DisEmbedPositionBackward, DIS_EMBED_POSITION_THREADS, 8) {
  position_backward<bf16>(p);
}
DIS_KERNEL(embed_table_bwd_f32, DisEmbedTableBackward, THREADS, 4) { table_backward<float>(p); }
DIS_KERNEL(embed_table_bwd_bf16, DisEmbedTableBackward, THREADS, 4) { table_backward<bf16>(p); }
DIS_KERNEL(embed_time_bwd_f32, DisEmbedTimeBackward, THREADS, 4) { time_backward<float>(p); }
DIS_KERNEL(embed_time_bwd_bf16, DisEmbedTimeBackward, THREADS, 4) { time_backward<bf16>(p); }

DIS_KERNEL(embed_bias_bwd, DisEmbedBiasBackward, THREADS, 4) {
  DIS_SHARED(shared);
  constexpr int COLUMNS = DIS_EMBED_BIAS_COLUMNS, STRIPS = THREADS / COLUMNS;
  static_assert(THREADS * sizeof(float) == DIS_EMBED_BIAS_SHARED, "one f32 a thread");
  float* const sums = reinterpret_cast<float*>(shared);
  const int lane = threadIdx.x % COLUMNS, strip = threadIdx.x / COLUMNS, column = int(blockIdx.x) * COLUMNS + lane;
  // Tokens that are under way together.
  constexpr int AHEAD = 8;
  float sum = 0.0f;
  for (int first = p.extra + strip; first < p.seq_len; first += AHEAD * STRIPS) {
    float x[AHEAD];
#pragma unroll
    for (int i = 0; i < AHEAD; i++) {
      const int token = first + i * STRIPS;
      const bool exists = token < p.seq_len && column < p.width;
      x[i] = exists ? p.token_sums[int64_t(token) * p.width + column] : 0.0f;
    }
#pragma unroll
    for (int i = 0; i < AHEAD; i++) sum += x[i];
  }
  sums[threadIdx.x] = sum;
  __syncthreads();
  if (strip == 0 && column < p.width) {
    float total = 0.0f;
#pragma unroll
    for (int s = 0; s < STRIPS; s++) total += sums[s * COLUMNS + lane];
    p.grad_bias[column] += total;
  }
}
