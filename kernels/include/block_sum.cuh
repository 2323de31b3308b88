// Sums of f64 over a block, in a fixed order.
#pragma once
#include "device.cuh"

// Sum over the lanes of a warp, the same bits in every lane.
__device__ __forceinline__ double warp_sum(double x) {
#pragma unroll
  for (int distance = WARP / 2; distance > 0; distance /= 2) x += __shfl_xor_sync(ALL_LANES, x, distance);
  return x;
}

// Sum over a block of one dimension; thread 0 has it. `parts` is shared memory, one number a warp;
// a barrier must come before it is used again.
__device__ __forceinline__ double block_sum(double x, double* parts) {
  const double part = warp_sum(x);
  if (threadIdx.x % WARP == 0) parts[threadIdx.x / WARP] = part;
  __syncthreads();
  double sum = 0.0;
  if (threadIdx.x == 0) {
    for (int warp = 0; warp < int(blockDim.x) / WARP; warp++) sum += parts[warp];
  }
  return sum;
}
