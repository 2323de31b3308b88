// Noising of training samples, and the losses with their gradients.
//
//   q_sample            x_t = a x0 + s noise, the noise drawn here: the same bits as on the CPU
//   squared_error_loss  d = output - target,   target = a x0 + b noise,   sums of d^2,   grad = slope d
//   squared_error_cosine_loss
//                       besides, along the channels of every pixel,   u = output / |output|,   v = target / |target|:
//                       1 - cos = |u - v|^2 / 2,   grad = slope d + cosine_slope (cos u - v) / |output|
//   hybrid_loss         d = output - noise, and the variational bound of the learned variance v:
//                       delta = half_range (v + 1),   e = exp(-delta) - 1,   q = precision d^2 (1 + e)
//                       bound = (delta + e + q) / 2,   grad = d (error_slope + mean_slope precision (1 + e))
//                       grad_v = -variance_slope half_range (e + q) / 2
//                       at the first timestep the bound is minus the log likelihood of an 8-bit pixel, in f64
//
// A thread takes four elements of a sample: one block of Philox, one vector of each operand; with a cosine four pixels
// of every channel. The losses leave two f64 sums a block, which loss_terms adds up in order. Terms stay on the device,
// where loss_finite makes a flag of them.
#include "block_sum.cuh"
#include "diffusion.h"
#include "philox.cuh"
#include "tail.cuh"

namespace {

constexpr int THREADS = DIS_DIFFUSION_THREADS;
constexpr int TILE = DIS_DIFFUSION_TILE;
constexpr int N = FULL_VECTOR<float>;

static_assert(TILE == THREADS * N, "a thread takes one vector of a tile");
static_assert(N == 4, "a vector is a block of Philox");

// First element of this thread in a sample, or first pixel in a channel.
__device__ __forceinline__ int64_t first_element() { return int64_t(blockIdx.x) * TILE + int(threadIdx.x) * N; }

// Elements of this thread out of `len`, 0 beyond the end.
__device__ __forceinline__ int element_count(int64_t len) {
  const int64_t left = len - first_element();
  return left < 0 ? 0 : left < N ? int(left) : N;
}

// a x + b y, rounded as the CPU does.
__device__ __forceinline__ float mix(float a, float x, float b, float y) {
  return __fadd_rn(__fmul_rn(a, x), __fmul_rn(b, y));
}

// ---- the decoder of the first timestep

constexpr double HALF_BIN = 1.0 / 255.0;
constexpr double EDGE = 0.999;
constexpr double LEAST_PROBABILITY = 1e-12;
constexpr double NATS_OF_LEAST = 27.631021115928547;
constexpr double ROOT_2_OVER_PI = 0.797884560802865355879892119869;
constexpr double CUBIC = 0.044715;

struct DecoderTerm {
  double nats, grad_mean, grad_log_variance;
};

// (1 + tanh u) / 2 with u = sqrt(2 / pi)(z + CUBIC z^3).
__device__ __forceinline__ double cdf(double z) {
  const double u = ROOT_2_OVER_PI * (z + CUBIC * z * z * z);
  return 1.0 / (1.0 + exp(-2.0 * u));
}

// Derivative of cdf, given cdf(z) and cdf(-z).
__device__ __forceinline__ double density(double z, double lower, double upper) {
  return 2.0 * ROOT_2_OVER_PI * (1.0 + 3.0 * CUBIC * z * z) * lower * upper;
}

// Minus the log likelihood of a pixel value under a normal distribution, `deviation` below it. Differences are taken in
// the lower tail, where the probability keeps its digits.
__device__ __forceinline__ DecoderTerm decoder_term(double x0, double deviation, double log_variance) {
  const double inverse_deviation = exp(-0.5 * log_variance);
  const double above = inverse_deviation * (deviation + HALF_BIN), below = inverse_deviation * (deviation - HALF_BIN);
  const bool open_below = x0 < -EDGE, open_above = x0 > EDGE;
  const double lower_above = cdf(above), upper_above = cdf(-above), lower_below = cdf(below), upper_below = cdf(-below);
  const double inside = below > 0.0 ? upper_below - upper_above : lower_above - lower_below;
  const double probability = open_below ? lower_above : open_above ? upper_below : inside;
  // Written so that NaN takes the branch that keeps it.
  if (probability <= LEAST_PROBABILITY) return {NATS_OF_LEAST, 0.0, 0.0};
  const double at_above = open_above ? 0.0 : density(above, lower_above, upper_above);
  const double at_below = open_below ? 0.0 : density(below, lower_below, upper_below);
  return {-log(probability), inverse_deviation * (at_above - at_below) / probability,
          0.5 * (at_above * above - at_below * below) / probability};
}

// ---- losses

// Sums over the elements of a thread. The second is the bound, or 1 - cos.
struct LossSums {
  double squared_error, second;
};

// Leaves the sums of a block as one part of a sample. `shared` has LOSS_SHARED bytes; the two sums take turns with it,
// so that whoever writes for the next sample has met thread 0 behind its last read.
__device__ __forceinline__ void write_partials(double* partials, double* shared, const LossSums& sums) {
  const double squared_error = block_sum(sums.squared_error, shared);
  const double second = block_sum(sums.second, shared + THREADS / WARP);
  if (threadIdx.x == 0) partials[0] = squared_error, partials[1] = second;
}

// One sample of hybrid_loss, from the first element of this thread on.
struct HybridSample {
  const float *output, *v, *x0, *noise;
  float *grad, *grad_v;
};

// One sample in a thousand comes here: element by element.
__device__ __forceinline__ LossSums decoder_loss(const DisLossRow& row, const HybridSample& s, int count) {
  LossSums sums{0.0, 0.0};
#pragma unroll 1
  for (int i = 0; i < count; i++) {
    const double d = double(s.output[i]) - double(s.noise[i]);
    const double log_variance = row.log_variance + row.half_range * (double(s.v[i]) + 1.0);
    const DecoderTerm term = decoder_term(s.x0[i], row.noise_per_data * d, log_variance);
    sums.squared_error += d * d;
    sums.second += term.nats;
    s.grad[i] = float(row.error_slope * d - row.mean_slope * row.noise_per_data * term.grad_mean);
    s.grad_v[i] = float(row.variance_slope * row.half_range * term.grad_log_variance);
  }
  return sums;
}

__device__ __forceinline__ LossSums kl_loss(const DisLossRow& row, const HybridSample& s, int count, bool together) {
  const Values<N> output = load_values<N>(s.output, count, together), v = load_values<N>(s.v, count, together);
  const Values<N> noise = load_values<N>(s.noise, count, together);
  const float half_range = float(row.half_range), precision = float(row.precision);
  const float error_slope = float(row.error_slope), mean_slope = float(row.mean_slope) * precision;
  const float variance_slope = float(-0.5 * row.half_range * row.variance_slope);
  LossSums sums{0.0, 0.0};
  Values<N> grad, grad_v;
#pragma unroll
  for (int i = 0; i < N; i++) {
    const float d = output.at[i] - noise.at[i];
    const float delta = half_range * (v.at[i] + 1.0f);
    const float e = expm1f(-delta);
    const float q = precision * d * d * (1.0f + e);
    grad.at[i] = d * fmaf(mean_slope, 1.0f + e, error_slope);
    grad_v.at[i] = variance_slope * (e + q);
    if (i < count) sums.squared_error += double(d) * double(d), sums.second += 0.5 * double(delta + e + q);
  }
  store_values<N>(s.grad, count, together, grad);
  store_values<N>(s.grad_v, count, together, grad_v);
  return sums;
}

// ---- squared error with a cosine

// Sum of the squares below which a vector has no direction: its cosine is 0, and so is the gradient of that.
constexpr float LEAST_SQUARES = 1e-16f;

// One sample of squared_error_cosine_loss, from this thread's first pixel in the first channel on.
struct CosineSample {
  const float *output, *x0, *noise;
  float* grad;
  DisSquaredErrorRow row;
  // Elements from a channel to the next, and of all channels.
  int64_t pixels, len;
  // Pixels of this thread, and whether they may move at once.
  int count;
  bool together;
};

// Output and target of this thread's pixels in one channel, zeros beyond the end.
struct Channel {
  Values<N> output, target;
};

__device__ __forceinline__ Channel load_channel(const CosineSample& s, int64_t at) {
  Channel channel;
  channel.output = load_values<N>(s.output + at, s.count, s.together);
  const Values<N> x0 = load_values<N>(s.x0 + at, s.count, s.together);
  const Values<N> noise = load_values<N>(s.noise + at, s.count, s.together);
#pragma unroll
  for (int i = 0; i < N; i++) channel.target.at[i] = mix(s.row.data, x0.at[i], s.row.noise, noise.at[i]);
  return channel;
}

// Of the pixels of a thread, along the channels.
struct Directions {
  // 1 / |output| and 1 / |target|; 0 where one of them has no direction.
  float inverse_output[N], inverse_target[N], cosine[N];
  // What the sum of (u - v)^2 starts with, so that half of it becomes 1 - cos: 2 where there is no direction.
  float start[N];
};

__device__ __forceinline__ Directions directions_of(const CosineSample& s) {
  Values<N> outputs{}, targets{}, products{};
#pragma unroll 1
  for (int64_t at = 0; at < s.len; at += s.pixels) {
    const Channel channel = load_channel(s, at);
#pragma unroll
    for (int i = 0; i < N; i++) {
      const float output = channel.output.at[i], target = channel.target.at[i];
      outputs.at[i] = fmaf(output, output, outputs.at[i]);
      targets.at[i] = fmaf(target, target, targets.at[i]);
      products.at[i] = fmaf(output, target, products.at[i]);
    }
  }
  Directions directions;
#pragma unroll
  for (int i = 0; i < N; i++) {
    const bool none = outputs.at[i] < LEAST_SQUARES || targets.at[i] < LEAST_SQUARES;
    const float inverse_output = none ? 0.0f : rsqrtf(outputs.at[i]);
    const float inverse_target = none ? 0.0f : rsqrtf(targets.at[i]);
    directions.inverse_output[i] = inverse_output, directions.inverse_target[i] = inverse_target;
    directions.cosine[i] = products.at[i] * inverse_output * inverse_target;
    directions.start[i] = none ? 2.0f : 0.0f;
  }
  return directions;
}

__device__ __forceinline__ LossSums squared_error_and_cosine(const CosineSample& s) {
  const Directions directions = directions_of(s);
  LossSums sums{0.0, 0.0};
  // |u - v|^2 keeps the digits that 1 - cos would lose where output and target are nearly parallel.
  float apart[N];
#pragma unroll
  for (int i = 0; i < N; i++) apart[i] = directions.start[i];
#pragma unroll 1
  for (int64_t at = 0; at < s.len; at += s.pixels) {
    // Once more: from the cache, because registers for any number of channels there are not.
    const Channel channel = load_channel(s, at);
    Values<N> grad;
#pragma unroll
    for (int i = 0; i < N; i++) {
      const float difference = channel.output.at[i] - channel.target.at[i];
      const float u = channel.output.at[i] * directions.inverse_output[i];
      const float v = channel.target.at[i] * directions.inverse_target[i];
      apart[i] = fmaf(u - v, u - v, apart[i]);
      const float pull = s.row.cosine_slope * directions.inverse_output[i];
      grad.at[i] = fmaf(pull, fmaf(directions.cosine[i], u, -v), s.row.slope * difference);
      // Beyond the end all are 0.
      sums.squared_error += double(difference) * double(difference);
    }
    store_values<N>(s.grad + at, s.count, s.together, grad);
  }
#pragma unroll
  for (int i = 0; i < N; i++) {
    if (i < s.count) sums.second += 0.5 * double(apart[i]);
  }
  return sums;
}

}  // namespace

DIS_KERNEL(q_sample, DisQSample, THREADS, 4) {
  const int64_t first = first_element();
  const int count = element_count(p.sample_len);
  const bool together = p.sample_len % N == 0 && allows<N>(p.x0) && allows<N>(p.x_t) && allows<N>(p.noise);
  for (int b = blockIdx.y; b < p.batch; b += gridDim.y) {
    const int64_t at = b * p.sample_len + first;
    // Under way while the noise is made.
    Values<N> x_t{};
    if (p.x0) x_t = load_values<N>(p.x0 + at, count, together);
    const float4 drawn = normals(draws_at(p.seed, p.purpose, p.sub, p.positions[b]), uint32_t(first / N));
    const Values<N> noise{{drawn.x, drawn.y, drawn.z, drawn.w}};
    if (p.noise) store_values<N>(p.noise + at, count, together, noise);
    if (p.x0) {
      const float a = p.levels[2 * b], s = p.levels[2 * b + 1];
#pragma unroll
      for (int i = 0; i < N; i++) x_t.at[i] = mix(a, x_t.at[i], s, noise.at[i]);
      store_values<N>(p.x_t + at, count, together, x_t);
    }
  }
}

DIS_KERNEL(hybrid_loss, DisHybridLoss, THREADS, 4) {
  DIS_SHARED(shared);
  const int64_t len = p.sample_len;
  const int count = element_count(len);
  const bool together = len % N == 0 && allows<N>(p.output) && allows<N>(p.noise) && allows<N>(p.grad_output);
  for (int b = blockIdx.y; b < p.batch; b += gridDim.y) {
    const int64_t at = b * len + first_element(), output_at = at + b * len;
    const HybridSample sample{p.output + output_at, p.output + output_at + len, p.x0 + at, p.noise + at,
                              p.grad_output + output_at, p.grad_output + output_at + len};
    const LossSums sums = p.rows[b].is_first ? decoder_loss(p.rows[b], sample, count)
                                             : kl_loss(p.rows[b], sample, count, together);
    write_partials(p.partials + 2 * (int64_t(b) * gridDim.x + blockIdx.x), reinterpret_cast<double*>(shared), sums);
  }
}

DIS_KERNEL(squared_error_loss, DisSquaredErrorLoss, THREADS, 4) {
  DIS_SHARED(shared);
  const int64_t len = p.sample_len;
  const int count = element_count(len);
  const bool together = len % N == 0 && allows<N>(p.output) && allows<N>(p.x0) && allows<N>(p.noise) &&
                        allows<N>(p.grad_output);
  for (int b = blockIdx.y; b < p.batch; b += gridDim.y) {
    const int64_t at = b * len + first_element();
    const DisSquaredErrorRow row = p.rows[b];
    const Values<N> output = load_values<N>(p.output + at, count, together);
    const Values<N> x0 = load_values<N>(p.x0 + at, count, together);
    const Values<N> noise = load_values<N>(p.noise + at, count, together);
    LossSums sums{0.0, 0.0};
    Values<N> grad;
#pragma unroll
    for (int i = 0; i < N; i++) {
      const float difference = output.at[i] - mix(row.data, x0.at[i], row.noise, noise.at[i]);
      grad.at[i] = row.slope * difference;
      // Beyond the end all are 0.
      sums.squared_error += double(difference) * double(difference);
    }
    store_values<N>(p.grad_output + at, count, together, grad);
    write_partials(p.partials + 2 * (int64_t(b) * gridDim.x + blockIdx.x), reinterpret_cast<double*>(shared), sums);
  }
}

DIS_KERNEL(squared_error_cosine_loss, DisSquaredErrorLoss, THREADS, 4) {
  DIS_SHARED(shared);
  const int64_t len = p.sample_len;
  const int count = element_count(p.pixels);
  const bool together = p.pixels % N == 0 && allows<N>(p.output) && allows<N>(p.x0) && allows<N>(p.noise) &&
                        allows<N>(p.grad_output);
  for (int b = blockIdx.y; b < p.batch; b += gridDim.y) {
    const int64_t at = b * len + first_element();
    const CosineSample sample{p.output + at, p.x0 + at, p.noise + at, p.grad_output + at, p.rows[b],
                              p.pixels, len, count, together};
    const LossSums sums = squared_error_and_cosine(sample);
    write_partials(p.partials + 2 * (int64_t(b) * gridDim.x + blockIdx.x), reinterpret_cast<double*>(shared), sums);
  }
}

DIS_KERNEL(loss_terms, DisLossTerms, WARP * DIS_LOSS_TERMS_SAMPLES, 1) {
  const int sample = int(blockIdx.x) * DIS_LOSS_TERMS_SAMPLES + int(threadIdx.x) / WARP, lane = threadIdx.x % WARP;
  // Warps without a sample add up the last one's, so that all meet.
  const double* const partials = p.partials + 2 * int64_t(min(sample, p.batch - 1)) * p.parts;
  double squared_error = 0.0, second = 0.0;
  for (int part = lane; part < p.parts; part += WARP) {
    squared_error += partials[2 * part];
    second += partials[2 * part + 1];
  }
  squared_error = warp_sum(squared_error);
  second = warp_sum(second);
  if (lane == 0 && sample < p.batch) {
    p.terms[2 * sample] = squared_error / double(p.sample_len);
    p.terms[2 * sample + 1] = second * p.second_factor;
  }
}

DIS_KERNEL(loss_finite, DisLossFinite, THREADS, 1) {
  DIS_SHARED(shared);
  constexpr double LARGEST = 1.7976931348623157e308;
  int* const bad_of_warp = reinterpret_cast<int*>(shared);
  int bad = 0;
  // NaN compares as false.
  for (int64_t i = threadIdx.x; i < p.len; i += THREADS) bad |= !(fabs(p.terms[i]) <= LARGEST);
#pragma unroll
  for (int distance = WARP / 2; distance > 0; distance /= 2) bad |= __shfl_xor_sync(ALL_LANES, bad, distance);
  if (threadIdx.x % WARP == 0) bad_of_warp[threadIdx.x / WARP] = bad;
  __syncthreads();
  if (threadIdx.x == 0) {
    for (int warp = 1; warp < THREADS / WARP; warp++) bad |= bad_of_warp[warp];
    if (bad) *p.not_finite = 1;
  }
}
