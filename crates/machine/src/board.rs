// SPDX-License-Identifier: MIT OR Apache-2.0

//! QEMU's machines, and where each virtio device is in them.

use super::host_image::Board;

/// A virtio device.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Device {
    App,
    Runtime,
    Serial,
    Network,
    /// The user's disk of this number.
    Disk(usize),
    /// The ports of volumes, in a machine that stays up: it has none of the user's disks.
    Volumes,
}

impl Board {
    /// QEMU's machine. The RTC gives a microvm the time; the PIT and PIC are needed to calibrate the TSC.
    pub(crate) const fn machine(self) -> &'static str {
        match self {
            Self::Microvm => "microvm,acpi=off,rtc=on,isa-serial=on,pit=on,pic=on",
            Self::Q35 => "q35",
        }
    }

    /// QEMU's device of `kind` (`virtio-blk`), where it belongs.
    ///
    /// Of a microvm's eight buses, 5 and 6 have interrupts that SeaBIOS keeps for PCI and leaves out of the MP
    /// table, so that Linux would wait for them at a PIC that nobody listens to. (0, 3 and 4 had such, too:
    /// `emulator/patches/0016`.) On PCI, the order of the slots keeps the application image the first disk, as
    /// it is on a microvm.
    pub(crate) fn device(self, kind: &str, device: Device) -> String {
        match self {
            Self::Microvm => {
                let bus = match device {
                    Device::App => 7,
                    Device::Runtime => 1,
                    Device::Serial => 2,
                    Device::Network => 3,
                    Device::Disk(number) => [4, 0][number],
                    Device::Volumes => 4,
                };
                format!("{kind}-device,bus=virtio-mmio-bus.{bus}")
            }
            Self::Q35 => {
                let slot = match device {
                    Device::App => 1,
                    Device::Runtime => 2,
                    Device::Serial => 3,
                    Device::Network => 4,
                    Device::Disk(number) => 5 + number,
                    Device::Volumes => 5,
                };
                format!("{kind}-pci,addr={slot}")
            }
        }
    }

    /// QEMU's device for the user's disk `number`, less than `UserDisk::MOST`.
    pub(super) fn disk_device(self, number: usize) -> String {
        self.device("virtio-blk", Device::Disk(number))
    }
}
