// Sum of squares of an arena in f64: sum = sum_i x_i^2.
//
// Every thread of a fixed grid adds up elements a fixed distance apart, blocks add up their threads, one block adds up
// the blocks: one order for a length, whatever the device and the addresses.
#include "block_sum.cuh"
#include "sum_squares.h"
#include "tail.cuh"

namespace {

constexpr int THREADS = DIS_SUM_SQUARES_THREADS;
constexpr int N = FULL_VECTOR<float>;
// Vectors of a thread that are under way together; those beyond the end are 0.
constexpr int AHEAD = 2;

}  // namespace

DIS_KERNEL(sum_squares, DisSumSquares, THREADS, 8) {
  DIS_SHARED(shared);
  const bool together = allows<N>(p.x);
  const int64_t step = int64_t(gridDim.x) * THREADS * N;
  double sums[N] = {};
  for (int64_t first = (int64_t(blockIdx.x) * THREADS + threadIdx.x) * N; first < p.len; first += AHEAD * step) {
    Values<N> x[AHEAD];
#pragma unroll
    for (int v = 0; v < AHEAD; v++) {
      const int64_t at = first + v * step, left = p.len - at;
      x[v] = load_values<N>(p.x + at, left < N ? int(left) : N, together);
    }
#pragma unroll
    for (int v = 0; v < AHEAD; v++) {
#pragma unroll
      for (int i = 0; i < N; i++) sums[i] = fma(double(x[v].at[i]), double(x[v].at[i]), sums[i]);
    }
  }
  const double sum = block_sum((sums[0] + sums[1]) + (sums[2] + sums[3]), reinterpret_cast<double*>(shared));
  if (threadIdx.x == 0) p.partials[blockIdx.x] = sum;
}

DIS_KERNEL(sum_squares_total, DisSumSquaresTotal, THREADS, 1) {
  DIS_SHARED(shared);
  double sum = 0.0;
#pragma unroll
  for (int block = 0; block < DIS_SUM_SQUARES_BLOCKS; block += THREADS) sum += p.partials[block + threadIdx.x];
  sum = block_sum(sum, reinterpret_cast<double*>(shared));
  if (threadIdx.x == 0) *p.sum = sum;
}
