//! Fields: bytes with their length before them, four bytes, big-endian.

/// Puts fields one after the other.
#[must_use]
pub fn pack(fields: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut packed = Vec::new();
    for field in fields.iter().map(AsRef::as_ref) {
        // Nothing here comes near 4 GiB: the memory of a WebAssembly module ends there.
        let len = u32::try_from(field.len()).unwrap_or(u32::MAX);
        packed.extend_from_slice(&len.to_be_bytes());
        packed.extend_from_slice(field);
    }
    packed
}

/// Takes fields apart. `None` if they do not end where the bytes end.
#[must_use]
pub fn unpack(mut bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let (len, rest) = bytes.split_first_chunk::<4>()?;
        let len = usize::try_from(u32::from_be_bytes(*len)).ok()?;
        let (field, behind) = rest.split_at_checked(len)?;
        fields.push(field);
        bytes = behind;
    }
    Some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_back_as_they_were_and_bytes_that_are_none_do_not() {
        let fields: [&[u8]; 3] = [b"one", b"", &[0; 300]];
        let packed = pack(&fields);
        assert_eq!(unpack(&packed).unwrap(), fields);
        for len in [1, 3, 5, 9, packed.len() - 1] {
            assert_eq!(unpack(&packed[..len]), None, "{len} bytes");
        }
        assert_eq!(unpack(&[0xff; 8]), None);
    }
}
