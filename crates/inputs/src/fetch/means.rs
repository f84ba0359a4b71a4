// SPDX-License-Identifier: MIT OR Apache-2.0

//! What each download needs.

use std::sync::Arc;

use super::disk::Disk;
use super::download::Policy;
use crate::downloads::Downloads;
use crate::shown::Shown;
use crate::transport::Transport;
use cki_process::cancel::Cancel;

/// Where from, where to, and who is told.
#[derive(Clone)]
pub(super) struct Means {
    pub downloads: Downloads,
    pub transport: Arc<Transport>,
    pub disk: Arc<dyn Disk>,
    pub shown: Arc<Shown>,
    pub cancel: Cancel,
    pub policy: Policy,
}
