// SPDX-License-Identifier: MIT OR Apache-2.0

//! `docs/reference/session.schema.json` takes what these types write, and refuses what they refuse.

mod examples;

use boon::{Compiler, SchemaIndex, Schemas};
use cki_session::{
    Container, Event, Exec, Host, Interface, Link, Memory, Network, Process, ProcessId, Publish,
    Request, Serve, StreamPorts, Terminal, Volume, decode,
};
use serde_json::Value;

use examples::{run, wire};

struct Schema {
    schemas: Schemas,
    compiler: Compiler,
    text: Value,
}

impl Schema {
    fn read() -> Self {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../docs/reference/session.schema.json"
        );
        let text = std::fs::read_to_string(path).expect("the schema");
        let text: Value = serde_json::from_str(&text).expect("JSON");
        let mut compiler = Compiler::new();
        compiler.enable_format_assertions();
        let id = text["$id"].as_str().expect("its name").to_owned();
        compiler.add_resource(&id, text.clone()).expect("a schema");
        Schema {
            schemas: Schemas::new(),
            compiler,
            text,
        }
    }

    /// Of one definition.
    fn of(&mut self, name: &str) -> SchemaIndex {
        let id = self.text["$id"].as_str().expect("its name");
        let place = format!("{id}#/$defs/{name}");
        let compiled = self.compiler.compile(&place, &mut self.schemas);
        compiled.unwrap_or_else(|error| panic!("{place}: {error}"))
    }

    /// What is wrong with a message, if anything is.
    fn refuses(&mut self, name: &str, message: &str) -> Option<String> {
        let message: Value = serde_json::from_str(message).expect("JSON");
        let index = self.of(name);
        let found = self.schemas.validate(&message, index);
        found.err().map(|error| error.to_string())
    }
}

/// Requests with everything that a request can have.
fn full() -> Vec<Request> {
    let hosts = vec![Host::parse("db:192.0.2.7").unwrap()];
    let mut container = Container::new(Memory::constant(64));
    container.name = Some("web".parse().unwrap());
    container.network = Some(Network {
        link: Link::Bridge("br0".into()),
        publish: Publish::parse_all("[::1]:8080:80/udp").unwrap(),
        address: Some("10.0.2.15/24".parse().unwrap()),
        nameservers: vec!["2001:db8::7".parse().unwrap()],
        hosts: hosts.clone(),
        allow: Some(vec!["192.0.2.0/24".parse().unwrap()]),
        rates: cki_session::NetworkRates {
            ingress_rate: Some("10M+64M".parse().unwrap()),
            ..cki_session::NetworkRates::NONE
        },
    });
    let mut on_user = container.clone();
    on_user.network.as_mut().unwrap().link = Link::User;
    let card = Interface {
        addresses: vec!["10.0.2.15/24".parse().unwrap()],
        gateways: vec!["10.0.2.2".parse().unwrap()],
        nameservers: Vec::new(),
        mtu: Some(1500),
        hosts,
    };
    let with = |container: Container| {
        let mut run = run(&["id"]);
        run.container = Some(container);
        run.interface = Some(card.clone());
        run.image_disk = Some("a".into());
        run.root.volumes = vec![Volume {
            name: "v0".into(),
            path: "/data".into(),
            read_only: true,
        }];
        Request::Run(Box::new(run))
    };
    let mut process = Process::new(["sh"]);
    process.terminal = Some(Terminal::USUAL);
    vec![
        with(container),
        with(on_user),
        Request::Exec(Box::new(Exec {
            id: ProcessId(2),
            process,
            streams: StreamPorts {
                stdin: Some(1025),
                ..StreamPorts::default()
            },
        })),
        Request::Serve(Box::new(Serve {
            pool: Memory::constant(256),
            places: 66,
            interface: Some(card),
        })),
        Request::Stop { grace_ms: 10_000 },
    ]
}

#[test]
fn each_message_that_these_types_write_is_in_the_schema() {
    let mut schema = Schema::read();
    let requests = examples::requests().into_iter().map(|(_, text)| text);
    for text in requests.chain(full().iter().map(wire)) {
        assert_eq!(schema.refuses("Request", &text), None, "{text}");
        decode::<Request>(text.as_bytes()).unwrap();
    }
    for (_, text) in examples::events() {
        assert_eq!(schema.refuses("Event", text), None, "{text}");
    }
}

#[test]
fn a_request_that_is_not_understood_is_refused_by_the_schema_too() {
    let mut schema = Schema::read();
    for (text, _) in examples::refused() {
        assert!(schema.refuses("Request", &text).is_some(), "{text}");
    }
    // A field that has to be there, in each of the objects that a request has.
    let text = wire(&full()[0]);
    let request: Value = serde_json::from_str(&text).unwrap();
    for (place, field) in [
        ("", "id"),
        ("", "process"),
        ("/process", "argv"),
        ("/container", "memory"),
        ("/container/network", "link"),
        ("/container/network/publish/0", "protocol"),
        ("/container/network/hosts/0", "address"),
        ("/interface", "addresses"),
        ("/root/volumes/0", "path"),
    ] {
        let mut less = request.clone();
        let object = less.pointer_mut(place).and_then(Value::as_object_mut);
        object.unwrap().remove(field).expect("it was there");
        let less = less.to_string();
        assert!(decode::<Request>(less.as_bytes()).is_err(), "{less}");
        assert!(schema.refuses("Request", &less).is_some(), "{less}");
    }
}

#[test]
fn an_event_may_say_more_than_the_schema_knows_but_not_less() {
    let mut schema = Schema::read();
    for text in [
        r#"{"type":"started","id":1,"pid":2,"isolation":"full","cgroup":"/a"}"#,
        r#"{"type":"paused","id":1,"since":4}"#,
        r#"{"type":"hello","version":4,"kernel":"6.12","boot_id":"x"}"#,
    ] {
        assert_eq!(schema.refuses("Event", text), None, "{text}");
        decode::<Event>(text.as_bytes()).unwrap();
    }
    for text in [
        r#"{"type":"started","id":1,"pid":2}"#,
        r#"{"type":"started","id":1,"pid":2,"isolation":"half"}"#,
        r#"{"type":"ended","id":1,"outcome":"timed-out"}"#,
        r#"{"type":"ended","id":1,"outcome":{"exited":256}}"#,
        r#"{"type":"hello","version":-1,"kernel":"6.12"}"#,
        r#"{"id":1}"#,
    ] {
        assert!(schema.refuses("Event", text).is_some(), "{text}");
        assert!(decode::<Event>(text.as_bytes()).is_err(), "{text}");
    }
}

/// A request that has `text` where one of these types stands.
fn with(name: &str, text: &Value) -> Value {
    let mut run = serde_json::json!({ "type": "run", "id": 1, "process": { "argv": ["id"] } });
    let container = |more: Value| {
        let mut container = serde_json::json!({ "memory": "64M" });
        let object = container.as_object_mut().unwrap();
        object.extend(more.as_object().unwrap().clone());
        container
    };
    match name {
        "Capability" => run["process"]["capabilities"] = serde_json::json!({ "drop": [text] }),
        "ContainerName" => run["exec"] = text.clone(),
        "IpAddr" => {
            run["interface"] = serde_json::json!({ "addresses": [], "nameservers": [text] });
        }
        "IpNet" => run["interface"] = serde_json::json!({ "addresses": [text] }),
        "Limit" => run["process"]["ulimits"] = serde_json::json!([text]),
        "Memory" => run["pool"] = text.clone(),
        "ProcessId" => run["id"] = text.clone(),
        "Rate" => {
            let disk = serde_json::json!({ "serial": "a", "rates": { "read_bps": text } });
            run["container"] = container(serde_json::json!({ "disks": [disk] }));
        }
        "Signal" => run = serde_json::json!({ "type": "signal", "id": 1, "signal": text }),
        "Tmpfs" => run["root"] = serde_json::json!({ "tmpfs": [text] }),
        "User" => run["process"]["user"] = text.clone(),
        other => panic!("no request has a {other}"),
    }
    run
}

#[test]
fn texts_and_numbers_have_the_form_that_the_schema_says() {
    let mut schema = Schema::read();
    let definitions = schema.text["$defs"].as_object().unwrap().clone();
    let forms = definitions
        .iter()
        .filter_map(|(name, form)| Some((name, form.get("examples")?.as_array()?)));
    let mut tried = 0;
    for (name, examples) in forms {
        for example in examples {
            let request = with(name, example).to_string();
            decode::<Request>(request.as_bytes()).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(schema.refuses("Request", &request), None, "{request}");
            tried += 1;
        }
    }
    assert!(tried > 20, "only {tried}");
    for (name, wrong) in [
        ("Capability", vec!["", "NET RAW", "7"]),
        ("ContainerName", vec!["", "a/b", "..", "-a", "a b"]),
        ("IpAddr", vec!["", "192.0.2", "[::1]", "host"]),
        ("IpNet", vec!["", "10.0.2.15", "net/24", "10.0.2.15/"]),
        (
            "Limit",
            vec!["", "nofile", "files=1", "core=+1", "core=a:1"],
        ),
        ("Memory", vec!["", "M", "12Q", "1..5G", "-1M", ".5G"]),
        ("Rate", vec!["", "M", "1.5M", "10M+", "+5", "-1"]),
        ("Tmpfs", vec!["", "tmp", "/a:x=1", "/a:mode=8"]),
        ("User", vec!["", ":1", "a:", "a:b:c"]),
    ] {
        for text in wrong {
            let request = with(name, &text.into()).to_string();
            assert!(decode::<Request>(request.as_bytes()).is_err(), "{request}");
            assert!(schema.refuses("Request", &request).is_some(), "{request}");
        }
    }
    for (name, wrong) in [
        ("ProcessId", vec![-1_i64, 1 << 32]),
        ("Signal", vec![0, 65]),
    ] {
        for number in wrong {
            let request = with(name, &number.into()).to_string();
            assert!(decode::<Request>(request.as_bytes()).is_err(), "{request}");
            assert!(schema.refuses("Request", &request).is_some(), "{request}");
        }
    }
}
