// Launch ABI of the embeddings. B images, L tokens of which `extra` lead, D channels; T is f32 or bf16, as the entry's
// name says.
#pragma once
#include <stdint.h>

#define DIS_EMBED_THREADS 256
// Elements of one access of embed_condition, embed_tokens and embed_time_bwd, at most.
#define DIS_EMBED_VECTOR 8
// Elements of a block of embed_position_bwd.
#define DIS_EMBED_POSITION_ELEMENTS 256
#define DIS_EMBED_POSITION_THREADS 64
// Columns of a block of embed_bias_bwd, and its dynamic shared memory.
#define DIS_EMBED_BIAS_COLUMNS 32
#define DIS_EMBED_BIAS_SHARED 1024

// embed_phases_*: [cos(t f) | sin(t f)], f_i = 10000^(-i / floor(D / 2)), a trailing zero for odd D.
// Grid ceil(B ceil(D / 2) / THREADS), THREADS threads, no shared memory.
typedef struct DisEmbedPhases {
  // [B], between -2^30 and 2^30.
  const double *timesteps;
  // [B, D] T, overwritten.
  void *phases;
  int32_t batch;
  int32_t width;
} DisEmbedPhases;

// embed_condition_*: sum = time + table[label], condition = silu(sum). Any grid (at most ceil(B D / (THREADS VECTOR))
// blocks have work with aligned operands), THREADS threads, no shared memory.
typedef struct DisEmbedCondition {
  // [B, D] T.
  const void *time;
  // [classes, D] and [B]. Both null: no label is added.
  const float *table;
  const uint32_t *labels;
  // [B, D] T, overwritten.
  void *sum;
  void *condition;
  int32_t batch;
  int32_t width;
} DisEmbedCondition;

// embed_tokens_*: adds bias and position to the projected patches, puts label and time in place of the leading tokens.
// Grid (ceil(L D / (THREADS VECTOR)) or fewer, any number up to B), THREADS threads, no shared memory.
typedef struct DisEmbedTokens {
  // [B, L, D] T: projected patches, updated; what leading tokens hold is not read.
  void *tokens;
  // [D], [L, D].
  const float *bias;
  const float *position;
  // [B, D] T, the last of the leading tokens. May be null without leading tokens.
  const void *time;
  // [classes, D] and [B], the first of two leading tokens. Both null: that token holds its position alone.
  const float *table;
  const uint32_t *labels;
  int32_t batch;
  int32_t seq_len;
  int32_t width;
  int32_t extra;
} DisEmbedTokens;

// embed_position_bwd_*: grad_position += sum over images. Grid ceil(L D / POSITION_ELEMENTS), POSITION_THREADS threads,
// no shared memory.
typedef struct DisEmbedPositionBackward {
  // [B, L, D] T.
  const void *grad_tokens;
  // [L, D], added to.
  float *grad_position;
  // [L, D], overwritten: the same sums, for embed_bias_bwd.
  float *token_sums;
  int32_t batch;
  int32_t seq_len;
  int32_t width;
  int32_t unused;
} DisEmbedPositionBackward;

// embed_bias_bwd: grad_bias += sum over patches. Grid ceil(D / BIAS_COLUMNS), THREADS threads, BIAS_SHARED bytes.
typedef struct DisEmbedBiasBackward {
  // [L, D].
  const float *token_sums;
  // [D], added to.
  float *grad_bias;
  int32_t seq_len;
  int32_t width;
  int32_t extra;
  int32_t unused;
} DisEmbedBiasBackward;

// embed_table_bwd_*: grad_table[label] += gradient of time plus label, and of the label's token where extra is 2.
// Grid (ceil(D / THREADS), B), THREADS threads, no shared memory. Before embed_time_bwd.
typedef struct DisEmbedTableBackward {
  // [B, D] T: gradient of the condition, and what it is the SiLU of.
  const void *grad_condition;
  const void *sum;
  // [B, L, D] T. Read where extra is 2.
  const void *grad_tokens;
  // [B].
  const uint32_t *labels;
  // [classes, D], added to.
  float *grad_table;
  int32_t batch;
  int32_t seq_len;
  int32_t width;
  int32_t extra;
} DisEmbedTableBackward;

// embed_time_bwd_*: grad_condition becomes the gradient of the time embedding. Grid as embed_condition.
typedef struct DisEmbedTimeBackward {
  // [B, D] T, updated.
  void *grad_condition;
  // [B, D] T.
  const void *sum;
  // [B, L, D] T. Read where extra is not 0.
  const void *grad_tokens;
  int32_t batch;
  int32_t seq_len;
  int32_t width;
  int32_t extra;
} DisEmbedTimeBackward;

#ifdef __cplusplus
static_assert(sizeof(DisEmbedPhases) == 24, "the launch ABI");
static_assert(sizeof(DisEmbedCondition) == 48, "the launch ABI");
static_assert(sizeof(DisEmbedTokens) == 64, "the launch ABI");
static_assert(sizeof(DisEmbedPositionBackward) == 40, "the launch ABI");
static_assert(sizeof(DisEmbedBiasBackward) == 32, "the launch ABI");
static_assert(sizeof(DisEmbedTableBackward) == 56, "the launch ABI");
static_assert(sizeof(DisEmbedTimeBackward) == 40, "the launch ABI");
#endif
