// Steps between the fused operators: copies of a row, sums of columns, additions, drop-path factors, SiLU, changes of
// format.
//
// All but the column sums give every element to one thread. A block takes a tile; a thread takes vectors of it that lie
// a block apart, asks for all of them, and only then computes, so that enough bytes are under way.
#include "elementwise.h"
#include "tail.cuh"

namespace {

constexpr int THREADS = DIS_ELEMENTWISE_THREADS;
constexpr int TILE = DIS_ELEMENTWISE_TILE;

// Elements of one access where all operands are T: 16 bytes.
template <class T>
constexpr int ALIKE = FULL_VECTOR<T>;
// Where T meets f32: 16 bytes of f32.
constexpr int MIXED = FULL_VECTOR<float>;

// Elements left at `at`, n at most and none or fewer beyond the end.
__device__ __forceinline__ int count_at(int64_t at, int64_t len, int n) { return len - at < n ? int(len - at) : n; }

// Writes value(at, count, together) to `out`, N elements at a time; `together` tells whether addresses allow one
// access.
template <int N, class T, class Value>
__device__ __forceinline__ void map_elements(int64_t len, bool together, T* out, Value value) {
  constexpr int TURNS = TILE / (THREADS * N);
  static_assert(TILE == TURNS * THREADS * N, "a block takes a tile in whole turns");
  const int64_t step = int64_t(gridDim.x) * TILE;
  int64_t tile = int64_t(blockIdx.x) * TILE;
  for (; together && tile + TILE <= len; tile += step) {
    const int64_t first = tile + int(threadIdx.x) * N;
    Values<N> x[TURNS];
#pragma unroll
    for (int turn = 0; turn < TURNS; turn++) x[turn] = value(first + turn * THREADS * N, N, true);
#pragma unroll
    for (int turn = 0; turn < TURNS; turn++) store_values<N>(out + first + turn * THREADS * N, N, true, x[turn]);
  }
  // The last tile, or all of them.
  for (; tile < len; tile += step) {
#pragma unroll 1
    for (int64_t at = tile + int(threadIdx.x) * N; at < tile + TILE; at += THREADS * N) {
      const int count = count_at(at, len, N);
      store_values<N>(out + at, count, together, value(at, count, together));
    }
  }
}

// ---- rows and columns

template <class T>
__device__ __forceinline__ void fill_rows(const DisFillRows& p) {
  constexpr int N = ALIKE<T>;
  T* const out = static_cast<T*>(p.out);
  const int64_t len = p.rows * p.columns, step = int64_t(gridDim.x) * THREADS * N;
  const bool together = allows<N>(out), row_together = p.columns % N == 0 && allows<N>(p.row);
  int64_t at = (int64_t(blockIdx.x) * THREADS + threadIdx.x) * N;
  // Walked along instead of divided out.
  int column = int(at % p.columns);
  const int column_step = int(step % p.columns);
  for (; at < len; at += step) {
    Values<N> x;
    if (row_together) {
      x = load_values<N>(p.row + column, N, true);
    } else {
      int c = column;
#pragma unroll
      for (int i = 0; i < N; i++) {
        x.at[i] = p.row[c];
        c = c + 1 == p.columns ? 0 : c + 1;
      }
    }
    store_values<N>(out + at, count_at(at, len, N), together, x);
    column += column_step;
    if (column >= p.columns) column -= p.columns;
  }
}

// Sum over the rows of one strip, N columns.
template <int N, class T>
__device__ __forceinline__ Values<N> strip_sum(const DisColumnSums& p, int64_t row, int64_t end, int strips, int column,
                                               int count, bool together) {
  // Rows that are under way together; those beyond the end are 0.
  constexpr int AHEAD = 4;
  Values<N> sum{};
  for (; row < end; row += AHEAD * strips) {
    Values<N> x[AHEAD];
#pragma unroll
    for (int r = 0; r < AHEAD; r++) {
      const int64_t at = row + r * strips;
      x[r] = load_values<N>(static_cast<const T*>(p.x) + at * p.stride + column, at < end ? count : 0, together);
    }
#pragma unroll
    for (int r = 0; r < AHEAD; r++) {
#pragma unroll
      for (int i = 0; i < N; i++) sum.at[i] += x[r].at[i];
    }
  }
  return sum;
}

// Threads share the columns of the block, N each, and as many strips of rows as that leaves: a narrow matrix has many
// strips.
template <class T>
__device__ __forceinline__ void column_sums(const DisColumnSums& p) {
  DIS_SHARED(shared);
  constexpr int N = ALIKE<T>;
  constexpr int COLUMNS = DIS_COLUMN_SUMS_COLUMNS;
  static_assert(THREADS * N * sizeof(float) <= DIS_COLUMN_SUMS_SHARED, "one vector of f32 a thread");
  const int first_column = int(blockIdx.x) * COLUMNS;
  int lanes = 1;
  while (lanes * N < min(p.columns, COLUMNS)) lanes *= 2;
  const int strips = THREADS / lanes, lane = threadIdx.x % lanes, strip = threadIdx.x / lanes;
  const int column = first_column + lane * N, count = max(0, min(N, p.columns - column));

  const int64_t first = int64_t(blockIdx.y) * p.rows_per_part;
  const int64_t end = p.rows - first < p.rows_per_part ? p.rows : first + p.rows_per_part;
  const bool together = p.stride % N == 0 && allows<N>(static_cast<const T*>(p.x));
  const Values<N> sum = strip_sum<N, T>(p, first + strip, end, strips, column, count, together);

  float* const sums = reinterpret_cast<float*>(shared);
#pragma unroll
  for (int i = 0; i < N; i++) sums[strip * lanes * N + lane * N + i] = sum.at[i];
  __syncthreads();
  const int mine = threadIdx.x;
  if (mine < lanes * N && first_column + mine < p.columns) {
    float total = 0.0f;
    for (int s = 0; s < strips; s++) total += sums[s * lanes * N + mine];
    p.partials[int64_t(blockIdx.y) * p.columns + first_column + mine] = total;
  }
}

// ---- flat

template <class T>
__device__ __forceinline__ void add(const DisAdd& p) {
  constexpr int N = ALIKE<T>;
  const T *const a = static_cast<const T*>(p.a), *const b = static_cast<const T*>(p.b);
  T* const out = static_cast<T*>(p.out);
  const bool all = allows<N>(a) && allows<N>(b) && allows<N>(out);
  map_elements<N>(p.len, all, out, [=](int64_t at, int count, bool together) {
    Values<N> x = load_values<N>(a + at, count, together);
    const Values<N> y = load_values<N>(b + at, count, together);
#pragma unroll
    for (int i = 0; i < N; i++) x.at[i] += y.at[i];
    return x;
  });
}

template <class T>
__device__ __forceinline__ void accumulate(const DisAccumulate& p) {
  const T* const from = static_cast<const T*>(p.from);
  float* const to = p.to;
  map_elements<MIXED>(p.len, allows<MIXED>(from) && allows<MIXED>(to), to, [=](int64_t at, int count, bool together) {
    Values<MIXED> x = load_values<MIXED>(to + at, count, together);
    const Values<MIXED> y = load_values<MIXED>(from + at, count, together);
#pragma unroll
    for (int i = 0; i < MIXED; i++) x.at[i] += y.at[i];
    return x;
  });
}

template <class T>
__device__ __forceinline__ void silu_elements(const DisSilu& p) {
  constexpr int N = ALIKE<T>;
  const T* const from = static_cast<const T*>(p.x);
  T* const out = static_cast<T*>(p.out);
  map_elements<N>(p.len, allows<N>(from) && allows<N>(out), out, [=](int64_t at, int count, bool together) {
    Values<N> x = load_values<N>(from + at, count, together);
#pragma unroll
    for (int i = 0; i < N; i++) x.at[i] = silu(x.at[i]);
    return x;
  });
}

template <class T>
__device__ __forceinline__ void silu_backward(const DisSiluBackward& p) {
  constexpr int N = ALIKE<T>;
  const T* const from = static_cast<const T*>(p.x);
  T* const grad = static_cast<T*>(p.grad);
  map_elements<N>(p.len, allows<N>(from) && allows<N>(grad), grad, [=](int64_t at, int count, bool together) {
    Values<N> g = load_values<N>(grad + at, count, together);
    const Values<N> x = load_values<N>(from + at, count, together);
#pragma unroll
    for (int i = 0; i < N; i++) g.at[i] *= silu_slope(x.at[i]);
    return g;
  });
}

template <class From, class To>
__device__ __forceinline__ void convert(const From* from, To* to, int64_t len) {
  map_elements<MIXED>(len, allows<MIXED>(from) && allows<MIXED>(to), to, [=](int64_t at, int count, bool together) {
    return load_values<MIXED>(from + at, count, together);
  });
}

// ---- by image

template <class T>
__device__ __forceinline__ void residual_add(const DisResidualAdd& p) {
  constexpr int N = MIXED;
  const bool together = p.image_len % N == 0 && allows<N>(static_cast<const T*>(p.hidden)) && allows<N>(p.residual) &&
                        allows<N>(p.out);
  for (int b = blockIdx.y; b < p.batch; b += gridDim.y) {
    const T* const hidden = static_cast<const T*>(p.hidden) + b * p.image_len;
    const float* const residual = p.residual + b * p.image_len;
    const float keep = p.drop_path ? p.drop_path[b] : 1.0f;
    map_elements<N>(p.image_len, together, p.out + b * p.image_len, [=](int64_t at, int count, bool one) {
      const Values<N> h = load_values<N>(hidden + at, count, one);
      Values<N> x = load_values<N>(residual + at, count, one);
#pragma unroll
      for (int i = 0; i < N; i++) x.at[i] = fmaf(keep, h.at[i], x.at[i]);
      return x;
    });
  }
}

template <class T>
__device__ __forceinline__ void drop_path(const DisDropPath& p) {
  constexpr int N = MIXED;
  T* const out = static_cast<T*>(p.out);
  const bool together = p.image_len % N == 0 && allows<N>(p.x) && allows<N>(out);
  for (int b = blockIdx.y; b < p.batch; b += gridDim.y) {
    const float* const from = p.x + b * p.image_len;
    const float keep = p.drop_path ? p.drop_path[b] : 1.0f;
    map_elements<N>(p.image_len, together, out + b * p.image_len, [=](int64_t at, int count, bool one) {
      Values<N> x = load_values<N>(from + at, count, one);
#pragma unroll
      for (int i = 0; i < N; i++) x.at[i] *= keep;
      return x;
    });
  }
}

}  // namespace

DIS_KERNEL(fill_rows_f32, DisFillRows, THREADS, 4) { fill_rows<float>(p); }
DIS_KERNEL(fill_rows_bf16, DisFillRows, THREADS, 4) { fill_rows<bf16>(p); }
DIS_KERNEL(column_sums_f32, DisColumnSums, THREADS, 4) { column_sums<float>(p); }
DIS_KERNEL(column_sums_bf16, DisColumnSums, THREADS, 4) { column_sums<bf16>(p); }
DIS_KERNEL(add_f32, DisAdd, THREADS, 4) { add<float>(p); }
DIS_KERNEL(add_bf16, DisAdd, THREADS, 4) { add<bf16>(p); }
DIS_KERNEL(accumulate_f32, DisAccumulate, THREADS, 4) { accumulate<float>(p); }
DIS_KERNEL(accumulate_bf16, DisAccumulate, THREADS, 4) { accumulate<bf16>(p); }
DIS_KERNEL(silu_f32, DisSilu, THREADS, 4) { silu_elements<float>(p); }
DIS_KERNEL(silu_bf16, DisSilu, THREADS, 4) { silu_elements<bf16>(p); }
DIS_KERNEL(silu_backward_f32, DisSiluBackward, THREADS, 4) { silu_backward<float>(p); }
DIS_KERNEL(silu_backward_bf16, DisSiluBackward, THREADS, 4) { silu_backward<bf16>(p); }
DIS_KERNEL(narrow_f32, DisNarrow, THREADS, 4) { convert(p.from, static_cast<float*>(p.to), p.len); }
DIS_KERNEL(narrow_bf16, DisNarrow, THREADS, 4) { convert(p.from, static_cast<bf16*>(p.to), p.len); }
DIS_KERNEL(widen_f32, DisWiden, THREADS, 4) { convert(static_cast<const float*>(p.from), p.to, p.len); }
DIS_KERNEL(widen_bf16, DisWiden, THREADS, 4) { convert(static_cast<const bf16*>(p.from), p.to, p.len); }
DIS_KERNEL(residual_add_f32, DisResidualAdd, THREADS, 4) { residual_add<float>(p); }
DIS_KERNEL(residual_add_bf16, DisResidualAdd, THREADS, 4) { residual_add<bf16>(p); }
DIS_KERNEL(drop_path_f32, DisDropPath, THREADS, 4) { drop_path<float>(p); }
DIS_KERNEL(drop_path_bf16, DisDropPath, THREADS, 4) { drop_path<bf16>(p); }
