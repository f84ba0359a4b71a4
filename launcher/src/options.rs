// SPDX-License-Identifier: MIT OR Apache-2.0

//! The network options of `cki run`.

use cki_frontend::NetworkOptions;
use cki_session::values::parse_net;
use cki_session::{Connection, IpNet, Network};
use clap::Args;

/// Options of `cki run`.
#[derive(Debug, Default, Args)]
pub struct NetworkArgs {
    /// What the container's network card is connected to: none, user (by passt: what the host reaches, but
    /// not the host itself), or bridge=NAME (a bridge of the host, with --ip)
    #[arg(long, value_name = "NETWORK", default_value = "none")]
    pub network: Connection,
    /// What it has in common with that of `cki-build run`.
    #[command(flatten)]
    pub options: NetworkOptions,
    /// Let the container send to this address or network, and to nothing else but its name servers; may be
    /// repeated
    #[arg(long, value_name = "NETWORK", value_parser = parse_net)]
    pub allow: Vec<IpNet>,
}

impl NetworkArgs {
    /// The network that is asked for.
    ///
    /// # Errors
    /// A sentence, when there is none and something is said of it.
    pub fn wanted(&self) -> anyhow::Result<Option<Network>> {
        let Some(link) = self.network.link() else {
            let said = [
                self.options.publish.is_empty(),
                self.options.ip.is_none(),
                self.allow.is_empty(),
                self.options.rates.rates().is_empty(),
            ];
            anyhow::ensure!(
                said == [true; 4],
                "--publish, --allow, --ip and rates (--ingress-rate, ...) mean nothing without --network user or \
                 bridge=NAME"
            );
            return Ok(None);
        };
        let allow = (!self.allow.is_empty()).then(|| self.allow.clone());
        Ok(Some(self.options.network(link, allow)))
    }
}
