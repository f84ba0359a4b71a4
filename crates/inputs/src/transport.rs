// SPDX-License-Identifier: MIT OR Apache-2.0

//! Opening a file on a mirror, from some offset on.

use std::env;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use reqwest::blocking::{Client, RequestBuilder, Response};
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, DATE, RANGE};
use reqwest::{NoProxy, Proxy, StatusCode};

use crate::apt_proxy::Proxies;
use crate::clock;
use crate::proxy::{InForce, Through, not_through_a_proxy};

/// A file's contents from `start` on.
pub(super) struct Body {
    /// Offset of the first byte that `reader` gives: what was asked for, or 0 from servers that do not know ranges.
    pub start: u64,
    pub reader: Box<dyn Read + Send>,
    /// The mirror's clock, if it tells.
    pub date: Option<SystemTime>,
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
    /// The proxy on the way cannot be reached, or does not let us through: no mirror behind it will do better.
    Proxy(Through, String),
}

/// Speaks HTTP and reads `file:` URIs.
pub(super) struct Transport {
    patience: Duration,
    proxies: Proxied,
    made: OnceLock<(Client, InForce)>,
}

/// Finds the proxies, which may take asking other programs.
pub(super) type Proxied = Box<dyn Fn() -> Proxies + Send + Sync>;

impl Transport {
    /// `patience` bounds connecting and each wait for more bytes, not the whole download. If there are no `proxies`,
    /// those of the environment are used.
    pub fn new(patience: Duration, proxies: Proxied) -> Self {
        Self {
            patience,
            proxies,
            made: OnceLock::new(),
        }
    }

    /// Makes what speaks HTTP. That is done when something is to be downloaded, as it takes longer than finding that
    /// nothing is.
    pub fn prepare(&self) -> Result<(), String> {
        self.made().map(drop)
    }

    fn made(&self) -> Result<&(Client, InForce), String> {
        if let Some(made) = self.made.get() {
            return Ok(made);
        }
        let made = self.make()?;
        Ok(self.made.get_or_init(|| made))
    }

    fn make(&self) -> Result<(Client, InForce), String> {
        let mut builder = Client::builder()
            .user_agent(concat!("cki-build/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(self.patience)
            .timeout(self.patience);
        let proxies = (self.proxies)();
        let direct = env::var("no_proxy").or_else(|_| env::var("NO_PROXY")).ok();
        let no_proxy = not_through_a_proxy(direct.as_deref());
        let http = proxies.http.as_ref().map(Proxy::http);
        let https = proxies.https.as_ref().map(Proxy::https);
        for proxy in [http, https].into_iter().flatten() {
            let proxy = proxy.map_err(|e| describe(&e))?;
            builder = builder.proxy(proxy.no_proxy(NoProxy::from_string(&no_proxy)));
        }
        let client = builder.build().map_err(|e| describe(&e))?;
        Ok((client, InForce::new(&proxies, direct.as_deref())))
    }

    pub fn open(&self, url: &str, offset: u64) -> Result<Body, Refusal> {
        match url.strip_prefix("file:") {
            Some(path) => open_file(path, offset),
            None => self.open_http(url, offset),
        }
    }

    /// How long the file is that a mirror has, as far as it tells, without its contents.
    pub fn look(&self, url: &str) -> Result<Option<u64>, Refusal> {
        if let Some(path) = url.strip_prefix("file:") {
            let meta = opened(path)?.metadata();
            let meta = meta.map_err(|e| Refusal::Permanent(e.to_string()))?;
            return match meta.is_file() {
                true => Ok(Some(meta.len())),
                false => Err(Refusal::Permanent("it is no file".to_owned())),
            };
        }
        let response = self.send(url, |client| client.head(url))?;
        let length = response.headers().get(CONTENT_LENGTH);
        Ok(length.and_then(|length| length.to_str().ok()?.parse().ok()))
    }

    fn open_http(&self, url: &str, offset: u64) -> Result<Body, Refusal> {
        let response = self.send(url, |client| {
            let request = client.get(url);
            if offset > 0 {
                request.header(RANGE, format!("bytes={offset}-"))
            } else {
                request
            }
        })?;
        let header = |name| response.headers().get(name).and_then(|v| v.to_str().ok());
        let date = header(DATE).and_then(|date| httpdate::parse_http_date(date).ok());
        let start = if response.status() == StatusCode::PARTIAL_CONTENT {
            let start = header(CONTENT_RANGE).and_then(|range| {
                range
                    .strip_prefix("bytes ")?
                    .split_once('-')?
                    .0
                    .parse::<u64>()
                    .ok()
            });
            start.filter(|start| *start == offset).ok_or_else(|| {
                Refusal::Permanent(format!("asked for bytes from {offset} on, it sent others"))
            })?
        } else {
            0
        };
        Ok(Body {
            start,
            reader: Box::new(response),
            date,
        })
    }

    /// The answer to a request, if it is one with contents.
    fn send(
        &self,
        url: &str,
        request: impl FnOnce(&Client) -> RequestBuilder,
    ) -> Result<Response, Refusal> {
        let (client, proxies) = self.made().map_err(Refusal::Permanent)?;
        let through = proxies.of(url);
        let response = request(client)
            .send()
            .map_err(|e| refused(&e, through.clone()))?;
        let status = response.status();
        let told = match &through {
            Some(through) => format!("{status} (through the proxy {})", through.proxy),
            None => status.to_string(),
        };
        match (status, through) {
            (StatusCode::OK | StatusCode::PARTIAL_CONTENT, _) => Ok(response),
            (StatusCode::PROXY_AUTHENTICATION_REQUIRED, Some(through)) => {
                Err(Refusal::Proxy(through, status.to_string()))
            }
            (StatusCode::RANGE_NOT_SATISFIABLE, _) => Err(Refusal::NothingThere),
            (StatusCode::NOT_FOUND | StatusCode::GONE, _) => Err(Refusal::Gone),
            (StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS, _) => {
                Err(Refusal::Transient(told))
            }
            (status, _) if status.is_server_error() => Err(Refusal::Transient(told)),
            _ => Err(Refusal::Permanent(told)),
        }
    }
}

/// Why there was no answer at all.
fn refused(error: &reqwest::Error, through: Option<Through>) -> Refusal {
    let cause = describe(error);
    if let Some(clock) = clock::of_a_certificate(&cause, SystemTime::now()) {
        return Refusal::Permanent(format!("{cause}; {clock}"));
    }
    if error.is_builder() || error.is_redirect() {
        return Refusal::Permanent(cause);
    }
    // With a proxy, only what it let us reach shows a certificate; everything else on the way to a connection is the
    // proxy's.
    match through {
        Some(through) if error.is_connect() && !cause.contains("certificate") => {
            Refusal::Proxy(through, cause)
        }
        _ => Refusal::Transient(cause),
    }
}

fn open_file(path: &str, offset: u64) -> Result<Body, Refusal> {
    let mut file = opened(path)?;
    file.seek(SeekFrom::Start(offset))
        .map_err(|e| Refusal::Permanent(e.to_string()))?;
    Ok(Body {
        start: offset,
        reader: Box::new(file),
        date: None,
    })
}

/// The file that a `file:` URI names behind that word.
fn opened(path: &str) -> Result<File, Refusal> {
    // file:/path, file:///path and file://localhost/path are the same (RFC 8089).
    let path = path
        .strip_prefix("//localhost")
        .or_else(|| path.strip_prefix("//"))
        .unwrap_or(path);
    File::open(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => Refusal::Gone,
        _ => Refusal::Permanent(e.to_string()),
    })
}

/// The message of an error's first cause ("Connection refused"): what reqwest wraps around it ("error sending request
/// for url ...: client error (Connect): tcp connect error") says nothing more.
pub(super) fn describe(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_no_file_and_a_file_has_its_length() {
        let transport = Transport::new(Duration::from_secs(1), Box::new(Proxies::default));
        let dir = tempfile::tempdir().unwrap();
        let url = format!("file://{}", dir.path().display());
        assert!(
            matches!(transport.look(&url), Err(Refusal::Permanent(told)) if told == "it is no file")
        );
        let file = format!("{url}/file");
        assert!(matches!(transport.look(&file), Err(Refusal::Gone)));
        std::fs::write(dir.path().join("file"), "four").unwrap();
        assert!(matches!(transport.look(&file), Ok(Some(4))));
    }
}
