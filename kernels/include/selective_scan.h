// Launch ABI of the selective scan. B images, L tokens, E channels, 16 states; T is f32 or bf16, as the entry's name says.
#pragma once
#include <stdint.h>

#define DIS_SCAN_STATES 16
// Tokens between two kept states.
#define DIS_SCAN_TILE 16
// Channels (and threads) of a forward block.
#define DIS_SCAN_FORWARD_CHANNELS 128
// Channels of a backward block, which has four threads a channel, and its bytes of shared memory.
#define DIS_SCAN_BACKWARD_CHANNELS 64
#define DIS_SCAN_BACKWARD_SHARED 43008
// Channels of a block of the split variant, which has four threads a channel, and its bytes of shared memory.
#define DIS_SCAN_SPLIT_CHANNELS 32
#define DIS_SCAN_SPLIT_SHARED 8192

// selective_scan_fwd_*: grid (ceil(E / FORWARD_CHANNELS), B), FORWARD_CHANNELS threads, 128 TILE bytes of shared memory.
typedef struct DisScanForward {
  // Per order: [B, L, E] T, [B, L, E] T, rows of [B | C] T.
  const void *u[2];
  const void *delta_raw[2];
  const void *bc[2];
  // Per order: [E, 16], [E], [E].
  const float *a_log[2];
  const float *d_skip[2];
  const float *delta_bias[2];
  // Rows of E, T.
  const void *z;
  // [B, L, E]: where the first of two orders waits for the second. Null with one order.
  float *parked;
  // [B, L, E] T, null when nothing is kept.
  void *pre_gate;
  // [B, L, E] T.
  void *gated;
  // [orders, B, ceil(L / TILE) - 1, 4, E, 4], null when nothing is kept: states before every tile but the first.
  float *states;
  int64_t bc_stride;
  int64_t z_stride;
  int32_t seq_len;
  int32_t channels;
  int32_t orders;
  int32_t right_to_left[2];
  float direction_sum;
} DisScanForward;

// The value pass for few images, in three launches: the sequence is split into parts that are scanned side by side.
// selective_scan_split_ends_*: grid (ceil(E / SPLIT_CHANNELS), B, orders (parts - 1)), 4 SPLIT_CHANNELS threads; not with one part.
// selective_scan_split_*: grid (ceil(E / SPLIT_CHANNELS), B, orders parts), 4 SPLIT_CHANNELS threads.
// selective_scan_gate_*: grid (ceil(E / 256), B L), 256 threads, no shared memory; grid.y is at most 65535 and repeats.
typedef struct DisScanSplit {
  // Per order, as in DisScanForward.
  const void *u[2];
  const void *delta_raw[2];
  const void *bc[2];
  const float *a_log[2];
  const float *d_skip[2];
  const float *delta_bias[2];
  const void *z;
  // [orders, B, parts - 1, 4, E, 4]: states at the end of every part but the last, had it begun with zeros.
  float *ends;
  // [orders, B, parts - 1, E]: sum of delta over the part.
  float *delta_sums;
  // [orders, B, L, E].
  float *y;
  void *pre_gate;
  void *gated;
  float *states;
  int64_t bc_stride;
  int64_t z_stride;
  int32_t seq_len;
  int32_t channels;
  int32_t orders;
  int32_t batch;
  int32_t parts;
  // Tokens of a part, a multiple of TILE; parts part_len >= L > (parts - 1) part_len.
  int32_t part_len;
  int32_t right_to_left[2];
  float direction_sum;
  int32_t unused;
} DisScanSplit;

// selective_scan_bwd_*: grid (ceil(E / BACKWARD_CHANNELS), B, orders), 4 * BACKWARD_CHANNELS threads.
typedef struct DisScanBackward {
  const void *u[2];
  const void *delta_raw[2];
  const void *bc[2];
  const float *a_log[2];
  const float *d_skip[2];
  const float *delta_bias[2];
  const void *z;
  // As the value pass kept them.
  const void *pre_gate;
  const float *states;
  // [B, L, E] T.
  const void *grad_gated;
  // Per order [B, L, E] T.
  void *grad_u[2];
  void *grad_delta_raw[2];
  // Rows of E, T.
  void *grad_z;
  // [B, L, E] T: the gated output once more.
  void *gated;
  // [orders, B, L, gridDim.x, 32]: parts of the gradient of [B | C].
  float *bc_parts;
  // Per order: B rows of parts, [16 E | E | E]: gradients of a_log, d_skip, delta_bias.
  float *parameter_parts[2];
  int64_t bc_stride;
  int64_t z_stride;
  int64_t grad_z_stride;
  int32_t seq_len;
  int32_t channels;
  int32_t batch;
  int32_t right_to_left[2];
  float direction_sum;
} DisScanBackward;

// selective_scan_bwd_bc_*: adds the parts. Grid (ceil(B L / 8), orders), 256 threads.
typedef struct DisScanBackwardBc {
  // [orders, B, L, parts, 32].
  const float *bc_parts;
  // Per order, rows of [B | C] T.
  void *grad_bc[2];
  int64_t grad_bc_stride;
  int64_t rows;
  int32_t parts;
  int32_t unused;
} DisScanBackwardBc;

#ifdef __cplusplus
static_assert(sizeof(DisScanForward) == 176, "the launch ABI");
static_assert(sizeof(DisScanSplit) == 208, "the launch ABI");
static_assert(sizeof(DisScanBackward) == 248, "the launch ABI");
static_assert(sizeof(DisScanBackwardBc) == 48, "the launch ABI");
#endif
