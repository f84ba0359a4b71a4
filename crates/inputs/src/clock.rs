// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whether it is this machine's clock that is wrong, before a mirror is blamed for what is too old or too new.

use std::time::{Duration, SystemTime};

use cki_debian::release::parse_date;

/// Clocks that differ by less than this are taken for right.
const TOLERANCE: Duration = Duration::from_secs(24 * 60 * 60);

/// Why the clock, which says `now`, cannot be right: it is before the day on which the release was made that is
/// `pinned`, or another one than the mirror's, which `server` is. A mirror may be wrong as well, so both are named.
pub(crate) fn doubt(
    now: SystemTime,
    server: Option<SystemTime>,
    pinned: Option<&str>,
) -> Option<String> {
    let ours = httpdate::fmt_http_date(now);
    if let Some(pinned) = pinned {
        if parse_date(pinned).is_some_and(|made| now + TOLERANCE < made) {
            return Some(format!(
                "this machine's clock says {ours}, but the release that is pinned was made later, {pinned}"
            ));
        }
    }
    let server = server?;
    let apart = now
        .duration_since(server)
        .unwrap_or_else(|earlier| earlier.duration());
    (apart > TOLERANCE).then(|| {
        format!(
            "this machine's clock says {ours}, and the mirror's {}",
            httpdate::fmt_http_date(server)
        )
    })
}

/// What to add to `cause`, for which a connection failed, when a certificate is too old or too new by our clock.
pub(crate) fn of_a_certificate(cause: &str, now: SystemTime) -> Option<String> {
    let of_time = ["expired", "not valid yet", "NotValidYet", "Expired"];
    let is = cause.contains("certificate") && of_time.iter().any(|word| cause.contains(word));
    is.then(|| {
        format!(
            "this machine's clock says {}: if that is wrong, set it (see `date`)",
            httpdate::fmt_http_date(now)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: &str = "Sat, 11 Jul 2026 12:00:00 GMT";

    fn at(date: &str) -> SystemTime {
        parse_date(date).unwrap()
    }

    #[test]
    fn a_clock_is_doubted_before_the_pinned_release_and_far_from_the_mirrors() {
        let now = at(NOON);
        for (server, pinned) in [
            (None, None),
            (Some("Sun, 12 Jul 2026 11:00:00 GMT"), None),
            (
                Some("Fri, 10 Jul 2026 13:00:00 GMT"),
                Some("Sat, 10 Jan 2026 10:00:00 UTC"),
            ),
            (None, Some("Sun, 12 Jul 2026 11:00:00 UTC")),
        ] {
            assert_eq!(
                doubt(now, server.map(at), pinned),
                None,
                "{server:?} {pinned:?}"
            );
        }
        let later = doubt(now, None, Some("Sat, 12 Sep 2026 10:00:00 UTC")).unwrap();
        assert!(
            later.contains(NOON) && later.contains("12 Sep 2026"),
            "{later}"
        );
        for server in [
            "Sat, 12 Sep 2026 10:00:00 GMT",
            "Sat, 10 Jan 2026 10:00:00 GMT",
        ] {
            let other = doubt(now, Some(at(server)), None).unwrap();
            assert!(other.contains(NOON) && other.contains(server), "{other}");
        }
    }

    #[test]
    fn a_certificate_of_another_time_makes_the_clock_doubtful() {
        let now = at(NOON);
        for cause in [
            "invalid peer certificate: certificate expired: verification time 1 (UNIX)",
            "invalid peer certificate: certificate not valid yet: verification time 1 (UNIX)",
            "invalid peer certificate: Expired",
        ] {
            assert!(
                of_a_certificate(cause, now).unwrap().contains(NOON),
                "{cause}"
            );
        }
        for cause in [
            "Connection refused",
            "invalid peer certificate: UnknownIssuer",
        ] {
            assert_eq!(of_a_certificate(cause, now), None);
        }
    }
}
