// SPDX-License-Identifier: GPL-2.0-only
/* Descriptors of containers: the calls that may be made on one. */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/nospec.h>
#include <linux/uaccess.h>

#include <linux/cki.h>

#include "container.h"
#include "container_descriptor.h"
#include "eventfd.h"
#include "events.h"
#include "pool.h"
#include "sized.h"
#include "start.h"
#include "vcpu_descriptor.h"

static long container_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
	struct cki_container *container = file->private_data;
	void __user *user = (void __user *)argument;
	struct cki_ioeventfd ioeventfd;
	struct cki_event event;
	struct cki_irqfd irqfd;
	struct cki_vcpu *vcpu;
	long result;

	switch (command) {
	case CKI_CREATE_VCPU:
		if (argument > U32_MAX)
			return -EINVAL;
		mutex_lock(&container->lock);
		result = READ_ONCE(container->state) == CKI_NEW ?
				 cki_vcpu_create(container, argument) : -EBUSY;
		mutex_unlock(&container->lock);
		return result;
	case CKI_START:
		return cki_container_start(container, file, user);
	case CKI_RAISE_EVENT:
		if (copy_from_user(&event, user, sizeof(event)))
			return -EFAULT;
		if (event.vcpu >= container->vcpu_count)
			return -ENOENT;
		event.vcpu = array_index_nospec(event.vcpu, CKI_VCPUS_SUPPORTED);
		vcpu = cki_vcpu_of(container, event.vcpu);
		return vcpu ? cki_vcpu_raise(vcpu, event.event) : -ENOENT;
	case CKI_IOEVENTFD:
		if (copy_from_user(&ioeventfd, user, sizeof(ioeventfd)))
			return -EFAULT;
		return cki_ioeventfd_add(container, &ioeventfd);
	case CKI_IRQFD:
		if (copy_from_user(&irqfd, user, sizeof(irqfd)))
			return -EFAULT;
		return cki_irqfd_add(container, &irqfd);
	case CKI_KILL:
		if (argument)
			return -EINVAL;
		cki_container_kill(container);
		return 0;
	default:
		return -ENOTTY;
	}
}

static int container_release(struct inode *inode, struct file *file)
{
	cki_container_put(file->private_data);
	return 0;
}

static const struct file_operations container_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = container_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.mmap = cki_container_mmap,
	.release = container_release,
	.llseek = noop_llseek,
};

int cki_container_create(void __user *argument)
{
	struct cki_container *container;
	struct cki_create create;
	struct file *file;
	int error, fd;

	error = cki_read_sized(&create, sizeof(create), CKI_CREATE_SIZE_LEAST, argument);
	if (error)
		return error;
	if (create.abi_version != CKI_ABI_VERSION)
		return -EPROTO;
	if (create.flags || create.reserved ||
	    !create.vcpus || create.vcpus > CKI_VCPUS_SUPPORTED ||
	    !create.memory_size || create.memory_size & (CKI_CHUNK_SIZE - 1) ||
	    create.memory_size > CKI_FRAMES_MAX * CKI_FRAME_SIZE)
		return -EINVAL;
	if (create.memory_size > cki_pool_size())
		return -ENOSPC;
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		return fd;
	container = cki_container_new(create.memory_size, create.vcpus);
	if (IS_ERR(container)) {
		put_unused_fd(fd);
		return PTR_ERR(container);
	}
	create.segment_count = container->segment_count;
	memcpy(create.segments, container->segments, sizeof(create.segments));
	file = anon_inode_create_getfile("[cki-container]", &container_fops, container, O_RDWR,
					 NULL);
	if (IS_ERR(file)) {
		put_unused_fd(fd);
		cki_container_put(container);
		return PTR_ERR(file);
	}
	if (cki_write_sized(argument, &create, sizeof(create), create.size)) {
		put_unused_fd(fd);
		fput(file);
		return -EFAULT;
	}
	fd_install(fd, file);
	return fd;
}
