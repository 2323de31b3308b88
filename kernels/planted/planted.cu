// Mistakes on purpose, one an entry: what the checker must find, so that its silence means something. Built by the emulator only.
//
// The kernel reverses tiles of 64 numbers through shared memory and adds to each the sum over its warp.
#include "vector.cuh"

// Names of one file stay in it: the emulator puts all kernels into one library.
namespace {

// [len] each; len is a multiple of nothing.
struct Planted {
  const float* in;
  float* out;
  int64_t len;
};

enum Mistake {
  NONE,
  // Barriers left out: between filling the tile and reading it, and between reading it and filling it again.
  NO_BARRIER_BEFORE_READ,
  NO_BARRIER_BEFORE_OVERWRITE,
  // The results wait in the tile; without a barrier they are taken away while they are put there.
  NO_BARRIER_BEFORE_WRITE_BACK,
  // A warp's lanes read each other's words.
  NO_WARP_BARRIER,
  // The last tile is stored whole.
  NO_MASK_OF_STORE,
  NO_MASK_OF_LOAD,
  // Every block writes the first element.
  RACE_BETWEEN_BLOCKS,
  // A word that no thread has written.
  READ_OF_NOTHING,
  // Threads beyond the end leave before the barrier.
  EARLY_RETURN,
  // Pairs are read together, from an element on that is not the first of one.
  MISALIGNED_VECTOR,
};

constexpr int TILE = 64;

template <Mistake MISTAKE>
__device__ __forceinline__ void reverse_tiles(const Planted& p) {
  DIS_SHARED(shared);
  float* tile = reinterpret_cast<float*>(shared);
  const int lane = threadIdx.x % WARP;
  for (int64_t start = int64_t(blockIdx.x) * TILE; start < p.len; start += int64_t(gridDim.x) * TILE) {
    const int64_t at = start + threadIdx.x;
    if (MISTAKE == EARLY_RETURN && at >= p.len) return;
    if (MISTAKE != NO_BARRIER_BEFORE_OVERWRITE) __syncthreads();
    if (MISTAKE != READ_OF_NOTHING || threadIdx.x != 5)
      tile[threadIdx.x] = at < p.len || MISTAKE == NO_MASK_OF_LOAD ? p.in[at] : 0.0f;
    if (MISTAKE != NO_BARRIER_BEFORE_READ) __syncthreads();
    float value = tile[TILE - 1 - threadIdx.x];
    __syncthreads();
    tile[threadIdx.x] = value;
    if (MISTAKE != NO_WARP_BARRIER) __syncwarp();
    value += tile[threadIdx.x - lane + (lane + 1) % WARP];
    __syncthreads();
    tile[threadIdx.x] = warp_sum(value) + value;
    if (MISTAKE != NO_BARRIER_BEFORE_WRITE_BACK) __syncthreads();
    const float result = tile[threadIdx.x ^ WARP];
    if (at < p.len || MISTAKE == NO_MASK_OF_STORE) p.out[at] = result;
    if (MISTAKE == RACE_BETWEEN_BLOCKS && threadIdx.x == 0) p.out[0] = result;
    if (MISTAKE == MISALIGNED_VECTOR && threadIdx.x == 0) p.out[at] = load_vector<2>(p.in + start + 1).at[0];
  }
}

}  // namespace

#define PLANTED(NAME, MISTAKE) \
  DIS_KERNEL(NAME, Planted, TILE, 1) { reverse_tiles<MISTAKE>(p); }
PLANTED(planted_nothing, NONE)
PLANTED(planted_no_barrier_before_read, NO_BARRIER_BEFORE_READ)
PLANTED(planted_no_barrier_before_overwrite, NO_BARRIER_BEFORE_OVERWRITE)
PLANTED(planted_no_barrier_before_write_back, NO_BARRIER_BEFORE_WRITE_BACK)
PLANTED(planted_no_warp_barrier, NO_WARP_BARRIER)
PLANTED(planted_no_mask_of_store, NO_MASK_OF_STORE)
PLANTED(planted_no_mask_of_load, NO_MASK_OF_LOAD)
PLANTED(planted_race_between_blocks, RACE_BETWEEN_BLOCKS)
PLANTED(planted_read_of_nothing, READ_OF_NOTHING)
PLANTED(planted_early_return, EARLY_RETURN)
PLANTED(planted_misaligned_vector, MISALIGNED_VECTOR)
