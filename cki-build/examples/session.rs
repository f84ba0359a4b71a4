use cki_build::session::*;
use cki_build::units::MemoryMib;
use std::path::Path;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let host = HostImage::load(Path::new("/tmp/h4/host")).unwrap();
    let mut m = Machine::new(
        Path::new("/usr"),
        host,
        a[1].clone().into(),
        MemoryMib::new(512).unwrap(),
        1,
    );
    m.firmware = None;
    let io = Io {
        stdin: Box::new(std::io::stdin()),
        stdout: Box::new(std::io::stdout()),
        stderr: Box::new(std::io::stderr()),
        console: if std::env::var("VERB").is_ok() {
            Some(Box::new(std::io::stderr()))
        } else {
            None
        },
    };
    let r = cki_session::Run {
        argv: a[2..].to_vec(),
        env: vec![],
        cwd: "/root".into(),
        hostname: "cki".into(),
    };
    let e = cki_build::session::run(&m, r, None, io, |_| {}, || {});
    match e {
        Ok(e) => {
            eprintln!(
                "{:?} hello {:?} started {:?} first {:?} end {:?}",
                e.outcome,
                e.times.hello.map(|t| t - e.times.start),
                e.times.started.map(|t| t - e.times.start),
                e.times.first_byte.map(|t| t - e.times.start),
                e.times.end - e.times.start
            );
        }
        Err(e) => {
            eprintln!("ERR {e}");
            std::process::exit(125)
        }
    }
}
