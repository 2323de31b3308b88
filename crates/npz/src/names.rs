//! Many names in one piece of memory.

/// A list of byte strings without an allocation for each: ImageNet has 1.28 million.
#[derive(Clone, Debug, Default)]
pub struct Names {
    bytes: Vec<u8>,
    /// Where each name ends.
    ends: Vec<u64>,
}

impl Names {
    /// Adds a name at the end.
    pub fn push(&mut self, name: &[u8]) {
        self.bytes.extend_from_slice(name);
        self.ends.push(self.bytes.len() as u64);
    }

    /// Adds all of `others` at the end.
    pub fn append(&mut self, others: &Self) {
        let before = self.bytes.len() as u64;
        self.bytes.extend_from_slice(&others.bytes);
        self.ends.extend(others.ends.iter().map(|end| before + end));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Name number `index`.
    ///
    /// # Panics
    /// When there are not so many.
    pub fn get(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[start as usize..self.ends[index] as usize]
    }

    /// For messages; bytes that are not UTF-8 are replaced.
    pub fn text(&self, index: usize) -> String {
        String::from_utf8_lossy(self.get(index)).into_owned()
    }
}
