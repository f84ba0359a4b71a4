// SPDX-License-Identifier: MIT OR Apache-2.0

//! The machine as a QEMU command line.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cki_session::Memory;

use super::app_disk::AppDisk;
use super::board::Device;
use super::channel::Channel;
use super::disks::{self, UserDisk};
use super::host_image::HostImage;
use super::network::MachineNetwork;
use super::patience::START_LIMIT;
use super::volumes;
use cki_process::exec::Command;

/// A machine that is not running yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// QEMU's program.
    pub qemu: PathBuf,
    /// QEMU's firmware directory (`-L`); QEMU's own default when `None`.
    pub firmware: Option<PathBuf>,
    /// What it boots.
    pub host: HostImage,
    /// Application image, a read-only disk.
    pub app: AppDisk,
    /// Disk with launcher, module, monitor and guest kernel, a raw file: the machine has the CKI extension
    /// then, and runs containers. Without it, it is a stock one.
    pub runtime_disk: Option<PathBuf>,
    /// Its network card; without one, it reaches nothing.
    pub network: Option<MachineNetwork>,
    /// Its memory.
    pub memory: Memory,
    /// Its processors, at least 1.
    pub cpus: u32,
    /// Have the kernel say on its console what it does, not only what goes wrong.
    pub verbose: bool,
    /// What to tell the kernel of its time stamp counter's frequency, in kHz. None leaves it to find out.
    pub tsc_khz: Option<u64>,
    /// Count instructions, one processor, one nanosecond each (`-icount shift=0`): slow but repeatable.
    pub icount: bool,
    /// How long it may take to start the program, not counting time in which QEMU waits for a processor.
    pub start_limit: Duration,
    /// Names of the ports behind which volumes are served ([`cki_session::Volume::port`]).
    pub volumes: Vec<String>,
    /// Disks of the user's, not more than [`UserDisk::MOST`].
    pub disks: Vec<UserDisk>,
    /// More arguments for QEMU.
    pub extra: Vec<String>,
}

impl Machine {
    /// Memory with which the machine's kernel still reaches init, in a machine without containers.
    pub const LEAST_MEMORY: Memory = Memory::constant(128);

    /// The machine in the output `cki-qemu`, as [`Machine::command`] starts it.
    #[must_use]
    pub fn new(
        qemu: &Path,
        host: HostImage,
        app: impl Into<AppDisk>,
        memory: Memory,
        cpus: u32,
    ) -> Self {
        Self {
            qemu: qemu.join("bin/qemu-system-x86_64"),
            firmware: Some(qemu.join("share/qemu")),
            host,
            app: app.into(),
            runtime_disk: None,
            network: None,
            memory,
            cpus,
            verbose: false,
            tsc_khz: None,
            icount: false,
            start_limit: START_LIMIT,
            volumes: Vec::new(),
            disks: Vec::new(),
            extra: Vec::new(),
        }
    }

    /// QEMU's command line without devices: processors, memory, what it boots; `initrd` is one of the host image's.
    #[must_use]
    pub fn board(&self, initrd: &Path) -> Command {
        let mut command = Command::new(&self.qemu)
            .args(["-M", self.host.board.machine()])
            .args(["-cpu", &self.cpu()])
            .args(["-accel", self.accelerator()])
            .args(["-m".to_owned(), format!("{}M", self.memory.mib())])
            // One processor a socket: SeaBIOS puts only the first of each into the MP table.
            .args([
                "-smp".to_owned(),
                format!("{0},sockets={0},cores=1,threads=1", self.cpus),
            ])
            .args([
                "-nodefaults",
                "-no-user-config",
                "-display",
                "none",
                "-no-reboot",
            ]);
        if self.icount {
            command = command.args(["-icount", "shift=0,sleep=off"]);
        }
        if let Some(firmware) = &self.firmware {
            command = command.arg("-L").arg(firmware);
        }
        let cmdline = self.cmdline();
        let Some(hypervisor) = &self.host.hypervisor else {
            return command
                .arg("-kernel")
                .arg(&self.host.kernel)
                .arg("-initrd")
                .arg(initrd)
                .args(["-append", &cmdline]);
        };
        // Its modules are the kernel, with that one's command line, and the initial file system.
        let kernel = option_value(&self.host.kernel);
        let modules = [
            format!("{kernel} {}", cmdline.replace(',', ",,")),
            option_value(initrd),
        ];
        command
            .arg("-kernel")
            .arg(&hypervisor.file)
            .args(["-append", &hypervisor.cmdline])
            .args(["-initrd", &modules.join(",")])
    }

    /// Options for the runtime disk, if the machine has one.
    #[must_use]
    pub fn runtime_disk_options(&self) -> Vec<String> {
        let file = self.runtime_disk.as_deref();
        file.map_or(Vec::new(), |file| {
            let device = self.host.board.device("virtio-blk", Device::Runtime);
            disk("runtime", file, "raw", &device, cki_session::RUNTIME_SERIAL).into()
        })
    }

    /// Options for the device by which the guest ends the machine.
    #[must_use]
    pub fn exit_device() -> [String; 2] {
        [
            "-device".to_owned(),
            format!(
                "isa-debug-exit,iobase={:#x},iosize=0x4",
                cki_session::exit::PORT
            ),
        ]
    }

    /// QEMU's command line. The channels must be at the descriptors of `Channel::fd`.
    #[must_use]
    pub fn command(&self) -> Command {
        let board = self.host.board;
        let app = board.device("virtio-blk", Device::App);
        let mut command = self
            .board(&self.host.session_initrd)
            .args(disk(
                "app",
                self.app.file(),
                self.app.format(),
                &app,
                cki_session::APP_SERIAL,
            ))
            .args(self.runtime_disk_options());
        command = command.args([
            "-device".to_owned(),
            board.device("virtio-serial", Device::Serial),
        ]);
        if let Some(network) = &self.network {
            command = command.args(network.words(&board.device("virtio-net", Device::Network)));
        }
        for channel in Channel::ALL {
            let (id, port) = channel.names();
            command = command.args([
                "-chardev".to_owned(),
                format!("socket,id={id},fd={}", channel.fd()),
            ]);
            command = match port {
                Some(name) => command.args([
                    "-device".to_owned(),
                    format!("virtserialport,chardev={id},name={name}"),
                ]),
                None => command.args(["-serial".to_owned(), format!("chardev:{id}")]),
            };
        }
        command
            .args(volumes::words(&self.volumes))
            .args(disks::words(board, &self.disks))
            .args(Self::exit_device())
            .args(self.extra.iter().cloned())
    }

    fn cmdline(&self) -> String {
        let words = self.host.cmdline.split(' ');
        let kept = words.filter(|word| !(self.verbose && *word == "quiet"));
        let mut cmdline = kept.collect::<Vec<_>>().join(" ");
        // With counted instructions the counter does not run at the machine's rate.
        if let (Some(khz), false) = (self.tsc_khz, self.icount) {
            cmdline.push_str(&format!(" tsc_early_khz={khz}"));
        }
        cmdline
    }

    /// The processor. The emulator does a repeated string instruction byte by byte or word by word, so
    /// kernels are told that bytes are not fast, and clear a page with 512 stores instead of 4,096: half
    /// of the start of a container of 1 GiB was that. Where instructions are counted they count once,
    /// as they are on processors.
    ///
    /// A hypervisor has no x2APIC. Xen writes that one's timer by WRMSR, which QEMU 10.0.2 translates as an instruction
    /// that reaches no device (`target/i386/tcg/emit.c.inc`: `gen_WRMSR` has no `translator_io_start`, as IN and OUT
    /// have), and where instructions are counted, the timer's look at the clock is "Bad icount read" then.
    fn cpu(&self) -> String {
        let extension = self.runtime_disk.as_ref().map_or("", |_| ",cki=on");
        let strings = if self.icount { "" } else { SLOW_BYTES };
        let apic = self.host.hypervisor.as_ref().map_or("", |_| ",x2apic=off");
        format!("max{extension}{strings}{apic}")
    }

    const fn accelerator(&self) -> &'static str {
        // Counting instructions needs one thread (QEMU, docs/devel/multi-thread-tcg).
        if self.icount {
            "tcg,thread=single"
        } else {
            "tcg,thread=multi"
        }
    }
}

/// What says that repeated string instructions on bytes are no faster than others (Intel SDM Vol. 2A, CPUID
/// leaf 7: ERMS, FSRM, FSRS).
const SLOW_BYTES: &str = ",erms=off,fsrm=off,fsrs=off";

/// Options for a read-only disk, a `device` of QEMU's.
fn disk(id: &str, file: &Path, format: &str, device: &str, serial: &str) -> [String; 4] {
    [
        "-drive".to_owned(),
        format!(
            "id={id},file={},format={format},if=none,readonly=on",
            option_value(file)
        ),
        "-device".to_owned(),
        format!("{device},drive={id},serial={serial}"),
    ]
}

/// `path` as a value in QEMU's comma-separated options, where a comma is written twice. From the root, or QEMU takes
/// what is before a colon for the name of a protocol.
fn option_value(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    path.to_string_lossy().replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::super::host_image::{Board, Hypervisor};
    use super::*;

    fn machine() -> Machine {
        Machine::new(
            Path::new("/nix/store/q"),
            HostImage {
                kernel: "/nix/store/h/vmlinux".into(),
                initrd: "/nix/store/h/initrd".into(),
                session_initrd: "/nix/store/h/session".into(),
                cmdline: "console=ttyS0 quiet".into(),
                container_cmdline: "quiet".into(),
                board: Board::Microvm,
                host_mib: 192,
                hypervisor: None,
            },
            PathBuf::from("/a,b/app.img"),
            Memory::constant(512),
            2,
        )
    }

    #[test]
    fn the_command_line_is_this() {
        let words = machine().command().argv();
        let expected = "/nix/store/q/bin/qemu-system-x86_64 \
            -M microvm,acpi=off,rtc=on,isa-serial=on,pit=on,pic=on -cpu max,erms=off,fsrm=off,fsrs=off -accel \
            tcg,thread=multi -m 512M -smp 2,sockets=2,cores=1,threads=1 \
            -nodefaults -no-user-config -display none -no-reboot -L /nix/store/q/share/qemu \
            -kernel /nix/store/h/vmlinux -initrd /nix/store/h/session -append CMDLINE \
            -drive id=app,file=/a,,b/app.img,format=raw,if=none,readonly=on \
            -device virtio-blk-device,bus=virtio-mmio-bus.7,drive=app,serial=cki-app \
            -device virtio-serial-device,bus=virtio-mmio-bus.2 \
            -chardev socket,id=control,fd=3 -device virtserialport,chardev=control,name=org.cki.control \
            -chardev socket,id=stdin,fd=4 -device virtserialport,chardev=stdin,name=org.cki.stdin \
            -chardev socket,id=stdout,fd=5 -device virtserialport,chardev=stdout,name=org.cki.stdout \
            -chardev socket,id=stderr,fd=6 -device virtserialport,chardev=stderr,name=org.cki.stderr \
            -chardev socket,id=console,fd=7 -serial chardev:console \
            -device isa-debug-exit,iobase=0xf4,iosize=0x4";
        let expected: Vec<_> = expected
            .split_whitespace()
            .map(|word| word.replace("CMDLINE", "console=ttyS0 quiet"))
            .collect();
        assert_eq!(words, expected);
    }

    #[test]
    fn a_disk_of_layers_is_composed_from_its_descriptor() {
        let words = Machine {
            app: AppDisk::Composed("/c/disks/1.vmdk".into()),
            ..machine()
        }
        .command()
        .argv();
        let drive = "id=app,file=/c/disks/1.vmdk,format=vmdk,if=none,readonly=on";
        assert!(words.contains(&drive.to_owned()), "{words:?}");
    }

    #[test]
    fn a_machine_for_containers_has_the_extension_and_the_runtime_disk_options() {
        let words = Machine {
            runtime_disk: Some("/nix/store/r/runtime.erofs".into()),
            ..machine()
        }
        .command()
        .argv();
        for pair in [
            ["-cpu", "max,cki=on,erms=off,fsrm=off,fsrs=off"],
            [
                "-drive",
                "id=runtime,file=/nix/store/r/runtime.erofs,format=raw,if=none,readonly=on",
            ],
            [
                "-device",
                "virtio-blk-device,bus=virtio-mmio-bus.1,drive=runtime,serial=cki-runtime",
            ],
        ] {
            assert!(words.windows(2).any(|words| words == pair), "{pair:?}");
        }
    }

    #[test]
    fn a_pc_has_its_devices_on_pci_and_the_application_image_first() {
        let mut machine = Machine {
            runtime_disk: Some("/r".into()),
            ..machine()
        };
        machine.host.board = Board::Q35;
        let words = machine.command().argv();
        for pair in [
            ["-M", "q35"],
            ["-device", "virtio-blk-pci,addr=1,drive=app,serial=cki-app"],
            [
                "-device",
                "virtio-blk-pci,addr=2,drive=runtime,serial=cki-runtime",
            ],
            ["-device", "virtio-serial-pci,addr=3"],
        ] {
            assert!(words.windows(2).any(|words| words == pair), "{pair:?}");
        }
    }

    #[test]
    fn a_hypervisor_is_booted_and_gets_the_kernel_with_its_command_line() {
        let mut machine = machine();
        machine.host.cmdline = "console=hvc0 quiet loglevel=1,2".into();
        machine.host.hypervisor = Some(Hypervisor {
            file: "/nix/store/h/xen".into(),
            cmdline: "console=com1".into(),
            mib: 192,
        });
        let words = machine.command().argv();
        let modules = "/nix/store/h/vmlinux console=hvc0 quiet loglevel=1,,2,/nix/store/h/session";
        for pair in [
            ["-kernel", "/nix/store/h/xen"],
            ["-append", "console=com1"],
            ["-initrd", modules],
            ["-cpu", "max,erms=off,fsrm=off,fsrs=off,x2apic=off"],
        ] {
            assert!(words.windows(2).any(|words| words == pair), "{pair:?}");
        }
    }

    #[test]
    fn a_verbose_machine_is_not_told_to_be_quiet() {
        let words = Machine {
            verbose: true,
            ..machine()
        }
        .command()
        .argv();
        assert!(words.contains(&"console=ttyS0".to_owned()), "{words:?}");
    }

    #[test]
    fn the_kernel_is_told_how_fast_its_time_stamp_counter_runs() {
        let words = Machine {
            tsc_khz: Some(2_600_000),
            ..machine()
        }
        .command()
        .argv();
        assert!(words.contains(&"console=ttyS0 quiet tsc_early_khz=2600000".to_owned()));
    }

    #[test]
    fn counting_instructions_takes_one_thread() {
        let words = Machine {
            icount: true,
            ..machine()
        }
        .command()
        .argv();
        assert!(words.contains(&"tcg,thread=single".to_owned()));
        assert!(
            words
                .windows(2)
                .any(|pair| pair == ["-icount", "shift=0,sleep=off"])
        );
    }
}
