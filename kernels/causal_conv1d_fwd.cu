// Depthwise causal convolution with bias and SiLU, value pass: one or two scan orders in one launch.
//
//   left to right:  out[l] = silu(bias + sum_k weight[k] x[l - 3 + k])
//   right to left:  out[l] = silu(bias + sum_k weight[k] x[l + 3 - k])      x = 0 outside the sequence
//
// A thread is a vector of channels and walks a strip of tokens with the last four in registers; a warp has 32
// neighbouring vectors of one strip. Warps of a block have other strips and the other scan order, whose reads of the
// same tokens the first-level cache answers. Loads go out four tokens before their values are needed.
#include "causal_conv1d.cuh"

// Names of one file stay in it: the emulator puts all kernels into one library.
namespace {

// One vector of channels in the strip [begin, end).
template <class T, int N>
__device__ __forceinline__ void walk_strip(const DisConvForward& p, int direction, int channel, int begin, int end) {
  const bool mirrored = p.right_to_left[direction];
  const int lag = lag_of(mirrored);
  float tap[TAPS][N], bias[N], window[TAPS][N];
  load_taps(p.weight[direction] + int64_t(channel) * TAPS, mirrored, tap);
  load_wide<N>(p.bias[direction] + channel, bias);

  // Tokens the window meets, from the first of the strip on.
  const int first = begin + lag, stop = min(end + lag, p.seq_len);
  const int64_t image = int64_t(blockIdx.z) * p.seq_len;
  const T* x = static_cast<const T*>(p.x) + (image + first) * p.x_stride + channel;
  T* out = static_cast<T*>(p.out[direction]) + (image + begin) * p.channels + channel;
#pragma unroll
  for (int j = 0; j < TAPS - 1; j++) {
    const int token = first - (TAPS - 1) + j;
    const bool valid = token >= 0 && token < p.seq_len;
    widen(load_vector_if<N>(valid, x + (j - (TAPS - 1)) * p.x_stride), window[slot(0, j)]);
  }
  Vector<T, N> ahead[TAPS];
#pragma unroll
  for (int i = 0; i < TAPS; i++) {
    ahead[i] = load_vector_if<N>(first + i < stop, x);
    x += p.x_stride;
  }
  for (int token = first; token < end + lag; token += TAPS) {
#pragma unroll
    for (int i = 0; i < TAPS; i++) {
      widen(ahead[i], window[slot(i, TAPS - 1)]);
      ahead[i] = load_vector_if<N>(token + i + TAPS < stop, x);
      x += p.x_stride;
      float activated[N];
#pragma unroll
      for (int n = 0; n < N; n++) activated[n] = silu(before_silu(tap, window, bias[n], i, n));
      if (token + i < end + lag) store_wide<N>(out, activated);
      out += p.channels;
    }
  }
}

template <class T, int N>
__device__ __forceinline__ void convolve(const DisConvForward& p) {
  const int channel = (blockIdx.x * WARP + threadIdx.x) * N;
  const int begin = (blockIdx.y * blockDim.y + threadIdx.y) * p.strip_tokens;
  const int end = min(begin + p.strip_tokens, p.seq_len);
  if (channel < p.channels && begin < end) walk_strip<T, N>(p, threadIdx.z, channel, begin, end);
}

template <class T>
__device__ __forceinline__ void causal_conv1d_forward(const DisConvForward& p) {
  if (p.vectors) {
    convolve<T, DIS_CONV_FORWARD_VECTOR / int(sizeof(T))>(p);
  } else {
    convolve<T, 1>(p);
  }
}

}  // namespace

DIS_KERNEL(causal_conv1d_fwd_f32, DisConvForward, DIS_CONV_FORWARD_THREADS, 3) { causal_conv1d_forward<float>(p); }
DIS_KERNEL(causal_conv1d_fwd_bf16, DisConvForward, DIS_CONV_FORWARD_THREADS, 2) { causal_conv1d_forward<bf16>(p); }
