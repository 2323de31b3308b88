// Depthwise causal convolution with bias and SiLU, gradient pass: one or two scan orders in one launch. With
// s[l] = bias + sum_k weight[k] x[l - 3 + k] and g = grad_out silu'(s), for left to right:
//
//   grad x[l]      = sum_k weight[k] g[l + 3 - k]      summed over the orders
//   grad weight[k] = sum over tokens of g[l] x[l - 3 + k]
//   grad bias      = sum over tokens of g[l]
//
// A thread is a vector of channels and walks a strip of tokens; the window of four tokens that gives g of either
// order (see causal_conv1d.cuh) is also the one that g adds to, so that x and the gradients are read once and grad x
// is written once, three tokens late. A strip goes three tokens into the next one for the grad x of its own last
// tokens. The four gradients of taps stay in registers; the strips of a block add theirs up in shared memory, in
// order, and the block leaves one row of parts.
#include "causal_conv1d.cuh"

// Names of one file stay in it: the emulator puts all kernels into one library.
namespace {

// Tokens between asking for operands and using them.
constexpr int AHEAD = 2;

static_assert(TAPS % AHEAD == 0, "slots of operands on their way are known when compiling");

// What a thread holds of one scan order.
template <int N>
struct Direction {
  float tap[TAPS][N], bias[N];
  float grad_tap[TAPS][N], grad_bias[N];
  bool mirrored;
};

// A strip [begin, end) as one thread sees it. Steps up to `stop` are walked; those before `own_stop` count for the
// gradients of parameters, so that every g counts in one strip.
struct Strip {
  int channel, begin, end, stop, own_stop;
};

template <class T, int N, int DIRECTIONS>
__device__ __forceinline__ void walk_strip(const DisConvBackward& p, const Strip& strip,
                                           Direction<N> (&directions)[DIRECTIONS]) {
  const int begin = strip.begin, last_read = min(strip.stop, p.seq_len);
  const int64_t first = int64_t(blockIdx.z) * p.seq_len + begin;
  const T* x = static_cast<const T*>(p.x) + first * p.x_stride + strip.channel;
  // Three tokens late.
  T* grad_x = static_cast<T*>(p.grad_x) + (first - (TAPS - 1)) * p.grad_x_stride + strip.channel;
  const T* grad_out[DIRECTIONS];
  int lag[DIRECTIONS];
  // One comparison finds tokens on either side of what is to be read.
  unsigned grad_stop[DIRECTIONS];
  float window[TAPS][N], grad_window[TAPS][N] = {};
#pragma unroll
  for (int j = 0; j < TAPS - 1; j++) {
    widen(load_vector_if<N>(begin - (TAPS - 1) + j >= 0, x + (j - (TAPS - 1)) * p.x_stride), window[slot(0, j)]);
  }
  Vector<T, N> x_ahead[AHEAD], grad_ahead[DIRECTIONS][AHEAD];
#pragma unroll
  for (int i = 0; i < AHEAD; i++) {
    x_ahead[i] = load_vector_if<N>(begin + i < last_read, x);
    x += p.x_stride;
  }
#pragma unroll
  for (int d = 0; d < DIRECTIONS; d++) {
    lag[d] = lag_of(directions[d].mirrored);
    grad_stop[d] = min(strip.stop - lag[d], p.seq_len);
    grad_out[d] = static_cast<const T*>(p.grad_out[d]) + (first - lag[d]) * p.channels + strip.channel;
#pragma unroll
    for (int i = 0; i < AHEAD; i++) {
      grad_ahead[d][i] = load_vector_if<N>(unsigned(begin + i - lag[d]) < grad_stop[d], grad_out[d]);
      grad_out[d] += p.channels;
    }
  }
  for (int step = begin; step < strip.stop; step += TAPS) {
#pragma unroll
    for (int i = 0; i < TAPS; i++) {
      const int token = step + i;
      widen(x_ahead[i % AHEAD], window[slot(i, TAPS - 1)]);
      x_ahead[i % AHEAD] = load_vector_if<N>(token + AHEAD < last_read, x);
      x += p.x_stride;
#pragma unroll
      for (int d = 0; d < DIRECTIONS; d++) {
        Direction<N>& direction = directions[d];
        float grad[N];
        widen(grad_ahead[d][i % AHEAD], grad);
        grad_ahead[d][i % AHEAD] = load_vector_if<N>(unsigned(token + AHEAD - lag[d]) < grad_stop[d], grad_out[d]);
        grad_out[d] += p.channels;
#pragma unroll
        for (int n = 0; n < N; n++) {
          grad[n] *= silu_slope(before_silu(direction.tap, window, direction.bias[n], i, n));
#pragma unroll
          for (int j = 0; j < TAPS; j++) {
            float& sum = grad_window[slot(i, j)][n];
            // The newest token has no sum yet.
            sum = d == 0 && j == TAPS - 1 ? direction.tap[j][n] * grad[n] : fmaf(direction.tap[j][n], grad[n], sum);
          }
        }
        if (token < strip.own_stop) {
#pragma unroll
          for (int n = 0; n < N; n++) {
            direction.grad_bias[n] += grad[n];
#pragma unroll
            for (int j = 0; j < TAPS; j++)
              direction.grad_tap[j][n] = fmaf(grad[n], window[slot(i, j)][n], direction.grad_tap[j][n]);
          }
        }
      }
      const int done = token - (TAPS - 1);
      if (done >= begin && done < strip.end) store_wide<N>(grad_x, grad_window[slot(i, 0)]);
      grad_x += p.grad_x_stride;
    }
  }
}

// Parts of one order of one warp: [32 N channels, TAPS] of the weight, then [32 N] of the bias.
template <int N>
__device__ __forceinline__ void put_parts(const Direction<N>& direction, float* parts) {
#pragma unroll
  for (int n = 0; n < N; n++) {
    const int channel = threadIdx.x * N + n;
    float row[TAPS];
#pragma unroll
    for (int j = 0; j < TAPS; j++)
      row[j] = direction.mirrored ? direction.grad_tap[TAPS - 1 - j][n] : direction.grad_tap[j][n];
    store_wide<TAPS>(parts + channel * TAPS, row);
    parts[WARP * N * TAPS + channel] = direction.grad_bias[n];
  }
}

// Adds the strips of the block in order and writes their sum, the block's row of parts.
template <int N, int DIRECTIONS>
__device__ __forceinline__ void write_parts(const DisConvBackward& p, const float* parts) {
  constexpr int TILE = WARP * N, LEN = TILE * (TAPS + 1);
  const int first_channel = blockIdx.x * TILE;
  const int64_t row = (int64_t(blockIdx.z) * gridDim.y + blockIdx.y) * p.channels * (TAPS + 1);
#pragma unroll
  for (int d = 0; d < DIRECTIONS; d++) {
    float* out = p.parameter_parts[d] + row;
    for (int m = threadIdx.y * WARP + threadIdx.x; m < LEN; m += blockDim.y * WARP) {
      float sum = 0.0f;
      for (int strip = 0; strip < int(blockDim.y); strip++) sum += parts[(strip * DIRECTIONS + d) * LEN + m];
      const bool of_weight = m < TILE * TAPS;
      const int channel = first_channel + (of_weight ? m / TAPS : m - TILE * TAPS);
      const int place = of_weight ? first_channel * TAPS + m : p.channels * TAPS + channel;
      if (channel < p.channels) out[place] = sum;
    }
  }
}

template <class T, int N, int DIRECTIONS>
__device__ __forceinline__ void convolve(const DisConvBackward& p, float* parts) {
  Strip strip;
  strip.channel = (blockIdx.x * WARP + threadIdx.x) * N;
  strip.begin = (blockIdx.y * blockDim.y + threadIdx.y) * p.strip_tokens;
  strip.end = min(strip.begin + p.strip_tokens, p.seq_len);
  strip.stop = strip.end + TAPS - 1;
  // The last strip has no successor that counts its last steps.
  strip.own_stop = strip.end < p.seq_len ? strip.end : strip.stop;
  Direction<N> directions[DIRECTIONS] = {};
  if (strip.channel < p.channels && strip.begin < strip.end) {
#pragma unroll
    for (int d = 0; d < DIRECTIONS; d++) {
      directions[d].mirrored = p.right_to_left[d];
      load_taps(p.weight[d] + int64_t(strip.channel) * TAPS, directions[d].mirrored, directions[d].tap);
      load_wide<N>(p.bias[d] + strip.channel, directions[d].bias);
    }
    walk_strip<T, N, DIRECTIONS>(p, strip, directions);
  }
#pragma unroll
  for (int d = 0; d < DIRECTIONS; d++)
    put_parts(directions[d], parts + (threadIdx.y * DIRECTIONS + d) * (WARP * N * (TAPS + 1)));
  __syncthreads();
  write_parts<N, DIRECTIONS>(p, parts);
}

template <class T, int N>
__device__ __forceinline__ void convolve_directions(const DisConvBackward& p, float* parts) {
  if (p.directions == 2) {
    convolve<T, N, 2>(p, parts);
  } else {
    convolve<T, N, 1>(p, parts);
  }
}

template <class T>
__device__ __forceinline__ void causal_conv1d_backward(const DisConvBackward& p) {
  DIS_SHARED(shared);
  float* parts = reinterpret_cast<float*>(shared);
  if (p.vectors) {
    convolve_directions<T, DIS_CONV_BACKWARD_VECTOR / int(sizeof(T))>(p, parts);
  } else {
    convolve_directions<T, 1>(p, parts);
  }
}

}  // namespace

DIS_KERNEL(causal_conv1d_bwd_f32, DisConvBackward, DIS_CONV_BACKWARD_THREADS, 4) { causal_conv1d_backward<float>(p); }
DIS_KERNEL(causal_conv1d_bwd_bf16, DisConvBackward, DIS_CONV_BACKWARD_THREADS, 3) { causal_conv1d_backward<bf16>(p); }
