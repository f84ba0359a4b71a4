// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which proxy a URL is reached through, so that what a proxy does is not said of the mirror behind it.

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;

use crate::apt_proxy::Proxies;

/// The hosts that are asked directly whatever the settings say: this machine.
const OWN: &str = "localhost,127.0.0.0/8,::1";

/// The proxies in force: those that apt is configured for, else those of the environment.
pub(super) struct InForce {
    matcher: Matcher,
    /// Who names them.
    source: &'static str,
}

impl InForce {
    /// `no_proxy` are the hosts that the environment names; they are asked directly with apt's proxies, too.
    pub fn new(apts: &Proxies, no_proxy: Option<&str>) -> Self {
        if apts.http.is_none() && apts.https.is_none() {
            return Self {
                matcher: Matcher::from_env(),
                source: "the environment (http_proxy, https_proxy, all_proxy)",
            };
        }
        let builder = Matcher::builder()
            .http(apts.http.clone().unwrap_or_default())
            .https(apts.https.clone().unwrap_or_default())
            .no(not_through_a_proxy(no_proxy));
        Self {
            matcher: builder.build(),
            source: "apt's configuration (Acquire::http::Proxy)",
        }
    }

    /// The proxy that `url` is reached through, without the password that its setting may have, and who names it.
    pub fn of(&self, url: &str) -> Option<Through> {
        let uri: Uri = url.parse().ok()?;
        let intercept = self.matcher.intercept(&uri)?;
        Some(Through {
            proxy: intercept.uri().to_string(),
            source: self.source,
        })
    }
}

/// A proxy on the way to a mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Through {
    /// Its URL.
    pub proxy: String,
    /// Who names it.
    pub source: &'static str,
}

/// The hosts that are asked directly: this machine, and those that the environment names.
pub(super) fn not_through_a_proxy(named: Option<&str>) -> String {
    named.map_or_else(|| OWN.to_owned(), |more| format!("{OWN},{more}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_the_proxy_of_its_scheme_unless_its_host_is_asked_directly() {
        let apts = Proxies {
            http: Some("http://me:secret@proxy.example.org:3142/".into()),
            https: None,
        };
        let in_force = InForce::new(&apts, Some("direct.example.org"));
        let through = in_force.of("http://mirror.example.org/debian").unwrap();
        assert!(
            through.proxy.contains("proxy.example.org:3142"),
            "{through:?}"
        );
        assert!(!through.proxy.contains("secret"), "{through:?}");
        assert!(through.source.contains("apt"), "{through:?}");
        for url in [
            "https://mirror.example.org/debian",
            "http://direct.example.org/debian",
            "http://127.0.0.1:8000/debian",
            "file:///srv/debian",
        ] {
            assert_eq!(in_force.of(url), None, "{url}");
        }
    }
}
