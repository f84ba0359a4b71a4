// SPDX-License-Identifier: MIT OR Apache-2.0

//! What devices count. Nothing here is of any use to a guest, which cannot see it, and does no more than make its own
//! devices' counts grow.

use crate::counts::tally;

tally! {
    /// A disk's. A request that fails counts, its bytes do not.
    OfDisk, "disk" {
        /// Reads,
        read_requests,
        /// the bytes that they read,
        read_bytes,
        /// and how many of them a rate has made wait.
        read_held,
        /// Writes, zeroes and discards,
        write_requests,
        /// the bytes that they wrote,
        write_bytes,
        /// and how many of them, and of the flushes, a rate has made wait.
        write_held,
        /// Flushes.
        flush_requests,
        /// Of all requests, those that failed or that there are not.
        failed_requests,
    }
}

tally! {
    /// A network card's.
    OfNetwork, "network" {
        /// Frames that the container was given,
        ingress_packets,
        /// their bytes,
        ingress_bytes,
        /// and how many of them a rate has made wait, without those that waited behind one.
        ingress_held,
        /// Frames that the container has sent,
        egress_packets,
        /// their bytes,
        egress_bytes,
        /// and how many of them a rate has made wait, without those that waited behind one.
        egress_held,
    }
}

tally! {
    /// A volume's.
    OfVolume, "volume" {
        /// Requests to its file system,
        requests,
        /// their bytes, those of files that are written among them.
        request_bytes,
        /// Replies,
        replies,
        /// and theirs, those of files that are read among them.
        reply_bytes,
    }
}

tally! {
    /// The entropy device's.
    OfEntropy, "entropy" {
        /// Buffers that were filled,
        requests,
        /// and the bytes of them.
        bytes,
    }
}

tally! {
    /// The console's: of the program's standard streams, and of the messages with its init.
    OfConsole, "console" {
        /// Bytes that the container was given,
        input_bytes,
        /// and that it has written.
        output_bytes,
    }
}

tally! {
    /// The socket device's.
    OfSockets, "sockets" {
        /// Connections, whoever has asked for them,
        connections,
        /// packets that the container was given,
        ingress_packets,
        /// the bytes in them,
        ingress_bytes,
        /// packets that it has sent,
        egress_packets,
        /// and the bytes in those.
        egress_bytes,
    }
}
