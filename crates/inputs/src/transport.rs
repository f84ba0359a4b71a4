// SPDX-License-Identifier: MIT OR Apache-2.0

//! Opening a file on a mirror, from some offset on.

use std::env;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::sync::OnceLock;
use std::time::Duration;

use reqwest::blocking::Client;
use reqwest::header::{CONTENT_RANGE, RANGE};
use reqwest::{NoProxy, Proxy, StatusCode};

use cki_debian::apt_proxy::Proxies;

/// A file's contents from `start` on.
pub(super) struct Body {
    /// Offset of the first byte that `reader` gives: what was asked for, or 0 from servers that do not know ranges.
    pub start: u64,
    pub reader: Box<dyn Read + Send>,
}

/// Why a mirror gave no contents.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It does not have the file (404, 410).
    Gone,
    /// It has the file, but no bytes from that offset on (416).
    NothingThere,
    /// It may work a moment later: connection problems, overload.
    Transient(String),
    /// Asking again is of no use.
    Permanent(String),
}

/// Speaks HTTP and reads `file:` URIs.
pub(super) struct Transport {
    patience: Duration,
    proxies: Proxied,
    client: OnceLock<Client>,
}

/// Finds the proxies, which may take asking other programs.
pub(super) type Proxied = Box<dyn Fn() -> Proxies + Send + Sync>;

impl Transport {
    /// `patience` bounds connecting and each wait for more bytes, not the whole download. If there are no `proxies`, those of
    /// the environment are used.
    pub fn new(patience: Duration, proxies: Proxied) -> Self {
        Self {
            patience,
            proxies,
            client: OnceLock::new(),
        }
    }

    /// What speaks HTTP. It is made when something is to be downloaded, as that takes longer than finding that nothing is.
    pub fn client(&self) -> Result<&Client, String> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = self.make()?;
        Ok(self.client.get_or_init(|| client))
    }

    fn make(&self) -> Result<Client, String> {
        let mut builder = Client::builder()
            .user_agent(concat!("cki-build/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(self.patience)
            .timeout(self.patience);
        let proxies = (self.proxies)();
        let no_proxy =
            not_through_a_proxy(env::var("no_proxy").or_else(|_| env::var("NO_PROXY")).ok());
        let http = proxies.http.as_ref().map(Proxy::http);
        let https = proxies.https.as_ref().map(Proxy::https);
        for proxy in [http, https].into_iter().flatten() {
            let proxy = proxy.map_err(|e| describe(&e))?;
            builder = builder.proxy(proxy.no_proxy(NoProxy::from_string(&no_proxy)));
        }
        builder.build().map_err(|e| describe(&e))
    }

    pub fn open(&self, url: &str, offset: u64) -> Result<Body, Refusal> {
        match url.strip_prefix("file:") {
            Some(path) => open_file(path, offset),
            None => self.open_http(url, offset),
        }
    }

    fn open_http(&self, url: &str, offset: u64) -> Result<Body, Refusal> {
        let mut request = self.client().map_err(Refusal::Permanent)?.get(url);
        if offset > 0 {
            request = request.header(RANGE, format!("bytes={offset}-"));
        }
        let response = request.send().map_err(|e| {
            if e.is_builder() || e.is_redirect() {
                Refusal::Permanent(describe(&e))
            } else {
                Refusal::Transient(describe(&e))
            }
        })?;
        match response.status() {
            StatusCode::OK => Ok(Body {
                start: 0,
                reader: Box::new(response),
            }),
            StatusCode::PARTIAL_CONTENT => {
                let range = response
                    .headers()
                    .get(CONTENT_RANGE)
                    .and_then(|v| v.to_str().ok());
                let start = range.and_then(|r| {
                    r.strip_prefix("bytes ")?
                        .split_once('-')?
                        .0
                        .parse::<u64>()
                        .ok()
                });
                match start {
                    Some(start) if start == offset => Ok(Body {
                        start,
                        reader: Box::new(response),
                    }),
                    _ => Err(Refusal::Permanent(format!(
                        "asked for bytes from {offset} on, it sent others"
                    ))),
                }
            }
            StatusCode::RANGE_NOT_SATISFIABLE => Err(Refusal::NothingThere),
            StatusCode::NOT_FOUND | StatusCode::GONE => Err(Refusal::Gone),
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
                Err(Refusal::Transient(response.status().to_string()))
            }
            status if status.is_server_error() => Err(Refusal::Transient(status.to_string())),
            status => Err(Refusal::Permanent(status.to_string())),
        }
    }
}

/// The hosts that are asked directly: this machine, and those that the environment names.
fn not_through_a_proxy(named: Option<String>) -> String {
    let own = "localhost,127.0.0.0/8,::1";
    named.map_or_else(|| own.to_owned(), |more| format!("{own},{more}"))
}

fn open_file(path: &str, offset: u64) -> Result<Body, Refusal> {
    // file:/path, file:///path and file://localhost/path are the same (RFC 8089).
    let path = path
        .strip_prefix("//localhost")
        .or_else(|| path.strip_prefix("//"))
        .unwrap_or(path);
    let mut file = File::open(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => Refusal::Gone,
        _ => Refusal::Permanent(e.to_string()),
    })?;
    file.seek(SeekFrom::Start(offset))
        .map_err(|e| Refusal::Permanent(e.to_string()))?;
    Ok(Body {
        start: offset,
        reader: Box::new(file),
    })
}

/// The message of an error's first cause ("Connection refused"): what reqwest wraps around it ("error sending request for
/// url ...: client error (Connect): tcp connect error") says nothing more.
pub(super) fn describe(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost.to_string()
}
