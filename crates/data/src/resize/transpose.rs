//! Rows of bytes to columns and back, eight by eight.

/// Rows and columns of a block.
const BLOCK: usize = 8;
/// Rows that become the lanes of a column.
pub(super) const ROWS: usize = 2 * BLOCK;

/// Columns that transposing `len` of them writes or reads.
pub(super) fn padded(len: usize) -> usize {
    len.next_multiple_of(BLOCK)
}

/// Transposes rows of one length. `columns` has [`padded`] as many elements; the last few, beyond
/// the length, become zero.
#[inline(always)]
pub(super) fn rows_to_columns(rows: &[&[u8]; ROWS], columns: &mut [[u8; ROWS]]) {
    for (half, rows) in rows.as_chunks::<BLOCK>().0.iter().enumerate() {
        for (i, out) in columns.as_chunks_mut::<BLOCK>().0.iter_mut().enumerate() {
            let mut block = [0; BLOCK];
            for (word, row) in block.iter_mut().zip(rows) {
                *word = load(&row[i * BLOCK..]);
            }
            for (out, column) in out.iter_mut().zip(transposed(block)) {
                out.as_chunks_mut().0[half] = column.to_le_bytes();
            }
        }
    }
}

/// Transposes columns into up to [`ROWS`] rows of `len` bytes, one after the other in `out`.
#[inline(always)]
pub(super) fn columns_to_rows(columns: &[[u8; ROWS]], out: &mut [u8], len: usize) {
    for (half, out) in out.chunks_mut(BLOCK * len).enumerate() {
        for (i, columns) in columns.as_chunks::<BLOCK>().0.iter().enumerate() {
            let mut block = [0; BLOCK];
            for (word, column) in block.iter_mut().zip(columns) {
                *word = u64::from_le_bytes(column.as_chunks().0[half]);
            }
            for (out, row) in out.chunks_exact_mut(len).zip(transposed(block)) {
                let out = &mut out[i * BLOCK..];
                match out.first_chunk_mut() {
                    Some(out) => *out = row.to_le_bytes(),
                    None => out.copy_from_slice(&row.to_le_bytes()[..out.len()]),
                }
            }
        }
    }
}

/// Up to eight bytes, then zeros.
#[inline(always)]
fn load(bytes: &[u8]) -> u64 {
    match bytes.first_chunk() {
        Some(&bytes) => u64::from_le_bytes(bytes),
        None => bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)),
    }
}

/// Byte `j` of word `i` becomes byte `i` of word `j`: quarters of the block change places, then
/// quarters of these, then bytes.
#[inline(always)]
fn transposed(mut words: [u64; BLOCK]) -> [u64; BLOCK] {
    exchange::<4>(&mut words, 0x0000_0000_FFFF_FFFF);
    exchange::<2>(&mut words, 0x0000_FFFF_0000_FFFF);
    exchange::<1>(&mut words, 0x00FF_00FF_00FF_00FF);
    words
}

/// Exchanges the high bytes of each word with the low ones, `mask`, of the word `DISTANCE` after it.
#[inline(always)]
fn exchange<const DISTANCE: usize>(words: &mut [u64; BLOCK], mask: u64) {
    for group in 0..BLOCK / (2 * DISTANCE) {
        for i in 2 * DISTANCE * group..(2 * group + 1) * DISTANCE {
            let exchanged = (words[i] >> (8 * DISTANCE) ^ words[i + DISTANCE]) & mask;
            words[i + DISTANCE] ^= exchanged;
            words[i] ^= exchanged << (8 * DISTANCE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_back() {
        for (rows, len) in [(16, 8), (16, 21), (16, 3), (7, 17), (9, 40), (1, 1)] {
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
