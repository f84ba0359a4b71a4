// SPDX-License-Identifier: MIT OR Apache-2.0

//! The header of a packet (virtio 1.2, 5.10.6).

/// Bytes of a header.
pub const SIZE: usize = 44;
/// `type`: a stream, the only one offered.
pub const STREAM: u16 = 1;
/// Flags of [`op::SHUTDOWN`]: the sender receives, or sends, no more.
pub const NO_RECEIVE: u32 = 1;
/// See [`NO_RECEIVE`].
pub const NO_SEND: u32 = 2;

/// Operations.
pub mod op {
    /// Opens a connection.
    pub const REQUEST: u16 = 1;
    /// Accepts it.
    pub const RESPONSE: u16 = 2;
    /// Ends it, or refuses it.
    pub const RST: u16 = 3;
    /// Ends a direction of it.
    pub const SHUTDOWN: u16 = 4;
    /// Data.
    pub const RW: u16 = 5;
    /// Tells how much room there is.
    pub const CREDIT_UPDATE: u16 = 6;
    /// Asks how much room there is.
    pub const CREDIT_REQUEST: u16 = 7;
}

/// A header. Counters of bytes wrap around.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Context (machine) of the sender.
    pub src_cid: u64,
    /// Context of the receiver.
    pub dst_cid: u64,
    /// Port of the sender.
    pub src_port: u32,
    /// Port of the receiver.
    pub dst_port: u32,
    /// Bytes of data that follow.
    pub len: u32,
    /// [`STREAM`].
    pub kind: u16,
    /// [`op`].
    pub op: u16,
    /// Flags of the operation.
    pub flags: u32,
    /// Bytes that the sender of the packet buffers for this connection.
    pub buf_alloc: u32,
    /// Bytes that the sender of the packet has taken out of its buffer so far.
    pub fwd_cnt: u32,
}

impl Header {
    /// From memory order.
    #[must_use]
    pub fn decode(bytes: &[u8; SIZE]) -> Self {
        let word = |at: usize, size: usize| {
            bytes[at..at + size]
                .iter()
                .rev()
                .fold(0u64, |value, &byte| value << 8 | u64::from(byte))
        };
        Header {
            src_cid: word(0, 8),
            dst_cid: word(8, 8),
            src_port: word(16, 4) as u32,
            dst_port: word(20, 4) as u32,
            len: word(24, 4) as u32,
            kind: word(28, 2) as u16,
            op: word(30, 2) as u16,
            flags: word(32, 4) as u32,
            buf_alloc: word(36, 4) as u32,
            fwd_cnt: word(40, 4) as u32,
        }
    }

    /// In memory order.
    #[must_use]
    pub fn encode(&self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        bytes[0..8].copy_from_slice(&self.src_cid.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.dst_cid.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.src_port.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.dst_port.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.len.to_le_bytes());
        bytes[28..30].copy_from_slice(&self.kind.to_le_bytes());
        bytes[30..32].copy_from_slice(&self.op.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.flags.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.buf_alloc.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.fwd_cnt.to_le_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_laid_out_as_the_standard_says() {
        let bytes: [u8; SIZE] = std::array::from_fn(|at| at as u8);
        let header = Header::decode(&bytes);
        assert_eq!(header.src_cid, 0x0706_0504_0302_0100);
        assert_eq!(header.dst_port, 0x1716_1514);
        assert_eq!((header.kind, header.op), (0x1d1c, 0x1f1e));
        assert_eq!(header.fwd_cnt, 0x2b2a_2928);
        assert_eq!(header.encode(), bytes);
    }
}
