// SPDX-License-Identifier: MIT OR Apache-2.0

//! Hands the buffers of a queue to a device, a bounded number at a time.

use virtio_queue::{DescriptorChain, Queue, QueueOwnedT, QueueT};
use vm_memory::GuestMemoryMmap;

use super::{DriverFault, Next, QUEUE_SIZE};

/// The next chain of a queue. A chain has no more descriptors than its queue has entries, an indirect one
/// neither (2.7.5.3.1): to look at 65,535 of them would take longer than a turn may.
pub(super) fn next<'m>(
    memory: &'m GuestMemoryMmap,
    queue: &mut Queue,
) -> Result<Option<DescriptorChain<&'m GuestMemoryMmap>>, DriverFault> {
    let Some(chain) = queue.iter(memory)?.next() else {
        return Ok(None);
    };
    match chain.clone().nth(usize::from(QUEUE_SIZE)) {
        None => Ok(Some(chain)),
        Some(_) => Err(DriverFault::Request("a chain longer than its queue")),
    }
}

/// What became of a buffer.
pub(super) enum Step {
    /// Done, with so many bytes written to it.
    Used(u32),
    /// The device has it, and will say when it is done.
    Taken,
    /// It stays the first of its queue, until something happens.
    Keep,
    /// It stays the first of its queue, for now.
    Later,
}

/// Hands the buffers of a queue to `each` until there are none or one is kept; not more of them at a time
/// than the queue holds, since a driver may add others as fast.
pub(super) fn drain<'m>(
    memory: &'m GuestMemoryMmap,
    queue: &mut Queue,
    mut each: impl FnMut(DescriptorChain<&'m GuestMemoryMmap>) -> Result<Step, DriverFault>,
) -> Result<Next, DriverFault> {
    let (mut used, mut seen) = (false, 0);
    let mut kept = None;
    while kept.is_none() {
        queue.disable_notification(memory)?;
        while let Some(chain) = next(memory, queue)? {
            let head = chain.head_index();
            let step = each(chain)?;
            match step {
                Step::Used(length) => {
                    queue.add_used(memory, head, length)?;
                    used = true;
                }
                Step::Taken => {}
                Step::Keep | Step::Later => {
                    queue.go_to_previous_position();
                    kept = Some(step);
                    break;
                }
            }
            seen += 1;
            if seen > QUEUE_SIZE {
                kept = Some(Step::Later);
                break;
            }
        }
        if kept.is_some() || !queue.enable_notification(memory)? {
            break;
        }
    }
    Ok(Next {
        notify: used && queue.needs_notification(memory)?,
        more: matches!(kept, Some(Step::Later)),
        ..Next::default()
    })
}
