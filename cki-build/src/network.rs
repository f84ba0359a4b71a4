// SPDX-License-Identifier: MIT OR Apache-2.0

//! The network options of `run`, and what they mean for the machine and for a container in it.

use std::collections::HashSet;
use std::net::ToSocketAddrs as _;
use std::str::FromStr;

use clap::Args;

use cki_frontend::{NetworkOptions, Runtime};
use cki_machine::MachineError;
use cki_session::values::parse_net;
use cki_session::{Connection, Container, Host, Interface, IpNet, Network, Publish, Run};

/// Where a container's packets may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// A network, or one address.
    Net(IpNet),
    /// What a name stands for when the container is started.
    Name(String),
}

impl FromStr for Destination {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(net) = parse_net(text) {
            return Ok(Self::Net(net));
        }
        // What can stand in /etc/hosts, where it is going to.
        if text.contains('/') || Host::parse(&format!("{text}:127.0.0.1")).is_err() {
            return Err(
                "expected an address, a network such as 192.0.2.0/24, or a name".to_owned(),
            );
        }
        Ok(Self::Name(text.to_owned()))
    }
}

/// Options of `run`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Args)]
pub struct NetworkArgs {
    /// What the network card is connected to: user (what you reach, but neither your loopback interface
    /// nor other containers; nobody reaches the program but by --publish), none, or bridge=NAME (a bridge
    /// of the machine, with --ip)
    #[arg(long, alias = "net", value_name = "NETWORK", default_value = "user")]
    pub network: Connection,
    /// What it has in common with that of `cki run`.
    #[command(flatten)]
    pub options: NetworkOptions,
    /// Let the container send to this address, network or name, and to nothing else but its name servers;
    /// may be repeated. A name is resolved here, once, and stands in the container's /etc/hosts
    #[arg(long, value_name = "DESTINATION")]
    pub allow: Vec<Destination>,
}

impl NetworkArgs {
    /// No network at all.
    #[must_use]
    pub fn none() -> Self {
        NetworkArgs {
            network: Connection::None,
            ..Self::default()
        }
    }

    /// Whether nothing is said but what is so anyway, or that there is none.
    #[must_use]
    pub fn says_nothing(&self) -> bool {
        let bridge = matches!(self.network, Connection::Bridge(_));
        !bridge && self.allow.is_empty() && self.options == NetworkOptions::default()
    }

    /// Whether the options mean something together, and with this runtime.
    ///
    /// # Errors
    /// [`MachineError::Request`].
    pub fn check(&self, runtime: Runtime) -> Result<(), MachineError> {
        let refused = |text: &str| Err(MachineError::Request(text.to_owned()));
        let options = &self.options;
        self.check_ports(runtime)?;
        let limited = !options.rates.rates().is_empty();
        let of_a_card = options.ip.is_some() || !self.allow.is_empty() || limited;
        if self.network == Connection::None && (of_a_card || !options.publish.is_empty()) {
            return refused(
                "--publish, --allow, --ip and rates (--ingress-rate, ...) mean nothing with --network none",
            );
        }
        let bridge = matches!(self.network, Connection::Bridge(_));
        let of_containers = bridge || of_a_card;
        if runtime != Runtime::Cki && of_containers {
            return refused(
                "--allow, --ip, rates (--ingress-rate, ...) and --network bridge=NAME are about a container; with \
                 --runtime native or host the program is not in one",
            );
        }
        Ok(())
    }

    /// Whether each port here leads to one place.
    fn check_ports(&self, runtime: Runtime) -> Result<(), MachineError> {
        // As they are asked for: the hops behind know nothing of addresses here.
        let network = Network {
            publish: self.options.published().collect(),
            ..Network::user()
        };
        let ports = network.publish.clone();
        let mut container = Container::new(Container::DEFAULT_MEMORY);
        container.network = Some(network);
        let run = Run {
            container: Some(container),
            ..Run::new(["true"])
        };
        run.check()
            .map_err(|error| MachineError::Request(error.to_string()))?;
        for (at, port) in ports.iter().enumerate() {
            let other = |other: &&Publish| {
                (other.protocol, other.host) == (port.protocol, port.host)
                    && other.container != port.container
            };
            if runtime == Runtime::Cki && ports[..at].iter().any(|port| other(&port)) {
                return Err(MachineError::Request(format!(
                    "the port {} of several addresses has to lead to one port of the program",
                    port.host
                )));
            }
        }
        Ok(())
    }

    /// The machine's card.
    #[must_use]
    pub fn machine(&self, runtime: Runtime) -> Option<cki_machine::MachineNetwork> {
        let contained = runtime == Runtime::Cki;
        let publish = self.options.published().map(|port| outer(port, contained));
        (self.network != Connection::None).then(|| cki_machine::MachineNetwork {
            publish: publish.collect(),
        })
    }

    /// How the machine's card is set up. What programs are told goes to a container, if there is one.
    #[must_use]
    pub fn interface(&self, runtime: Runtime) -> Option<Interface> {
        let mut interface = self.machine(runtime)?.interface();
        if runtime != Runtime::Cki {
            interface.hosts.clone_from(&self.options.add_host);
            if !self.options.dns.is_empty() {
                interface.nameservers.clone_from(&self.options.dns);
            }
        }
        Some(interface)
    }

    /// The container's network; names are resolved.
    ///
    /// # Errors
    /// [`MachineError::Request`] for a name that nobody knows.
    pub fn container(&self) -> Result<Option<Network>, MachineError> {
        let Some(link) = self.network.link() else {
            return Ok(None);
        };
        let (allow, names) = self.resolved()?;
        let allow = (!self.allow.is_empty()).then_some(allow);
        let mut network = self.options.network(link, allow);
        for port in &mut network.publish {
            *port = inner(*port);
        }
        // Ports of several addresses of ours lead to one of the machine's.
        let mut seen = HashSet::new();
        network.publish.retain(|port| seen.insert(*port));
        network.hosts.extend(names);
        Ok(Some(network))
    }

    /// Where packets may go, and the names that stand for some of it.
    fn resolved(&self) -> Result<(Vec<IpNet>, Vec<Host>), MachineError> {
        let (mut allow, mut hosts) = (Vec::new(), Vec::new());
        for destination in &self.allow {
            match destination {
                Destination::Net(net) => allow.push(*net),
                Destination::Name(name) => {
                    let unknown = |error: std::io::Error| {
                        MachineError::Request(format!(
                            "--allow {name}: cannot resolve the name: {error}"
                        ))
                    };
                    // The port is of no importance.
                    for address in (name.as_str(), 0).to_socket_addrs().map_err(unknown)? {
                        let address = address.ip();
                        allow.push(address.into());
                        let name = name.clone();
                        hosts.push(Host { name, address });
                    }
                }
            }
        }
        Ok((allow, hosts))
    }
}

/// The rule that leads from our port into the machine; with a container, on to the launcher's port there,
/// which has our port's number.
fn outer(port: Publish, contained: bool) -> Publish {
    let container = if contained { port.host } else { port.container };
    Publish { container, ..port }
}

/// The rule that leads from the machine's port into the container.
fn inner(port: Publish) -> Publish {
    Publish {
        address: None,
        ..port
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Words {
        #[command(flatten)]
        network: NetworkArgs,
    }

    fn parse(line: &str) -> Result<NetworkArgs, clap::Error> {
        let words = std::iter::once("run").chain(line.split_whitespace());
        Words::try_parse_from(words).map(|words| words.network)
    }

    #[test]
    fn what_the_options_say_nothing_about_is_the_user_network() {
        let args = parse("--net user").unwrap();
        assert_eq!(parse("").unwrap(), args);
        assert_eq!(args, NetworkArgs::default());
        assert_eq!(
            args.machine(Runtime::Cki),
            Some(cki_machine::MachineNetwork::default())
        );
        assert_eq!(args.container().unwrap(), Some(Network::user()));
        assert_eq!(NetworkArgs::none().container().unwrap(), None);
        assert_eq!(NetworkArgs::none().interface(Runtime::Native), None);
    }

    #[test]
    fn a_published_port_leads_through_both_hops() {
        let args = parse("-p 127.0.0.1:8080:80").unwrap();
        let hop = |text: &str| vec![text.parse::<Publish>().unwrap()];
        let machine = |runtime| args.machine(runtime).unwrap().publish;
        assert_eq!(machine(Runtime::Cki), hop("127.0.0.1:8080:8080"));
        assert_eq!(args.container().unwrap().unwrap().publish, hop("8080:80"));
        assert_eq!(machine(Runtime::Native), hop("127.0.0.1:8080:80"));
    }

    #[test]
    fn ranges_and_several_addresses_of_a_port_lead_through_both_hops() {
        let args = parse("-p 127.0.0.1:8000-8001:80-81/udp -p 127.0.0.2:8000:80/udp").unwrap();
        let hops = |texts: &[&str]| -> Vec<Publish> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        assert_eq!(
            args.machine(Runtime::Cki).unwrap().publish,
            hops(&[
                "127.0.0.1:8000:8000/udp",
                "127.0.0.1:8001:8001/udp",
                "127.0.0.2:8000:8000/udp"
            ])
        );
        let network = args.container().unwrap().unwrap();
        assert_eq!(network.publish, hops(&["8000:80/udp", "8001:81/udp"]));
        let many = parse("-p 1000-1255:1000-1255 -p 80:80").unwrap();
        let error = many.check(Runtime::Native).unwrap_err().to_string();
        assert!(error.contains("257 ports"), "{error}");
        let apart = parse("-p 127.0.0.1:80:1 -p 127.0.0.2:80:2").unwrap();
        apart.check(Runtime::Native).unwrap();
        args.check(Runtime::Cki).unwrap();
        let fits = parse("-p 1000-1255:1000-1255").unwrap();
        fits.check(Runtime::Native).unwrap();
    }

    #[test]
    fn names_go_to_whoever_runs_the_program() {
        let args = parse("--add-host db:192.0.2.7 --dns 192.0.2.53").unwrap();
        let native = args.interface(Runtime::Native).unwrap();
        assert_eq!(native.hosts, args.options.add_host);
        assert_eq!(native.nameservers, args.options.dns);
        let machine = args.interface(Runtime::Cki).unwrap();
        assert!(machine.hosts.is_empty() && machine.nameservers != args.options.dns);
        let container = args.container().unwrap().unwrap();
        assert_eq!(
            (container.hosts, container.nameservers),
            (args.options.add_host, args.options.dns)
        );
    }

    #[test]
    fn a_name_that_is_allowed_stands_in_the_hosts_file() {
        let args = parse("--allow localhost --allow 192.0.2.1/24").unwrap();
        let network = args.container().unwrap().unwrap();
        let allow = network.allow.unwrap();
        assert!(
            allow.contains(&"192.0.2.0/24".parse().unwrap()),
            "{allow:?}"
        );
        assert!(network.hosts.iter().any(|host| host.name == "localhost"));
        let unknown = parse("--allow nobody.invalid").unwrap();
        let error = unknown.container().unwrap_err().to_string();
        assert!(error.contains("nobody.invalid"), "{error}");
    }

    #[test]
    fn rates_are_the_containers() {
        let args = "--ingress-rate 1M --egress-rate 2M+8M --ingress-packets 3 --egress-packets 4";
        let args = parse(args).unwrap();
        args.check(Runtime::Cki).unwrap();
        let rates = args.container().unwrap().unwrap().rates;
        let text = |rate: Option<cki_session::Rate>| rate.unwrap().to_string();
        let (ingress, egress) = (rates.ingress(), rates.egress());
        assert_eq!(text(ingress.bytes) + &text(ingress.operations), "1M3");
        assert_eq!(text(egress.bytes) + &text(egress.operations), "2M+8M4");
    }

    #[test]
    fn options_that_mean_nothing_are_refused() {
        for (line, runtime, part) in [
            ("--network none -p 1:1", Runtime::Cki, "--publish"),
            ("--allow 192.0.2.1", Runtime::Native, "container"),
            ("-p 80:80 -p 80:80", Runtime::Native, "published twice"),
            ("-p 80:80 -p 80:80", Runtime::Cki, "published twice"),
            ("-p 80:80 -p 127.0.0.1:80:80", Runtime::Cki, "twice"),
            (
                "-p 127.0.0.1:80:1 -p 127.0.0.2:80:2",
                Runtime::Cki,
                "one port of",
            ),
            ("--ip 10.0.0.1/8", Runtime::Host, "container"),
            ("--network bridge=br0", Runtime::Native, "container"),
            ("--egress-rate 1M", Runtime::Native, "container"),
            ("--ingress-packets 9", Runtime::Host, "container"),
            ("--network none --egress-rate 1M", Runtime::Cki, "rates"),
        ] {
            let error = parse(line).unwrap().check(runtime).unwrap_err().to_string();
            assert!(error.contains(part), "{line}: {error}");
        }
        for line in [
            "--network wifi",
            "--network bridge=",
            "-p 80",
            "-p 0:80",
            "-p 80:80/sctp",
            "-p 80-82:80-81",
            "-p 82-80:82-80",
            "-p 80-:80-",
            "-p x:80:80",
            "--dns example",
            "--add-host a",
            "--add-host a_b\u{e9}:1.2.3.4",
            "--ip 10.0.0.1",
            "--allow 10.0.0.0/33",
            "--allow a/b",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
        let error = parse("--ip 10.0.0.1").unwrap_err().to_string();
        assert!(error.contains("ADDRESS/LENGTH, such as"), "{error}");
    }
}
