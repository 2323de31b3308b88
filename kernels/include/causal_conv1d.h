// Launch ABI of the causal convolution. B images, L tokens, E channels; T is f32 or bf16, as the entry's name says.
#pragma once
#include <stdint.h>

// Taps.
#define DIS_CONV_WIDTH 4
// Bytes of the vector of channels that a thread holds where `vectors` is set; otherwise it holds one channel.
#define DIS_CONV_FORWARD_VECTOR 16
#define DIS_CONV_BACKWARD_VECTOR 8
// Threads of a block at most.
#define DIS_CONV_FORWARD_THREADS 256
#define DIS_CONV_BACKWARD_THREADS 128

// `vectors` may be set where every pointer is a multiple of 16 bytes, and E and the row strides are multiples of the
// elements of a vector. A warp walks a strip of `strip_tokens` tokens, so there are strips = ceil(L / strip_tokens).
// Each strip costs three tokens more. A good strip_tokens is ceil(L / max(1, round(L / length))) with a length of 16
// tokens in the value pass (32 where there are blocks enough) and 64 in the gradient pass.

// causal_conv1d_fwd_*: grid (ceil(E / (32 * elements of a vector)), ceil(strips / strips of a block), B), block (32,
// strips of a block, directions), no shared memory.
typedef struct DisConvForward {
  // Rows of E, T.
  const void *x;
  // Per direction [E, WIDTH], [E].
  const float *weight[2];
  const float *bias[2];
  // Per direction [B, L, E] T, overwritten.
  void *out[2];
  int64_t x_stride;
  int32_t seq_len;
  int32_t channels;
  int32_t strip_tokens;
  int32_t vectors;
  int32_t right_to_left[2];
} DisConvForward;

// causal_conv1d_bwd_*: grid (ceil(E / (32 * elements of a vector)), block rows, B), block (32, strips of a block),
// where block rows = ceil(strips / strips of a block); shared memory: strips of a block * directions * 32 * elements
// of a vector * (WIDTH + 1) * 4 bytes.
typedef struct DisConvBackward {
  // Rows of E, T.
  const void *x;
  // Per direction [E, WIDTH], [E].
  const float *weight[2];
  const float *bias[2];
  // Per direction [B, L, E] T.
  const void *grad_out[2];
  // Rows of E, T, overwritten with the sum over the directions.
  void *grad_x;
  // Per direction B * block rows rows [WIDTH E | E]: parts of the gradients of weight and bias, for reduce_partials.
  float *parameter_parts[2];
  int64_t x_stride;
  int64_t grad_x_stride;
  int32_t seq_len;
  int32_t channels;
  int32_t strip_tokens;
  int32_t vectors;
  int32_t right_to_left[2];
  int32_t directions;
  int32_t unused;
} DisConvBackward;

#ifdef __cplusplus
static_assert(sizeof(DisConvForward) == 88, "the launch ABI");
static_assert(sizeof(DisConvBackward) == 128, "the launch ABI");
#endif
