// SPDX-License-Identifier: MIT OR Apache-2.0

//! Of which NUMA node a container's memory is. For a machine of two nodes, with a CPU each.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::case::Case;
use crate::device::{self, System};
use crate::moved::{own_id, pin};
use cki_abi::limits::FRAME_SIZE;
use cki_abi::start_info::Segment;

/// All of them, by name.
pub fn all() -> Vec<(&'static str, Case)> {
    vec![(
        "memory_is_of_the_creators_node_while_that_has_some",
        Box::new(of_the_creators_node),
    )]
}

/// Where a node's memory lies: first address and end of each of its zones.
struct Zones(Vec<(usize, u64, u64)>);

impl Zones {
    /// As the kernel says it: `Node 1, zone DMA32`, and behind that `spanned` and `start_pfn:`, in pages.
    fn read() -> Result<Self> {
        let text = fs::read_to_string("/proc/zoneinfo")?;
        let mut zones = Vec::new();
        let (mut node, mut spanned) = (None, 0);
        for line in text.lines() {
            let words: Vec<_> = line.split_whitespace().collect();
            match words[..] {
                ["Node", number, "zone", _] => {
                    node = Some(number.trim_end_matches(',').parse()?);
                }
                ["spanned", pages] => spanned = pages.parse::<u64>()? * FRAME_SIZE,
                ["start_pfn:", page] => {
                    let start = page.parse::<u64>()? * FRAME_SIZE;
                    zones.push((node.context("a zone of no node")?, start, start + spanned));
                }
                _ => {}
            }
        }
        Ok(Zones(zones))
    }

    fn node_of(&self, segment: &Segment) -> Result<usize> {
        let holds = |&&(_, start, end): &&(usize, u64, u64)| {
            start <= segment.base && segment.base + segment.size <= end
        };
        let zone = self.0.iter().find(holds);
        let (node, ..) = zone.with_context(|| format!("no node has {:#x}", segment.base))?;
        Ok(*node)
    }
}

/// The nodes of a new container's memory, made by a thread on `cpu`; and the container.
fn made_on(cpu: usize, system: &System, bytes: u64) -> Result<(Vec<usize>, device::Container)> {
    pin(own_id(), cpu)?;
    let zones = Zones::read()?;
    let mut create = device::create(bytes);
    let container = system.create(&mut create).context("CKI_CREATE_CONTAINER")?;
    let segments = &create.segments[..create.segment_count as usize];
    let nodes = segments.iter().map(|segment| zones.node_of(segment));
    Ok((nodes.collect::<Result<_>>()?, container))
}

fn of_the_creators_node() -> Result<()> {
    let system = System::open()?;
    let pool = system.info()?.pool_free;
    let chunk = 2 << 20;
    for node in [1, 0, 1] {
        let (nodes, _) = made_on(node, &system, 2 * chunk)?;
        ensure!(
            nodes.iter().all(|&of| of == node),
            "on {node}, of {nodes:?}"
        );
    }
    // The pool has as much of each. All of node 1's but a chunk, and then two: one of each.
    let (nodes, most) = made_on(1, &system, pool / 2 - chunk)?;
    ensure!(nodes.iter().all(|&of| of == 1), "most, of {nodes:?}");
    let (mut nodes, both) = made_on(1, &system, 2 * chunk)?;
    nodes.sort_unstable();
    ensure!(nodes == [0, 1], "the last of node 1's, of {nodes:?}");
    let (nodes, _) = made_on(1, &system, 2 * chunk)?;
    ensure!(
        nodes.iter().all(|&of| of == 0),
        "none is left, of {nodes:?}"
    );
    drop((most, both));
    Ok(())
}
