// How the threads of a block share a tile of a matrix: N neighbouring columns each, and as many strips of rows as that
// leaves, so that few columns have many strips. Strip s has rows s, s + strips, ... of the tile.
#pragma once
#include "tail.cuh"

template <int N>
struct ColumnShare {
  // The thread's first column, of all, and how many it has, which may be none.
  int column, count;
  // Threads side by side, and which of them this is.
  int lanes, lane;
  int strips, strip;
};

// The share in a tile of COLUMNS columns from `first` on, of a matrix with `columns`.
template <int N, int COLUMNS, int THREADS>
__device__ __forceinline__ ColumnShare<N> column_share(int first, int columns) {
  static_assert(COLUMNS % N == 0 && COLUMNS / N <= THREADS, "a row of the tile has no more vectors than there are threads");
  ColumnShare<N> share;
  share.lanes = 1;
  while (share.lanes * N < min(columns, COLUMNS)) share.lanes *= 2;
  share.lane = int(threadIdx.x) % share.lanes;
  share.strips = THREADS / share.lanes;
  share.strip = int(threadIdx.x) / share.lanes;
  share.column = first + share.lane * N;
  share.count = max(0, min(N, columns - share.column));
  return share;
}
