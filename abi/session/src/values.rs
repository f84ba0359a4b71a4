// SPDX-License-Identifier: MIT OR Apache-2.0

//! Values as people type them on the command lines of `cki-build` and `cki`. `Memory` is
//! a type of its own.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use crate::image_path::ImagePath;

/// Reads `30`, `1.5` (seconds) or `500ms`, `2m`, `1h 30m`, `30d`; more than nothing.
///
/// # Errors
/// A sentence for the user.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let form = || "expected a time such as 30 (seconds), 1.5, 500ms, 2m, 1h 30m or 30d".to_owned();
    // A number may begin with a point, but words such as `inf` are none here.
    let duration = match text.parse::<f64>() {
        Ok(seconds) if text.starts_with(|c: char| c.is_ascii_digit() || c == '.') => {
            Duration::try_from_secs_f64(seconds).map_err(|_| "the time is too long".to_owned())?
        }
        Ok(_) => return Err(form()),
        Err(_) => humantime::parse_duration(text).map_err(|_| form())?,
    };
    if duration.is_zero() {
        return Err("the time must be longer than nothing".to_owned());
    }
    Ok(duration)
}

/// The same for a time that may be none at all, as `0`: what is waited for so long is not waited for.
///
/// # Errors
/// A sentence for the user.
pub fn parse_wait(text: &str) -> Result<Duration, String> {
    let digits = text
        .trim()
        .trim_end_matches(|c: char| c.is_ascii_lowercase());
    match digits.parse::<u32>() {
        // With or without a unit.
        Ok(0) if humantime::parse_duration(text).is_ok() || digits == text.trim() => {
            Ok(Duration::ZERO)
        }
        _ => parse_duration(text),
    }
}

/// Reads `NAME=VALUE`; the name is not empty.
///
/// # Errors
/// A sentence for the user.
pub fn parse_variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !text.contains('\0') => {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

/// Reads a network such as `192.0.2.0/24`, or an address, which is one of its own.
///
/// # Errors
/// A sentence for the user.
pub fn parse_net(text: &str) -> Result<IpNet, String> {
    let net = text.parse().map(|net: IpNet| net.trunc());
    net.or_else(|_| text.parse().map(|address: IpAddr| address.into()))
        .map_err(|_| "expected an address, or a network such as 192.0.2.0/24".to_owned())
}

/// Reads an absolute path in the image.
///
/// # Errors
/// A sentence for the user.
pub fn parse_workdir(text: &str) -> Result<String, String> {
    match ImagePath::new(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err("expected an absolute path in the image".to_owned()),
    }
}
