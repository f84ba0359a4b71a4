// SPDX-License-Identifier: MIT OR Apache-2.0

//! The proxies that apt is configured to use (apt-transport-http(1)).
//!
//! A machine may reach its mirror only through `Acquire::http::Proxy`, without any of the usual environment variables.

use cki_process::exec::Command;

/// Proxy URLs by the scheme of what is downloaded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For `http:` mirrors.
    pub http: Option<String>,
    /// For `https:` mirrors.
    pub https: Option<String>,
}

/// The command that prints apt's settings as assignments of shell variables.
#[must_use]
pub fn command() -> Command {
    Command::new("apt-config").args([
        "shell",
        "HTTP",
        "Acquire::http::Proxy",
        "HTTPS",
        "Acquire::https::Proxy",
    ])
}

/// The proxies of this machine; none if apt is not there or cannot be asked, as that is not what apt is needed for.
#[must_use]
pub fn configured() -> Proxies {
    match command().output() {
        Ok(output) if output.status.success() => parse(&String::from_utf8_lossy(&output.stdout)),
        _ => Proxies::default(),
    }
}

/// Reads `HTTP='http://proxy.example.org:3142'` and the like. `DIRECT` means none; apt has more forms, such as
/// `socks5h:`, and what is not a URL of a web proxy is left out.
#[must_use]
pub fn parse(text: &str) -> Proxies {
    let value = |name: &str| {
        let assignment = text
            .lines()
            .find_map(|l| l.strip_prefix(name)?.strip_prefix('='))?;
        let url = assignment.trim().trim_matches('\'');
        let known = ["http://", "https://"].iter().any(|s| url.starts_with(s));
        known.then(|| url.to_owned())
    };
    // apt falls back to the http proxy for https.
    let http = value("HTTP");
    let https = value("HTTPS").or_else(|| http.clone().filter(|_| !text.contains("HTTPS=")));
    Proxies { http, https }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apts_settings_are_read() {
        let proxies = |http: Option<&str>, https: Option<&str>| Proxies {
            http: http.map(Into::into),
            https: https.map(Into::into),
        };
        let (a, b) = ("http://a.example.org:3142/", "http://b.example.org");
        assert_eq!(parse(""), Proxies::default());
        assert_eq!(parse(&format!("HTTP='{a}'\n")), proxies(Some(a), Some(a)));
        assert_eq!(
            parse(&format!("HTTP='{a}'\nHTTPS='{b}'\n")),
            proxies(Some(a), Some(b))
        );
        assert_eq!(
            parse(&format!("HTTP='{a}'\nHTTPS='DIRECT'\n")),
            proxies(Some(a), None)
        );
        assert_eq!(
            parse("HTTP='DIRECT'\nHTTPS='socks5h://x'\n"),
            Proxies::default()
        );
    }

    #[test]
    fn apt_config_is_asked_for_both() {
        let argv = command().argv().join(" ");
        assert_eq!(
            argv,
            "apt-config shell HTTP Acquire::http::Proxy HTTPS Acquire::https::Proxy"
        );
    }
}
