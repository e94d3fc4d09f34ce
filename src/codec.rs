//! Little-endian fields, written to and read from byte strings. Shared by all file formats.

/// Appends fields.
#[derive(Default)]
pub(crate) struct Encoder(pub(crate) Vec<u8>);

impl Encoder {
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(crate) fn u16(&mut self, value: u16) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    pub(crate) fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    pub(crate) fn u64(&mut self, value: u64) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    /// A number in as few bytes as it takes: seven bits each, the lowest first, and the highest bit set in all
    /// but the last.
    pub(crate) fn varint(&mut self, value: u64) -> &mut Self {
        let mut rest = value;
        while rest >= 0x80 {
            self.0.push(rest.to_le_bytes()[0] | 0x80);
            rest >>= 7;
        }
        self.0.push(rest.to_le_bytes()[0]);
        self
    }

    /// Zeros up to `len` bytes in all.
    pub(crate) fn pad_to(&mut self, len: usize) -> &mut Self {
        self.0.resize(len.max(self.0.len()), 0);
        self
    }
}

/// Takes fields from the front; `None` once the bytes are used up.
pub(crate) struct Decoder<'a>(pub(crate) &'a [u8]);

impl<'a> Decoder<'a> {
    pub(crate) fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(len)?;
        self.0 = tail;
        Some(head)
    }

    pub(crate) fn array<const L: usize>(&mut self) -> Option<[u8; L]> {
        self.bytes(L)?.try_into().ok()
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A number as [`Encoder::varint`] writes it, and no longer spelling of one.
    pub(crate) fn varint(&mut self) -> Option<u64> {
        let mut value: u64 = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let [byte] = self.array()?;
            let bits = u64::from(byte & 0x7f);
            value |= bits << shift;
            if byte & 0x80 == 0 {
                let shortest = byte > 0 || shift == 0;
                return (shortest && bits << shift >> shift == bits).then_some(value);
            }
        }
        None
    }

    /// How many bytes are left.
    pub(crate) fn remaining(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_in_few_bytes_is_read_back_and_has_one_spelling() {
        for value in [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, 1 << 35, u64::MAX / 2, u64::MAX] {
            let mut out = Encoder::default();
            out.varint(value);
            let mut bytes = Decoder(&out.0);
            assert_eq!((bytes.varint(), bytes.remaining()), (Some(value), 0));
            for len in 0..out.0.len() {
                assert_eq!(Decoder(&out.0[..len]).varint(), None, "{value} cut at {len}");
            }
            // The same number with a zero in front.
            let mut long = out.0.clone();
            *long.last_mut().unwrap() |= 0x80;
            long.push(0);
            assert_eq!(Decoder(&long).varint(), None, "{value}");
        }
        let beyond = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2];
        assert_eq!(Decoder(&beyond).varint(), None);
    }
}
