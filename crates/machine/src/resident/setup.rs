// SPDX-License-Identifier: MIT OR Apache-2.0

//! A machine that stays up, as QEMU's command line.

use std::path::PathBuf;

use cki_process::exec::Command;
use cki_session::cmdline::Mode;
use cki_session::{Memory, Serve, port};
use serde::{Deserialize, Serialize};

use super::messages::Build;
use super::volumes;
use crate::board::Device;
use crate::channel::Channel;
use crate::error::MachineError;
use crate::host_image::HostImage;
use crate::machine::Machine;
use crate::network::MachineNetwork;

/// What a machine that stays up is to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setup {
    /// The directory with the directories of all machines, an absolute path.
    pub machines: PathBuf,
    /// Its name.
    pub name: String,
    /// The output `cki-qemu`.
    pub qemu: PathBuf,
    /// The output `cki-host`.
    pub host: PathBuf,
    /// The disk with what containers are run with.
    pub runtime_disk: PathBuf,
    /// Whether it has a network card, on the user's network.
    pub network: bool,
    /// Its processors.
    pub cpus: u32,
    /// Memory for all containers together.
    pub pool: Memory,
    /// How many programs run at a time, but for the spare ones.
    pub places: u32,
    /// The frequency of its time stamp counter, in kHz.
    pub tsc_khz: u64,
}

/// Memory of a place beside that of its container, in MiB: launcher, network process, buffers of the ports.
const PLACE_MIB: u32 = 24;

/// Memory for the buffers of a volume, in MiB: those of Linux are 4 KiB for each of the 1,024 that QEMU's queue takes.
/// What a port has had stays for the next of its number.
const VOLUME_MIB: u32 = 5;

/// Places more, that no container gets: a machine that is full of them can still be looked at and tidied up.
pub(super) const SPARE: u32 = 2;

/// Descriptor in QEMU of the monitor.
pub(super) const MONITOR_FD: i32 = 8;

/// QEMU's socket for a port of a place.
pub(super) fn socket(name: &str, place: u32) -> String {
    let name = name.rsplit('.').next().unwrap_or(name);
    format!("{place}.{name}")
}

impl Setup {
    /// How many places there are.
    pub(super) fn all_places(&self) -> u32 {
        self.places + SPARE
    }

    /// The machine, without what is particular to one that stays up.
    ///
    /// # Errors
    /// [`MachineError::HostImage`].
    pub fn machine(&self) -> Result<Machine, MachineError> {
        let mut host = HostImage::load(&self.host)?;
        host.cmdline.push_str(&format!(" {}", Mode::Machine));
        let memory = host
            .memory_for(self.pool)
            .plus_mib(PLACE_MIB * self.all_places() + VOLUME_MIB * volumes::MOST as u32);
        // Its application images come and go: the one that it is made with is not in its command line.
        let app = self.runtime_disk.clone();
        let mut machine = Machine::new(&self.qemu, host, app, memory, self.cpus);
        machine.runtime_disk = Some(self.runtime_disk.clone());
        machine.network = self.network.then(MachineNetwork::default);
        machine.tsc_khz = Some(self.tsc_khz);
        Ok(machine)
    }

    /// QEMU's command line, to be run in the machine's directory. QEMU finds the sockets of the machine's port and of
    /// the console at the descriptors of [`Channel::fd`], and that of its monitor at [`MONITOR_FD`].
    pub(super) fn command(&self, machine: &Machine) -> Command {
        let board = machine.host.board;
        let mut command = machine.board(&machine.host.initrd);
        command = command.args(machine.runtime_disk_options());
        if let Some(network) = &machine.network {
            command = command.args(network.words(&board.device("virtio-net", Device::Network)));
        }
        let serial = board.device("virtio-serial", Device::Serial);
        // Port 0 is kept for a console (virtio 1.2, section 5.3.4).
        let ports = 4 * self.all_places() + 2;
        command = command
            .args([
                "-device".to_owned(),
                format!("{},id=scsi", board.device("virtio-scsi", Device::App)),
                "-device".to_owned(),
                format!("{serial},max_ports={ports}"),
                "-chardev".to_owned(),
                format!("socket,id=machine,fd={}", Channel::Control.fd()),
                "-device".to_owned(),
                format!("virtserialport,chardev=machine,name={}", port::MACHINE),
                "-chardev".to_owned(),
                format!("socket,id=console,fd={}", Channel::Console.fd()),
                "-serial".to_owned(),
                "chardev:console".to_owned(),
                "-chardev".to_owned(),
                format!("socket,id=monitor,fd={MONITOR_FD}"),
                "-mon".to_owned(),
                "chardev=monitor,mode=control".to_owned(),
            ])
            .args(Machine::exit_device());
        for place in 0..self.all_places() {
            for name in port::ALL {
                let socket = socket(name, place);
                command = command.args([
                    "-chardev".to_owned(),
                    format!("socket,id=c{socket},path={socket},server=on,wait=off"),
                    "-device".to_owned(),
                    format!(
                        "virtserialport,chardev=c{socket},name={}",
                        port::of_place(name, place)
                    ),
                ]);
            }
        }
        // Ports that come and go are on a bus of their own. It is the last, since those above take the first.
        let serial = board.device("virtio-serial", Device::Volumes);
        let bus = volumes::BUS;
        let ports = volumes::MOST + 1;
        command.args([
            "-device".to_owned(),
            format!("{serial},id={bus},max_ports={ports}"),
        ])
    }

    /// What its init is told.
    pub(super) fn request(&self, machine: &Machine) -> Serve {
        Serve {
            pool: self.pool,
            places: self.all_places(),
            interface: machine.network.as_ref().map(MachineNetwork::interface),
        }
    }
}

impl Build {
    /// What `machine` is made of.
    #[must_use]
    pub fn of(machine: &Machine) -> Self {
        Self {
            qemu: machine.qemu.clone(),
            kernel: machine.host.kernel.clone(),
            runtime_disk: machine.runtime_disk.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn each_place_has_four_ports_and_no_application_disk_is_there() {
        let host = tempfile::tempdir().unwrap();
        let boot = r#"{"version":4,"kernel":"vmlinux","initrd":"initrd","sessionInitrd":"s","board":"microvm","hostMib":192,
            "cmdline":"quiet cki.mode=session","containerCmdline":""}"#;
        fs::write(host.path().join("boot.json"), boot).unwrap();
        let setup = Setup {
            machines: "/m".into(),
            name: "default".to_owned(),
            qemu: "/q".into(),
            host: host.path().to_owned(),
            runtime_disk: "/r/runtime.erofs".into(),
            network: true,
            cpus: 2,
            pool: Memory::constant(1024),
            places: 3,
            tsc_khz: 1,
        };
        let machine = setup.machine().unwrap();
        assert_eq!(machine.memory.mib(), 1024 + 192 + 5 * PLACE_MIB + 160);
        let words = setup.command(&machine).argv().join(" ");
        for part in [
            "-append quiet cki.mode=session cki.mode=machine tsc_early_khz=1 ",
            "-device virtio-scsi-device,bus=virtio-mmio-bus.7,id=scsi ",
            "-device virtio-serial-device,bus=virtio-mmio-bus.2,max_ports=22 ",
            "-chardev socket,id=c2.stdin,path=2.stdin,server=on,wait=off \
             -device virtserialport,chardev=c2.stdin,name=org.cki.stdin.2",
            "virtserialport,chardev=c0.control,name=org.cki.control.0",
            "virtserialport,chardev=c4.stderr,name=org.cki.stderr.4 \
             -device virtio-serial-device,bus=virtio-mmio-bus.4,id=volumes,max_ports=33",
        ] {
            assert!(words.contains(part), "{part} in {words}");
        }
        assert!(!words.contains("cki-app"), "{words}");
        assert_eq!(setup.request(&machine).places, 5);
    }
}
