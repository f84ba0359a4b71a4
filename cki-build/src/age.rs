// SPDX-License-Identifier: MIT OR Apache-2.0

//! How long something has not been used, as people type and read it.

use std::time::Duration;

use cki_session::values::parse_duration;

/// Reads how long an image has not been used. Elsewhere a number alone is seconds; whoever types one here means days,
/// and what was taken for seconds would be gone.
///
/// # Errors
/// A sentence for the user.
pub fn parse_age(text: &str) -> Result<Duration, String> {
    const FORM: &str = "expected a time with its unit, such as 12h or 30d";
    let text = text.trim();
    if text
        .parse::<f64>()
        .is_ok_and(|n: f64| n >= 0.0 && n.is_finite())
    {
        return Err(format!(
            "a unit is missing: {text}d is in days, {text}h in hours, {text}s in seconds"
        ));
    }
    parse_duration(text).map_err(|error| match error.starts_with("expected") {
        // Its own form has numbers without a unit.
        true => FORM.to_owned(),
        false => error,
    })
}

/// The largest unit of which there is a whole one, as people say how old a thing is.
#[must_use]
pub fn age(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0..3600 => (seconds / 60, "minute"),
        3600..86_400 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 3600;

    #[test]
    fn an_age_has_its_unit() {
        for (text, seconds) in [("5s", 5), ("12h", 12 * 3600), ("30d", 30 * DAY)] {
            assert_eq!(parse_age(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for (text, reason) in [
            ("5", "5d is in days"),
            ("1.5", "a unit is missing"),
            ("0", "a unit is missing"),
            ("month", "such as 12h or 30d"),
            ("-5", "such as 12h or 30d"),
            ("0s", "longer than nothing"),
        ] {
            let error = parse_age(text).expect_err(text);
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn an_age_below_a_day_is_said_in_hours_or_minutes() {
        for (seconds, text) in [
            (75, "1 minute"),
            (3599, "59 minutes"),
            (2 * 3600, "2 hours"),
            (DAY, "1 day"),
            (31 * DAY, "31 days"),
        ] {
            assert_eq!(age(seconds), text);
        }
    }
}
