# The devices of our machines: microvm for `cki-build run`, pc and q35 for disk
# images.  Nothing else is built (configure --without-default-devices).
CONFIG_ISAPC=n
CONFIG_I440FX=y
CONFIG_Q35=y
CONFIG_MICROVM=y
# isa-debug-exit, through which init and the bare-metal tests end the machine
CONFIG_ISA_DEBUG=y
# events in front of a chosen instruction, for tests (-device cki-probe)
CONFIG_CKI_PROBE=y
CONFIG_VIRTIO_MMIO=y
CONFIG_VIRTIO_PCI=y
CONFIG_VIRTIO_9P=y
CONFIG_VIRTIO_BLK=y
CONFIG_VIRTIO_NET=y
CONFIG_VIRTIO_SERIAL=y
CONFIG_VIRTIO_SCSI=y
CONFIG_VIRTIO_RNG=y
CONFIG_VIRTIO_BALLOON=y
# a screen and a network card for the disk image on pc and q35
CONFIG_VGA_PCI=y
CONFIG_E1000_PCI=y
CONFIG_E1000E_PCI_EXPRESS=y
