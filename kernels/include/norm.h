// Numbers that the launches of both norms share.
#pragma once

// Threads of a block of a norm.
#define DIS_NORM_THREADS 256
// Widest row that one warp holds. A row has the fewest warps, 1, 2, 4 or 8, that hold it (`row_warps`), and a block
// 8 / row_warps rows at a time.
#define DIS_NORM_WARP_WIDTH 512
// Widest row of all.
#define DIS_NORM_MAX_WIDTH 4096
// Elements of the vectors that threads move where `vectors` is set, which it may be where every pointer is a multiple
// of the bytes of a vector and the width is a multiple of its elements.
#define DIS_NORM_VECTOR 4
