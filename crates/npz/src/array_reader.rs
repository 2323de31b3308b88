//! The elements of one array, from the first to the last.

use crate::NpzError;
use crate::element::Element;
use crate::member_bytes::MemberBytes;
use crate::npy::{NPY_PRELUDE_BYTES, NpyHeader};
use crc32fast::Hasher;
use std::io::{self, Read};
use std::path::PathBuf;

/// Bytes that are decoded at once where an array is read as a whole; a multiple of every element.
const PIECE: usize = 64 << 10;

/// Reads one array, in parts of any size.
///
/// Whatever the header promises, memory is that of the caller's buffer; and every promise, of the
/// header and of the archive's directory, is compared with what comes.
#[derive(Debug)]
pub struct ArrayReader {
    source: Source,
    header: NpyHeader,
    element: Element,
    /// Bytes of elements that were not read yet.
    left: u64,
}

/// Where an array is, for messages.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) file: PathBuf,
    pub(crate) member: String,
    pub(crate) offset: u64,
}

impl Place {
    pub(crate) fn broken(&self, reason: impl Into<String>) -> NpzError {
        let Self { file, member, offset } = self;
        let (file, member, offset) = (file.clone(), member.clone(), *offset);
        NpzError::Member { file, member, offset, reason: reason.into() }
    }
}

impl ArrayReader {
    /// Reads the header of an array that is `len` bytes with it; `crc32` is theirs, where it is
    /// known.
    pub(crate) fn open(
        place: Place,
        bytes: MemberBytes,
        len: u64,
        crc32: Option<u32>,
    ) -> Result<Self, NpzError> {
        let checksum = crc32.map(|expected| (Hasher::new(), expected));
        let mut source = Source { place, bytes, checksum, is_ended: false };
        let mut head = vec![0; NPY_PRELUDE_BYTES.min(usize::try_from(len).unwrap_or(usize::MAX))];
        source.fill(&mut head)?;
        let head_len = NpyHeader::len_of(&head).map_err(|reason| source.place.broken(reason))?;
        if head_len as u64 > len {
            return Err(source.place.broken("the npy header is cut short"));
        }
        let read = head.len().min(head_len);
        head.resize(head_len, 0);
        source.fill(&mut head[read..])?;
        let header = NpyHeader::parse(&head).map_err(|reason| source.place.broken(reason))?;
        let element =
            Element::of_descr(&header.descr).map_err(|reason| source.place.broken(reason))?;
        let left = len - head_len as u64;
        let size = element.size() as u64;
        if header.shape.iter().try_fold(size, |sum, &side| sum.checked_mul(side)) != Some(left) {
            let (shape, descr) = (&header.shape, &header.descr);
            let reason = format!("shape {shape:?} of {descr}, but {left} bytes are there");
            return Err(source.place.broken(reason));
        }
        Ok(Self { source, header, element, left })
    }

    /// Refuses an array whose elements come in another order than that of its rows.
    pub(crate) fn in_c_order(self) -> Result<Self, NpzError> {
        // Along one side there is one order.
        let long_sides = self.header.shape.iter().filter(|&&side| side != 1).count();
        if self.header.fortran_order && long_sides > 1 {
            let reason = "in Fortran order, of which no part is a row: \
                          save numpy.ascontiguousarray(array)";
            return Err(self.broken(reason));
        }
        Ok(self)
    }

    /// What the file says about the array.
    pub fn header(&self) -> &NpyHeader {
        &self.header
    }

    /// Type of the elements.
    pub fn element(&self) -> Element {
        self.element
    }

    /// The next bytes of the elements, as they are in the file: as many as fit, or the last ones.
    /// Returns how many; 0 only at the end.
    ///
    /// # Errors
    /// The system's; and, with the last bytes of the array at the latest, when they end too early
    /// or go on beyond the array, cannot be unpacked, or have another checksum.
    pub fn read_into(&mut self, out: &mut [u8]) -> Result<usize, NpzError> {
        let len = self.left.min(out.len() as u64) as usize;
        self.source.fill(&mut out[..len])?;
        self.left -= len as u64;
        if self.left == 0 {
            self.source.end()?;
        }
        Ok(len)
    }

    /// All elements as f64, the last side closest together whatever the order of the file.
    ///
    /// Integers beyond 2^53 are rounded. Memory grows as elements come.
    ///
    /// # Errors
    /// As [`ArrayReader::read_into`]; also when there are more than `max_elements`.
    pub(crate) fn into_f64(self, max_elements: usize) -> Result<(Vec<usize>, Vec<f64>), NpzError> {
        let element = self.element;
        let shape = self.sides()?;
        let is_fortran = self.header.fortran_order;
        let values = self.collect(max_elements, |bytes| Some(element.to_f64(bytes)))?;
        let values = if is_fortran { in_c_order(&values, &shape) } else { values };
        Ok((shape, values))
    }

    /// All elements, which have to be integers in one row.
    pub(crate) fn into_integers(self, max_elements: usize) -> Result<Vec<i64>, NpzError> {
        let element = self.element;
        if element.is_float() {
            let reason = format!("elements {}, expected integers", self.header.descr);
            return Err(self.broken(reason));
        }
        self.collect(max_elements, |bytes| element.to_i64(bytes))
    }

    /// The error of this array when it cannot be used.
    pub(crate) fn broken(&self, reason: impl Into<String>) -> NpzError {
        self.source.place.broken(reason)
    }

    fn sides(&self) -> Result<Vec<usize>, NpzError> {
        let side = |&side: &u64| usize::try_from(side).ok();
        let sides: Option<Vec<usize>> = self.header.shape.iter().map(side).collect();
        sides.ok_or_else(|| self.broken(format!("shape {:?} is too large", self.header.shape)))
    }

    fn collect<T>(
        mut self,
        max_elements: usize,
        value_of: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Vec<T>, NpzError> {
        let size = self.element.size();
        let count = self.left / size as u64;
        if count > max_elements as u64 {
            let reason = format!(
                "shape {:?} is {count} elements, more than {max_elements}",
                self.header.shape
            );
            return Err(self.broken(reason));
        }
        let (mut values, mut piece) = (Vec::new(), vec![0; PIECE]);
        loop {
            let read = self.read_into(&mut piece)?;
            if read == 0 {
                return Ok(values);
            }
            for bytes in piece[..read].chunks_exact(size) {
                let Some(value) = value_of(bytes) else {
                    let reason = format!("element {} is beyond 2^63", values.len());
                    return Err(self.broken(reason));
                };
                values.push(value);
            }
        }
    }
}

/// From first side closest together to last side closest together.
fn in_c_order(values: &[f64], shape: &[usize]) -> Vec<f64> {
    let mut ordered = vec![0.0; values.len()];
    let mut index = vec![0; shape.len()];
    for &value in values {
        let place = shape.iter().zip(&index).fold(0, |place, (&side, &i)| place * side + i);
        ordered[place] = value;
        for (i, &side) in index.iter_mut().zip(shape) {
            *i += 1;
            if *i < side {
                break;
            }
            *i = 0;
        }
    }
    ordered
}

/// Bytes that are counted and summed on their way.
#[derive(Debug)]
struct Source {
    place: Place,
    bytes: MemberBytes,
    checksum: Option<(Hasher, u32)>,
    /// Whether the end was seen, and is the right one.
    is_ended: bool,
}

impl Source {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), NpzError> {
        let mut filled = 0;
        while filled < out.len() {
            match self.read(&mut out[filled..])? {
                0 => return Err(self.place.broken("its bytes end before the array does")),
                read => filled += read,
            }
        }
        if let Some((hasher, _)) = &mut self.checksum {
            hasher.update(out);
        }
        Ok(())
    }

    /// Checks what can only be known at the end.
    fn end(&mut self) -> Result<(), NpzError> {
        if self.is_ended {
            return Ok(());
        }
        if self.read(&mut [0])? != 0 || self.bytes.unread() != 0 {
            return Err(self.place.broken("its bytes go on beyond the array"));
        }
        if let Some((hasher, expected)) = &self.checksum {
            let found = hasher.clone().finalize();
            if found != *expected {
                let reason = format!("checksum {found:08x}, expected {expected:08x}");
                return Err(self.place.broken(reason));
            }
        }
        self.is_ended = true;
        Ok(())
    }

    fn read(&mut self, out: &mut [u8]) -> Result<usize, NpzError> {
        loop {
            match self.bytes.read(out) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.error(error)),
                Ok(read) => return Ok(read),
            }
        }
    }

    fn error(&self, error: io::Error) -> NpzError {
        match self.bytes {
            MemberBytes::Stored(_) => NpzError::Io { path: self.place.file.clone(), error },
            MemberBytes::Deflated { .. } => {
                self.place.broken(format!("cannot be inflated: {error}"))
            }
        }
    }
}
