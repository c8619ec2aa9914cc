// SPDX-License-Identifier: EUPL-1.2
//! The headers of every page and file of the client.

/// `Cache-Control` of a file whose name contains a hash of its content.
pub const CACHE_IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// `Cache-Control` of all others: kept, but asked for again each time, which ends in a 304.
pub const CACHE_REVALIDATE: &str = "no-cache";

/// How many sites may be allowed to show the pages within theirs: the list is a part of every page's headers.
pub const MAX_FRAME_ANCESTORS: usize = 32;

/// The security headers of a page, as name and value.
///
/// `frame_ancestors` are the sites that may show it within a page of theirs, each as [`is_frame_ancestor`] has it.
///
/// `ws_origins` are the WebSocket origins that the client may open besides those of its own origin, as `wss://host:port`.
/// `'self'` already covers the page's own `wss:` in current browsers (CSP level 3); older ones need it spelled out.
/// An origin that is not of that form is left out: it could otherwise add directives of its own.
///
/// `wasm` is for the one document whose scripts compile WebAssembly, as [`crate::compiles_wasm`] tells.
#[must_use]
pub fn headers(ws_origins: &[&str], frame_ancestors: &[String], wasm: bool) -> Vec<(&'static str, String)> {
    let mut connect = String::from("'self'");
    for origin in ws_origins.iter().filter(|origin| is_ws_origin(origin)) {
        connect.push(' ');
        connect.push_str(origin);
    }
    let framed: Vec<&str> =
        frame_ancestors.iter().map(String::as_str).filter(|s| is_frame_ancestor(s)).collect();
    let ancestors =
        if framed.is_empty() { "'none'".to_owned() } else { format!("'self' {}", framed.join(" ")) };
    let policy = [
        "default-src 'none'",
        // It opens nothing but WebAssembly's compiler: strings are no more code than before.
        if wasm { "script-src 'self' 'wasm-unsafe-eval'" } else { "script-src 'self'" },
        "worker-src 'self'",
        "style-src 'self'",
        &format!("connect-src {connect}"),
        "img-src 'self' data:",
        "media-src 'self' blob:",
        "font-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        &format!("frame-ancestors {ancestors}"),
        // DOM sinks take no plain strings. Svelte clones its compiled, constant templates by a policy of its own; the other
        // one makes addresses of workers, of our own files only (client/src/trusted.ts).
        "require-trusted-types-for 'script'",
        "trusted-types svelte-trusted-html parvis-own-scripts",
    ]
    .join("; ");
    let mut headers = vec![
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
    ];
    if framed.is_empty() {
        // For browsers without frame-ancestors. It has no form for a list.
        headers.push(("x-frame-options", "DENY".to_owned()));
    }
    headers
}

/// Whether this names sites that may show the pages within theirs: `https://intranet.example.org`, with a port if need be, or
/// `https://*.example.org`. Without TLS only this machine itself, for trying things out: anyone on the way could be that page.
#[must_use]
pub fn is_frame_ancestor(origin: &str) -> bool {
    let name = |host: &str| {
        let (name, port) = host.split_once(':').unwrap_or((host, "443"));
        let label =
            |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        port.parse::<u16>().is_ok_and(|port| port != 0)
            && name.len() <= 253
            && name
                .strip_prefix("*.")
                .map_or(name, |rest| if rest.contains('.') { rest } else { "" })
                .split('.')
                .all(label)
    };
    if let Some(host) = origin.strip_prefix("https://") {
        return name(host);
    }
    origin
        .strip_prefix("http://")
        .is_some_and(|host| name(host) && matches!(host.split(':').next(), Some("localhost" | "127.0.0.1")))
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
        let all = headers(ws_origins, &[], false);
        all.into_iter().find(|(n, _)| *n == name).map(|(_, v)| v).unwrap()
    }

    fn policy_of(frame_ancestors: &[String]) -> String {
        let all = headers(&[], frame_ancestors, false);
        all.into_iter().find(|(n, _)| *n == "content-security-policy").map(|(_, v)| v).unwrap()
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
    fn row_46_a_room_may_compile_webassembly_and_nothing_else_more() {
        let policy = |wasm| headers(&[], &[], wasm).swap_remove(0).1;
        assert_eq!(policy(true).replace(" 'wasm-unsafe-eval'", ""), policy(false));
        assert!(policy(true).contains("; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self';"));
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
    fn row_60_pages_are_framed_by_nobody_but_those_allowed() {
        let ancestors = |list: &[&str]| {
            let list: Vec<String> = list.iter().map(|s| (*s).to_owned()).collect();
            let policy = policy_of(&list);
            let directive = policy.split("; ").find(|d| d.starts_with("frame-ancestors")).unwrap().to_owned();
            let denied = headers(&[], &list, false).iter().any(|(name, _)| *name == "x-frame-options");
            (directive, denied)
        };
        assert_eq!(ancestors(&[]), ("frame-ancestors 'none'".to_owned(), true));
        assert_eq!(
            ancestors(&["https://intranet.example.org", "https://*.example.org:8443"]),
            (
                "frame-ancestors 'self' https://intranet.example.org https://*.example.org:8443".to_owned(),
                false
            )
        );
        for foul in [
            "*",
            "https://*",
            "https://*.org",
            "https:",
            "https://",
            "http://example.org",
            "http://localhost.example.org",
            "intranet.example.org",
            "https://a.example/path",
            "https://a.example; script-src *",
            "https://a.example https://b.example",
            "https://a..example",
            "https://a.example:0",
            "https://a.example:x",
            "https://us*er.example",
            "",
        ] {
            assert_eq!(ancestors(&[foul]), ("frame-ancestors 'none'".to_owned(), true), "{foul}");
        }
        assert!(is_frame_ancestor("http://localhost:8080") && is_frame_ancestor("http://127.0.0.1:1"));
    }

    #[test]
    fn every_value_fits_on_one_header_line() {
        let framed = ["https://a.example".to_owned()];
        for (name, value) in headers(&["wss://a.example"], &framed, true) {
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{name}");
            assert!(value.bytes().all(|b| (0x20..0x7f).contains(&b)), "{name}: {value}");
        }
    }
}
