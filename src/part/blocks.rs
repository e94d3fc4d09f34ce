//! Appends blocks to the file of a part, in steps that the device takes one by one.

use std::io::IoSlice;

use super::format::PART_BLOCK_LEN;
use crate::checksum::block_checksum;
use crate::error::{Error, Result};
use crate::fs::File;
use crate::ids::ByteOffset;

/// Bytes handed to the device at a time. Without hurry one step is in the device's queue, in a hurry
/// two. The log's syncs wait behind them. Measured on a virtual disk of 2 GB/s, beside a part of 16 M
/// leaves: the 99th percentile of a durable insert, compared with a quiet store, is 2.7 times as long
/// with steps of 256 KiB, and 2.9 times with 512 KiB. It is 3 to 3.8 times as long with two steps in the
/// queue, and about 160 times with no limit.
const WRITEBACK_STEP: usize = 256 << 10;

/// Appends whole blocks and notes their checksums.
pub(super) struct Blocks<'a> {
    pub(super) out: Output<'a>,
    pub(super) sums: Vec<u32>,
    pub(super) sum: &'a dyn Fn(u64, u32) -> u32,
}

impl Blocks<'_> {
    /// Appends `bytes`, which are whole blocks.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        for block in bytes.chunks(PART_BLOCK_LEN) {
            let number = 1 + self.sums.len() as u64;
            self.sums.push((self.sum)(number, block_checksum(block)));
        }
        self.out.write(bytes)
    }
}

/// Appends to the file in steps.
pub(super) struct Output<'a> {
    pub(super) file: &'a dyn File,
    pub(super) path: &'a std::path::Path,
    pub(super) at: u64,
    /// The offset of a step that was handed to the device and has not been waited for.
    pub(super) under_way: Option<u64>,
    pub(super) hurry: &'a dyn Fn() -> bool,
}

impl Output<'_> {
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        for step in bytes.chunks(WRITEBACK_STEP) {
            let at = self.at;
            self.file
                .write_at(ByteOffset(at), &mut [IoSlice::new(step)])
                .and_then(|()| self.hand_over(at, step.len() as u64))
                .map_err(|error| Error::io("write", self.path, error))?;
            self.at += step.len() as u64;
        }
        Ok(())
    }

    /// Hands a step to the device and waits until it is written. In a hurry waits for the step before
    /// instead. For bytes shorter than a step, the sync at the end is enough.
    fn hand_over(&mut self, at: u64, len: u64) -> std::io::Result<()> {
        if len < WRITEBACK_STEP as u64 {
            return Ok(());
        }
        let before = self.under_way.take();
        if (self.hurry)() {
            self.file.start_writeback(ByteOffset(at), len);
            self.under_way = Some(at);
        } else {
            self.file.write_back(ByteOffset(at), len)?;
        }
        before.map_or(Ok(()), |before| self.file.write_back(ByteOffset(before), len))
    }
}
