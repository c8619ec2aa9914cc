// SPDX-License-Identifier: EUPL-1.2
//! The headers of every page and file of the client.

/// `Cache-Control` of a file whose name contains a hash of its content.
pub const CACHE_IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// `Cache-Control` of all others: kept, but asked for again each time, which ends in a 304.
pub const CACHE_REVALIDATE: &str = "no-cache";

/// The security headers of a page, as name and value.
///
/// `ws_origins` are the WebSocket origins that the client may open besides those of its own origin, as `wss://host:port`.
/// `'self'` already covers the page's own `wss:` in current browsers (CSP level 3); older ones need it spelled out.
/// An origin that is not of that form is left out: it could otherwise add directives of its own.
#[must_use]
pub fn headers(ws_origins: &[&str]) -> Vec<(&'static str, String)> {
    let mut connect = String::from("'self'");
    for origin in ws_origins.iter().filter(|origin| is_ws_origin(origin)) {
        connect.push(' ');
        connect.push_str(origin);
    }
    let policy = [
        "default-src 'none'",
        "script-src 'self'",
        "worker-src 'self'",
        "style-src 'self'",
        &format!("connect-src {connect}"),
        "img-src 'self' data:",
        "media-src 'self' blob:",
        "font-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        // DOM sinks take no plain strings. Svelte clones its compiled, constant templates by a policy of its own.
        "require-trusted-types-for 'script'",
        "trusted-types svelte-trusted-html",
    ]
    .join("; ");
    vec![
        ("content-security-policy", policy),
        ("cross-origin-opener-policy", "same-origin".to_owned()),
        ("cross-origin-resource-policy", "same-origin".to_owned()),
        (
            "permissions-policy",
            "camera=(self), microphone=(self), display-capture=(self), speaker-selection=(self), \
             autoplay=(self), fullscreen=(self), picture-in-picture=(self), screen-wake-lock=(self), \
             geolocation=(), payment=(), usb=(), serial=(), hid=(), midi=()"
                .to_owned(),
        ),
        // The link of a room is what lets people in: it must not travel in a Referer.
        ("referrer-policy", "no-referrer".to_owned()),
        ("x-content-type-options", "nosniff".to_owned()),
        // For browsers without frame-ancestors.
        ("x-frame-options", "DENY".to_owned()),
    ]
}

fn is_ws_origin(origin: &str) -> bool {
    let host = origin.strip_prefix("wss://").or_else(|| origin.strip_prefix("ws://"));
    host.is_some_and(|host| {
        !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.:[]".contains(&b))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(name: &str, ws_origins: &[&str]) -> String {
        headers(ws_origins).into_iter().find(|(n, _)| *n == name).map(|(_, v)| v).unwrap()
    }

    #[test]
    fn row_46_pages_run_no_inline_script_and_no_string_becomes_markup() {
        let policy = value("content-security-policy", &[]);
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"));
        assert!(policy.contains("require-trusted-types-for 'script'"));
        for hole in ["unsafe", "http:", "https:", "*", "blob: ;", "nonce"] {
            assert!(!policy.contains(hole), "{hole} in {policy}");
        }
    }

    #[test]
    fn row_47_pages_may_only_speak_to_their_own_origin() {
        let connect = |origins: &[&str]| {
            let policy = value("content-security-policy", origins);
            policy.split("; ").find(|d| d.starts_with("connect-src")).unwrap().to_owned()
        };
        assert_eq!(connect(&[]), "connect-src 'self'");
        assert_eq!(
            connect(&["wss://meet.example.org:8443"]),
            "connect-src 'self' wss://meet.example.org:8443"
        );
        assert_eq!(connect(&["ws://[::1]:7880"]), "connect-src 'self' ws://[::1]:7880");
        for foul in ["wss://a; script-src *", "https://example.org", "wss:", "wss://*", "wss://a b", ""] {
            assert_eq!(connect(&[foul]), "connect-src 'self'", "{foul}");
        }
        assert_eq!(value("referrer-policy", &[]), "no-referrer");
    }

    #[test]
    fn every_value_fits_on_one_header_line() {
        for (name, value) in headers(&["wss://a.example"]) {
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{name}");
            assert!(value.bytes().all(|b| (0x20..0x7f).contains(&b)), "{name}: {value}");
        }
    }
}
