// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a network card is connected to, and the form of what goes over it.

use std::os::fd::AsFd;

/// Bytes of what precedes a frame in a buffer: struct virtio_net_hdr with num_buffers (5.1.6).
pub const HEADER: usize = 12;
/// Bytes of a frame at most: an IP packet of 65,535 bytes behind an Ethernet header.
pub const FRAME_MAX: usize = 65_535 + 14;

/// What precedes a frame: what is left to the receiver of checksums and segments (5.1.6).
pub type Header = [u8; HEADER];

/// What a network card is connected to: Ethernet frames without the checksum at the end.
pub trait Link: AsFd + Send {
    /// Whether it takes and gives frames whose checksums and segments are left to the receiver. Otherwise all
    /// headers are 0.
    fn offloads(&self) -> bool;
    /// Bytes of a packet at most, the Ethernet header not counted.
    fn mtu(&self) -> u16;
    /// Whether [`Link::send`] may be called.
    fn has_room(&self) -> bool;
    /// Takes a frame, maybe only in memory until [`Link::flush`].
    fn send(&mut self, header: &Header, frame: &[u8]);
    /// Hands over what can be handed over now; whether some is left, for when the descriptor is writable.
    fn flush(&mut self) -> bool;
    /// The next frame that has come, the same until [`Link::consume`].
    fn frame(&mut self) -> Option<(Header, &[u8])>;
    /// Forgets that frame.
    fn consume(&mut self);
    /// Whether it has ended: it gives nothing any more, and forgets what it gets.
    fn is_over(&self) -> bool;
}

impl<L: Link + ?Sized> Link for Box<L> {
    fn offloads(&self) -> bool {
        (**self).offloads()
    }

    fn mtu(&self) -> u16 {
        (**self).mtu()
    }

    fn has_room(&self) -> bool {
        (**self).has_room()
    }

    fn send(&mut self, header: &Header, frame: &[u8]) {
        (**self).send(header, frame);
    }

    fn flush(&mut self) -> bool {
        (**self).flush()
    }

    fn frame(&mut self) -> Option<(Header, &[u8])> {
        (**self).frame()
    }

    fn consume(&mut self) {
        (**self).consume();
    }

    fn is_over(&self) -> bool {
        (**self).is_over()
    }
}
