//! CBOR as receipts have it: lengths are definite, and nothing stands behind the end.

use alloc::vec::Vec;

use minicbor::data::{Tag, Type};
use minicbor::decode::Error as DecodeError;
use minicbor::{Decoder, Encoder};

use super::error::CoseError;

/// Reads one part of a receipt.
pub(super) struct Reader<'b> {
    part: &'static str,
    decoder: Decoder<'b>,
    bytes: &'b [u8],
}

impl<'b> Reader<'b> {
    pub(super) fn new(part: &'static str, bytes: &'b [u8]) -> Self {
        Self { part, decoder: Decoder::new(bytes), bytes }
    }

    pub(super) fn wrong(&self, reason: &'static str) -> CoseError {
        CoseError::Form { part: self.part, at: self.decoder.position(), reason }
    }

    fn read<T>(
        &mut self,
        reason: &'static str,
        read: impl FnOnce(&mut Decoder<'b>) -> Result<T, DecodeError>,
    ) -> Result<T, CoseError> {
        let before = self.decoder.position();
        read(&mut self.decoder).map_err(|_| CoseError::Form { part: self.part, at: before, reason })
    }

    pub(super) fn tag(&mut self, expected: u64) -> Result<(), CoseError> {
        let reason = "a receipt is a COSE_Sign1 with its tag, 18";
        let tag = self.read(reason, Decoder::tag)?;
        if tag == Tag::new(expected) { Ok(()) } else { Err(self.wrong(reason)) }
    }

    /// The number of items of an array.
    pub(super) fn array(&mut self) -> Result<u64, CoseError> {
        let reason = "an array with its length belongs here";
        self.read(reason, Decoder::array)?.ok_or_else(|| self.wrong(reason))
    }

    pub(super) fn array_of(
        &mut self,
        expected: u64,
        reason: &'static str,
    ) -> Result<(), CoseError> {
        if self.array()? == expected { Ok(()) } else { Err(self.wrong(reason)) }
    }

    /// The number of pairs of a map.
    pub(super) fn map(&mut self) -> Result<u64, CoseError> {
        let reason = "a map with its length belongs here";
        self.read(reason, Decoder::map)?.ok_or_else(|| self.wrong(reason))
    }

    pub(super) fn bytes(&mut self) -> Result<&'b [u8], CoseError> {
        self.read("a byte string with its length belongs here", Decoder::bytes)
    }

    pub(super) fn unsigned(&mut self) -> Result<u64, CoseError> {
        self.read("a number from 0 to 2^64 - 1 belongs here", Decoder::u64)
    }

    pub(super) fn integer(&mut self) -> Result<i64, CoseError> {
        self.read("an integer belongs here", Decoder::i64)
    }

    /// A byte string, or nothing where `nil` stands.
    pub(super) fn bytes_or_nil(&mut self) -> Result<Option<&'b [u8]>, CoseError> {
        match self.read("a byte string or nil belongs here", |decoder| decoder.datatype())? {
            Type::Null => self.read("nil belongs here", Decoder::null).map(|()| None),
            _ => self.bytes().map(Some),
        }
    }

    pub(super) fn label(&mut self) -> Result<Label<'b>, CoseError> {
        let reason = "a label is an integer or a text with its length";
        match self.read(reason, |decoder| decoder.datatype())? {
            Type::String => self.read(reason, Decoder::str).map(Label::Text),
            _ => self.read(reason, Decoder::i64).map(Label::Number),
        }
    }

    /// Steps over a value, whatever it is.
    pub(super) fn skip(&mut self) -> Result<(), CoseError> {
        self.read("a value belongs here", Decoder::skip)
    }

    pub(super) fn end(&self) -> Result<(), CoseError> {
        if self.decoder.position() == self.bytes.len() {
            return Ok(());
        }
        Err(self.wrong("nothing stands behind the end"))
    }
}

/// The label of a header.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Label<'b> {
    Number(i64),
    Text(&'b str),
}

impl core::fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => write!(f, "{text:?}"),
        }
    }
}

/// The bytes that `write` makes. Memory takes everything, so there is nothing to fail.
pub(super) fn written(
    write: impl FnOnce(
        &mut Encoder<&mut Vec<u8>>,
    ) -> Result<(), minicbor::encode::Error<core::convert::Infallible>>,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let written = write(&mut Encoder::new(&mut bytes));
    debug_assert!(written.is_ok());
    bytes
}
