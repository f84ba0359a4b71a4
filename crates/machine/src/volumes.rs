// SPDX-License-Identifier: MIT OR Apache-2.0

//! What QEMU is told of volumes: each is a virtio-serial port, connected to a socket that QEMU inherits.

/// Descriptor in QEMU of the socket of a volume.
pub(super) const fn fd(index: usize) -> i32 {
    32 + index as i32
}

/// QEMU's arguments for ports with these names.
pub(super) fn words(ports: &[String]) -> Vec<String> {
    let words = |(index, port): (usize, &String)| {
        [
            "-chardev".to_owned(),
            format!("socket,id=volume{index},fd={}", fd(index)),
            "-device".to_owned(),
            format!("virtserialport,chardev=volume{index},name={port}"),
        ]
    };
    ports.iter().enumerate().flat_map(words).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_volume_has_a_port_at_a_descriptor_of_its_own() {
        let expected = "-chardev socket,id=volume0,fd=32 \
            -device virtserialport,chardev=volume0,name=org.cki.volume.a \
            -chardev socket,id=volume1,fd=33 \
            -device virtserialport,chardev=volume1,name=org.cki.volume.b";
        let ports = ["org.cki.volume.a".into(), "org.cki.volume.b".into()];
        let expected: Vec<_> = expected.split_whitespace().collect();
        assert_eq!(words(&ports), expected);
    }
}
