//! Rows of bytes to columns and back, sixteen by sixteen.

use std::array::from_fn;

/// Rows that become the lanes of a column.
pub(super) const ROWS: usize = 16;

/// As many rows as columns.
type Block = [[u8; ROWS]; ROWS];

/// Columns that transposing `len` of them writes or reads.
pub(super) fn padded(len: usize) -> usize {
    len.next_multiple_of(ROWS)
}

/// Transposes rows of one length. `columns` has [`padded`] as many elements; the last few, beyond
/// the length, become zero.
#[inline(always)]
pub(super) fn rows_to_columns(rows: &[&[u8]; ROWS], columns: &mut [[u8; ROWS]]) {
    for (i, columns) in columns.as_chunks_mut::<ROWS>().0.iter_mut().enumerate() {
        *columns = transposed(from_fn(|row| load(&rows[row][i * ROWS..])));
    }
}

/// Transposes columns into up to [`ROWS`] rows of `len` bytes, one after the other in `out`.
#[inline(always)]
pub(super) fn columns_to_rows(columns: &[[u8; ROWS]], out: &mut [u8], len: usize) {
    for (i, columns) in columns.as_chunks().0.iter().enumerate() {
        for (out, row) in out.chunks_exact_mut(len).zip(transposed(*columns)) {
            let out = &mut out[i * ROWS..];
            match out.first_chunk_mut() {
                Some(out) => *out = row,
                None => out.copy_from_slice(&row[..out.len()]),
            }
        }
    }
}

/// Up to sixteen bytes, then zeros.
#[inline(always)]
fn load(bytes: &[u8]) -> [u8; ROWS] {
    match bytes.first_chunk() {
        Some(&bytes) => bytes,
        None => from_fn(|i| bytes.get(i).copied().unwrap_or(0)),
    }
}

/// Byte `j` of row `i` becomes byte `i` of row `j`.
///
/// A place in the block has eight bits, four of the row and four of the byte. Interleaving rows `i`
/// and `i + 8` rotates them by one, so that after four times they have changed places.
#[inline(always)]
fn transposed(mut rows: Block) -> Block {
    for _ in 0..ROWS.ilog2() {
        let mut next = [[0; ROWS]; ROWS];
        for i in 0..ROWS / 2 {
            [next[2 * i], next[2 * i + 1]] = interleaved(rows[i], rows[i + ROWS / 2]);
        }
        rows = next;
    }
    rows
}

/// The bytes of both rows in turn.
#[inline(always)]
fn interleaved(first: [u8; ROWS], second: [u8; ROWS]) -> [[u8; ROWS]; 2] {
    // Compilers do not see that this is one instruction for each half. Every x86-64 has it.
    #[cfg(target_arch = "x86_64")]
    if let Some(sse2) = pulp::core_arch::x86::Sse2::try_new() {
        let (first, second) = (bytemuck::cast(first), bytemuck::cast(second));
        let halves = [sse2._mm_unpacklo_epi8(first, second), sse2._mm_unpackhi_epi8(first, second)];
        return halves.map(bytemuck::cast);
    }
    from_fn(|half| {
        from_fn(|i| {
            let row = if i % 2 == 0 { &first } else { &second };
            row[half * ROWS / 2 + i / 2]
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_back() {
        for (rows, len) in [(16, 8), (16, 64), (16, 149), (16, 3), (7, 77), (9, 200), (1, 1)] {
            let bytes: Vec<u8> = (0..rows * len).map(|i| (i * 37 % 251) as u8).collect();
            let row = |i: usize| &bytes[i.min(rows - 1) * len..][..len];
            let mut columns = vec![[1; ROWS]; padded(len)];
            rows_to_columns(&std::array::from_fn(row), &mut columns);
            for (i, column) in columns.iter().enumerate() {
                let expected = std::array::from_fn(|j| row(j).get(i).copied().unwrap_or(0));
                assert_eq!(*column, expected, "column {i} of {rows} rows of {len}");
            }
            let mut back = vec![1; rows * len];
            columns_to_rows(&columns, &mut back, len);
            assert_eq!(back, bytes, "{rows} rows of {len}");
        }
    }
}
