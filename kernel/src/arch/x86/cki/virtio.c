// SPDX-License-Identifier: GPL-2.0-only
/*
 * virtio devices of a CKI guest: the register layout of virtio-mmio (virtio 1.2,
 * section 4.2.2), version 2, with hypercalls in place of loads and stores.
 */
#include <linux/interrupt.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <uapi/linux/virtio_mmio.h>

#include "guest.h"

#define VIRTIO_MMIO_MAGIC	0x74726976	/* "virt" */

struct cki_virtio {
	struct virtio_device vdev;
	u32 index;
	int irq;
};

#define to_cki(v)	container_of(v, struct cki_virtio, vdev)

static u64 read_register(struct cki_virtio *device, u32 offset, u32 size)
{
	u64 value;

	if (cki_call_value(CKI_HC_MMIO_READ, device->index, offset, size, 0,
			   &value))
		return 0;
	return value;
}

static void write_register(struct cki_virtio *device, u32 offset, u32 size,
			   u64 value)
{
	long status = cki_call(CKI_HC_MMIO_WRITE, device->index, offset, size,
			       value);

	if (status)
		dev_warn_ratelimited(&device->vdev.dev,
				     "register %#x: error %ld\n", offset, -status);
}

static u32 read32(struct cki_virtio *device, u32 offset)
{
	return read_register(device, offset, 4);
}

static void write32(struct cki_virtio *device, u32 offset, u32 value)
{
	write_register(device, offset, 4, value);
}

static void write_address(struct cki_virtio *device, u32 low, u64 address)
{
	write32(device, low, lower_32_bits(address));
	write32(device, low + 4, upper_32_bits(address));
}

static u64 cki_get_features(struct virtio_device *vdev)
{
	struct cki_virtio *device = to_cki(vdev);
	u64 features;

	write32(device, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
	features = (u64)read32(device, VIRTIO_MMIO_DEVICE_FEATURES) << 32;
	write32(device, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
	return features | read32(device, VIRTIO_MMIO_DEVICE_FEATURES);
}

static int cki_finalize_features(struct virtio_device *vdev)
{
	struct cki_virtio *device = to_cki(vdev);

	vring_transport_features(vdev);
	if (!__virtio_test_bit(vdev, VIRTIO_F_VERSION_1)) {
		dev_err(&vdev->dev, "device is not virtio 1\n");
		return -EINVAL;
	}

	write32(device, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	write32(device, VIRTIO_MMIO_DRIVER_FEATURES, vdev->features >> 32);
	write32(device, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	write32(device, VIRTIO_MMIO_DRIVER_FEATURES, (u32)vdev->features);
	return 0;
}

/* Registers of 1, 2, 4 and 8 bytes; anything else byte by byte. */
static u32 access_size(unsigned int length)
{
	return length == 2 || length == 4 || length == 8 ? length : 1;
}

static void cki_get(struct virtio_device *vdev, unsigned int offset,
		    void *buffer, unsigned int length)
{
	u32 size = access_size(length);
	unsigned int i;

	for (i = 0; i < length; i += size) {
		u64 value = read_register(to_cki(vdev),
					  VIRTIO_MMIO_CONFIG + offset + i, size);

		memcpy(buffer + i, &value, size);
	}
}

static void cki_set(struct virtio_device *vdev, unsigned int offset,
		    const void *buffer, unsigned int length)
{
	u32 size = access_size(length);
	unsigned int i;

	for (i = 0; i < length; i += size) {
		u64 value = 0;

		memcpy(&value, buffer + i, size);
		write_register(to_cki(vdev), VIRTIO_MMIO_CONFIG + offset + i,
			       size, value);
	}
}

static u32 cki_generation(struct virtio_device *vdev)
{
	return read32(to_cki(vdev), VIRTIO_MMIO_CONFIG_GENERATION);
}

static u8 cki_get_status(struct virtio_device *vdev)
{
	return read32(to_cki(vdev), VIRTIO_MMIO_STATUS);
}

static void cki_set_status(struct virtio_device *vdev, u8 status)
{
	write32(to_cki(vdev), VIRTIO_MMIO_STATUS, status);
}

static void cki_reset(struct virtio_device *vdev)
{
	write32(to_cki(vdev), VIRTIO_MMIO_STATUS, 0);
}

static bool cki_notify(struct virtqueue *vq)
{
	write32(to_cki(vq->vdev), VIRTIO_MMIO_QUEUE_NOTIFY, vq->index);
	return true;
}

/*
 * The rings are in memory, and each register is two world switches, so the rings
 * are looked at first. The event is this device's own and gone once taken, so
 * that nothing has to be acknowledged. The reason is asked for where no ring has
 * anything: the device has broken, or its configuration has changed.
 *
 * Where a device has used buffers and then broken, one event stands for both: the
 * rings are served and the reason is not read. No driver of Linux's acts on
 * NEEDS_RESET; a device whose configuration changes would lose that.
 */
static irqreturn_t cki_virtio_interrupt(int irq, void *opaque)
{
	struct cki_virtio *device = opaque;
	struct virtio_device *vdev = &device->vdev;
	irqreturn_t result = IRQ_NONE;
	struct virtqueue *vq;
	u32 status;

	virtio_device_for_each_vq(vdev, vq)
		result |= vring_interrupt(irq, vq);
	if (result != IRQ_NONE)
		return result;

	status = read32(device, VIRTIO_MMIO_INTERRUPT_STATUS);
	write32(device, VIRTIO_MMIO_INTERRUPT_ACK, status);
	if (status & VIRTIO_MMIO_INT_CONFIG)
		virtio_config_changed(vdev);
	return status ? IRQ_HANDLED : IRQ_NONE;
}

static void cki_del_vqs(struct virtio_device *vdev)
{
	struct cki_virtio *device = to_cki(vdev);
	struct virtqueue *vq, *next;

	list_for_each_entry_safe(vq, next, &vdev->vqs, list) {
		write32(device, VIRTIO_MMIO_QUEUE_SEL, vq->index);
		write32(device, VIRTIO_MMIO_QUEUE_READY, 0);
		vring_del_virtqueue(vq);
	}
	free_irq(device->irq, device);
}

static struct virtqueue *setup_vq(struct virtio_device *vdev, unsigned int index,
				  struct virtqueue_info *info)
{
	struct cki_virtio *device = to_cki(vdev);
	struct virtqueue *vq;
	u32 size;

	write32(device, VIRTIO_MMIO_QUEUE_SEL, index);
	size = read32(device, VIRTIO_MMIO_QUEUE_NUM_MAX);
	if (!size || read32(device, VIRTIO_MMIO_QUEUE_READY))
		return ERR_PTR(-ENOENT);

	vq = vring_create_virtqueue(index, size, PAGE_SIZE, vdev, true, true,
				    info->ctx, cki_notify, info->callback,
				    info->name);
	if (!vq)
		return ERR_PTR(-ENOMEM);

	write32(device, VIRTIO_MMIO_QUEUE_NUM, virtqueue_get_vring_size(vq));
	write_address(device, VIRTIO_MMIO_QUEUE_DESC_LOW,
		      virtqueue_get_desc_addr(vq));
	write_address(device, VIRTIO_MMIO_QUEUE_AVAIL_LOW,
		      virtqueue_get_avail_addr(vq));
	write_address(device, VIRTIO_MMIO_QUEUE_USED_LOW,
		      virtqueue_get_used_addr(vq));
	write32(device, VIRTIO_MMIO_QUEUE_READY, 1);
	return vq;
}

static int cki_find_vqs(struct virtio_device *vdev, unsigned int count,
			struct virtqueue *vqs[], struct virtqueue_info infos[],
			struct irq_affinity *affinity)
{
	struct cki_virtio *device = to_cki(vdev);
	unsigned int i, queue = 0;
	int error;

	error = request_irq(device->irq, cki_virtio_interrupt, 0,
			    dev_name(&vdev->dev), device);
	if (error)
		return error;

	for (i = 0; i < count; i++) {
		vqs[i] = NULL;
		if (!infos[i].name)
			continue;
		vqs[i] = setup_vq(vdev, queue++, &infos[i]);
		if (IS_ERR(vqs[i])) {
			error = PTR_ERR(vqs[i]);
			cki_del_vqs(vdev);
			return error;
		}
	}
	return 0;
}

static const char *cki_bus_name(struct virtio_device *vdev)
{
	return "cki";
}

static const struct virtio_config_ops cki_config_ops = {
	.get			= cki_get,
	.set			= cki_set,
	.generation		= cki_generation,
	.get_status		= cki_get_status,
	.set_status		= cki_set_status,
	.reset			= cki_reset,
	.find_vqs		= cki_find_vqs,
	.del_vqs		= cki_del_vqs,
	.get_features		= cki_get_features,
	.finalize_features	= cki_finalize_features,
	.bus_name		= cki_bus_name,
};

static void cki_release(struct device *dev)
{
	kfree(to_cki(dev_to_virtio(dev)));
}

static int __init add_device(struct device *parent, u32 index)
{
	struct cki_virtio *device;
	u32 version;
	int error;

	device = kzalloc(sizeof(*device), GFP_KERNEL);
	if (!device)
		return -ENOMEM;

	device->index = index;
	device->vdev.dev.parent = parent;
	device->vdev.dev.release = cki_release;
	device->vdev.config = &cki_config_ops;

	version = read32(device, VIRTIO_MMIO_VERSION);
	if (read32(device, VIRTIO_MMIO_MAGIC_VALUE) != VIRTIO_MMIO_MAGIC ||
	    version != 2) {
		pr_warn("cki: device %u is no virtio-mmio version 2\n", index);
		kfree(device);
		return -ENODEV;
	}

	device->vdev.id.device = read32(device, VIRTIO_MMIO_DEVICE_ID);
	device->vdev.id.vendor = read32(device, VIRTIO_MMIO_VENDOR_ID);
	device->irq = cki_event_to_irq(CKI_EVENT_DEVICE + index);
	/* ID 0: an empty slot. */
	if (!device->vdev.id.device || device->irq < 0) {
		kfree(device);
		return -ENODEV;
	}

	error = register_virtio_device(&device->vdev);
	if (error)
		put_device(&device->vdev.dev);
	return error;
}

static int __init cki_virtio_init(void)
{
	struct platform_device *parent;
	u32 i;

	if (!cki_guest())
		return 0;

	parent = platform_device_register_simple("cki", PLATFORM_DEVID_NONE,
						 NULL, 0);
	if (IS_ERR(parent))
		return PTR_ERR(parent);

	for (i = 0; i < cki_start_info->device_count; i++)
		add_device(&parent->dev, i);
	return 0;
}
device_initcall(cki_virtio_init);
