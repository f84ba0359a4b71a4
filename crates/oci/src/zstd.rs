// SPDX-License-Identifier: MIT OR Apache-2.0

//! Zstandard with any number of frames (RFC 8878), some of which are to be skipped: `zstd:chunked` layers have both.

use std::io::{self, BufRead, Read};

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// Decompresses `R`.
pub(crate) struct Frames<R: BufRead> {
    reader: R,
    /// Of the frame that is being read.
    decoder: Option<FrameDecoder>,
}

impl<R: BufRead> Frames<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self {
            reader,
            decoder: None,
        }
    }

    /// Begins the next frame with contents; none at the end.
    fn next_frame(&mut self) -> io::Result<Option<FrameDecoder>> {
        while !self.reader.fill_buf()?.is_empty() {
            let mut decoder = FrameDecoder::new();
            let length = match decoder.init(&mut self.reader) {
                Ok(()) => return Ok(Some(decoder)),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => u64::from(length),
                Err(error) => return Err(io::Error::other(error.to_string())),
            };
            let mut skipped = self.reader.by_ref().take(length);
            if io::copy(&mut skipped, &mut io::sink())? < length {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(None)
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let mut decoder = match self.decoder.take() {
                Some(decoder) => decoder,
                None => match self.next_frame()? {
                    Some(decoder) => decoder,
                    None => return Ok(0),
                },
            };
            while decoder.can_collect() < buffer.len() && !decoder.is_finished() {
                let more = buffer.len() - decoder.can_collect();
                decoder
                    .decode_blocks(&mut self.reader, BlockDecodingStrategy::UptoBytes(more))
                    .map_err(|error| io::Error::other(error.to_string()))?;
            }
            let n = decoder.read(buffer)?;
            if n > 0 {
                self.decoder = Some(decoder);
                return Ok(n);
            }
        }
    }
}
