// How kernels that normalise rows share them out: one to eight warps, a team, hold a row in registers.
#pragma once
#include "norm.h"
#include "vector.cuh"

constexpr int BLOCK_WARPS = DIS_NORM_THREADS / WARP;
// Elements of a vector, and vectors of a row in one thread.
constexpr int VECTOR = DIS_NORM_VECTOR;
constexpr int VECTORS = DIS_NORM_WARP_WIDTH / WARP / VECTOR;
// Columns from a thread's vector to its next: neighbouring threads have neighbouring vectors.
constexpr int NEXT_VECTOR = WARP * VECTOR;

static_assert(DIS_NORM_WARP_WIDTH * BLOCK_WARPS == DIS_NORM_MAX_WIDTH, "a block holds the widest row");

// What a thread holds of a row in f32.
using Columns = float[VECTORS][VECTOR];

// The warps that have one row, as one of their threads sees them.
struct Team {
  int warps;
  // Which of the block's `count` teams.
  int index, count;
  // The thread's first column, and how many there are from it to the end of its warp's share of the row, which may be
  // none.
  int first, columns;
  // One thread of the team.
  bool leads;
};

__device__ __forceinline__ Team team_of(int row_warps, int width) {
  const int warp = int(threadIdx.x) / WARP, lane = int(threadIdx.x) % WARP;
  Team team;
  team.warps = row_warps;
  team.index = warp / row_warps;
  team.count = BLOCK_WARPS / row_warps;
  // Shares alike, in whole trips of a warp.
  const int share = ceil_div(ceil_div(width, row_warps), NEXT_VECTOR) * NEXT_VECTOR;
  const int share_first = warp % row_warps * share;
  team.first = share_first + lane * VECTOR;
  team.columns = min(share_first + share, width) - team.first;
  team.leads = share_first == 0 && lane == 0;
  return team;
}

// Vector i of a thread whose first column is at `at` and has `columns` from there on; zeros beyond. With WHOLE a
// vector is in the row or beyond it and moves at once; without, its elements move one by one, and all arithmetic is
// the same.
template <bool WHOLE, class T>
__device__ __forceinline__ Vector<T, VECTOR> load_columns(const T* at, int i, int columns) {
  const int first = i * NEXT_VECTOR;
  if (WHOLE) return load_vector_if<VECTOR>(first < columns, at + first);
  T elements[VECTOR] = {};
#pragma unroll
  for (int n = 0; n < VECTOR; n++) {
    if (first + n < columns) elements[n] = at[first + n];
  }
  Vector<T, VECTOR> vector;
  memcpy(&vector, elements, sizeof vector);
  return vector;
}

template <bool WHOLE, class T>
__device__ __forceinline__ void store_columns(T* at, int i, int columns, const float (&from)[VECTOR]) {
  const int first = i * NEXT_VECTOR;
  if (WHOLE) {
    if (first < columns) store_wide<VECTOR>(at + first, from);
  } else {
#pragma unroll
    for (int n = 0; n < VECTOR; n++) {
      if (first + n < columns) store(at + first + n, from[n]);
    }
  }
}

// Sums over a team, the same bits in all of its threads; every thread of the block calls it. `slots` is shared
// memory, SUMS * BLOCK_WARPS floats that no other sum uses between the barriers around this one.
template <int SUMS>
__device__ __forceinline__ void team_sum(const Team& team, float* slots, float (&x)[SUMS]) {
#pragma unroll
  for (int s = 0; s < SUMS; s++) x[s] = warp_sum(x[s]);
  if (team.warps == 1) return;
  const int warp = int(threadIdx.x) / WARP;
  if (threadIdx.x % WARP == 0) {
#pragma unroll
    for (int s = 0; s < SUMS; s++) slots[s * BLOCK_WARPS + warp] = x[s];
  }
  __syncthreads();
#pragma unroll
  for (int s = 0; s < SUMS; s++) {
    x[s] = 0.0f;
    for (int i = 0; i < team.warps; i++) x[s] += slots[s * BLOCK_WARPS + team.index * team.warps + i];
  }
}

// Slots of the sums of one round of a loop: two sets in turn, so that one barrier a round keeps them apart.
template <int SUMS>
__device__ __forceinline__ float* slots_of_round(float* slots, int round) {
  return slots + round % 2 * SUMS * BLOCK_WARPS;
}

// ---- sums over rows

// Puts a thread's sums into its team's row of the sums of all teams, in shared memory.
template <bool WHOLE>
__device__ __forceinline__ void put_column_sums(const Team& team, const Columns& sums, float* team_row) {
#pragma unroll
  for (int i = 0; i < VECTORS; i++) store_columns<WHOLE>(team_row + team.first, i, team.columns, sums[i]);
}

// Adds the teams' rows in order.
__device__ __forceinline__ void add_team_rows(const float* sums, int teams, int row_len, float* out) {
  for (int column = threadIdx.x; column < row_len; column += DIS_NORM_THREADS) {
    float sum = 0.0f;
    for (int team = 0; team < teams; team++) sum += sums[team * row_len + column];
    out[column] = sum;
  }
}
