// SPDX-License-Identifier: EUPL-1.2
//! The web client's built files, embedded in the binary, and the headers under which they may be served.
//!
//! The one invariant: everything a page needs is in this table. Nothing is read from disk or from another origin at run
//! time, and [`headers`] has the browser enforce that.
//!
//! The sources are in `client/`; `cargo xtask web` builds them into `client/dist`, and `build.rs` embeds that with its
//! brotli and gzip forms. Without it a page that says so is embedded, and [`BUILT`] is false.
//!
//! ```
//! let page = parvis_web::resolve("/r/7k2m9xqfv3").expect("rooms are pages of the client");
//! let (encoding, body) = page.negotiate("gzip, deflate, br");
//! assert!(page.content_type.starts_with("text/html"));
//! assert!(encoding.is_none() || body.len() < page.identity.len());
//! assert!(parvis_web::asset("/no-such-file").is_none());
//! ```

mod headers;

pub use headers::{CACHE_IMMUTABLE, CACHE_REVALIDATE, MAX_FRAME_ANCESTORS, headers, is_frame_ancestor};

/// One embedded file and its compressed forms.
#[derive(Debug)]
pub struct Asset {
    /// The value of `Content-Type`.
    pub content_type: &'static str,
    /// The value of `ETag`. Weak, since one tag stands for all three encodings (RFC 9110, section 8.8.3.3).
    pub etag: &'static str,
    /// Whether the name contains a hash of the content, so that it may be cached for ever.
    pub immutable: bool,
    /// The file as it is.
    pub identity: &'static [u8],
    /// The file for `Content-Encoding: gzip`, where that is smaller.
    pub gzip: Option<&'static [u8]>,
    /// The file for `Content-Encoding: br`, where that is smaller.
    pub brotli: Option<&'static [u8]>,
}

impl Asset {
    /// The value of `Cache-Control`.
    #[must_use]
    pub fn cache_control(&self) -> &'static str {
        if self.immutable { CACHE_IMMUTABLE } else { CACHE_REVALIDATE }
    }

    /// The smallest form that a request's `Accept-Encoding` takes, with its `Content-Encoding` (none: identity).
    ///
    /// A coding is taken where it is named without `q=0`; weights beyond that are not compared, `br` is always the smaller.
    /// The response must carry `Vary: Accept-Encoding`.
    #[must_use]
    pub fn negotiate(&self, accept_encoding: &str) -> (Option<&'static str>, &'static [u8]) {
        let takes = |coding: &str| {
            accept_encoding.split(',').any(|item| {
                let mut parts = item.split(';').map(str::trim);
                parts.next().is_some_and(|name| name.eq_ignore_ascii_case(coding))
                    && !parts.any(|p| p.strip_prefix("q=").is_some_and(|q| q.parse::<f32>() == Ok(0.0)))
            })
        };
        match (self.brotli, self.gzip) {
            (Some(body), _) if takes("br") => (Some("br"), body),
            (_, Some(body)) if takes("gzip") => (Some("gzip"), body),
            _ => (None, self.identity),
        }
    }

    /// Whether a request's `If-None-Match` names this file as it is, so that 304 is the answer.
    #[must_use]
    pub fn matches(&self, if_none_match: &str) -> bool {
        let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
        if_none_match.split(',').any(|tag| tag.trim() == "*" || opaque(tag) == opaque(self.etag))
    }
}

/// The embedded file at a path of the URL, with or without its leading slash.
#[must_use]
pub fn asset(path: &str) -> Option<&'static Asset> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let at = ASSETS.binary_search_by_key(&path, |(name, _)| name).ok()?;
    ASSETS.get(at).map(|(_, asset)| asset)
}

/// The page that starts the client: the answer to `/` and to every room's link.
#[must_use]
pub fn index() -> &'static Asset {
    /// Never served: `build.rs` always embeds an index, a test holds it to that.
    static EMPTY: Asset = Asset {
        content_type: "text/html; charset=utf-8",
        etag: "W/\"0\"",
        immutable: false,
        identity: b"",
        gzip: None,
        brotli: None,
    };
    asset("index.html").unwrap_or(&EMPTY)
}

/// What a GET of this path answers: a file, or the client's page where the path is one of its routes.
#[must_use]
pub fn resolve(path: &str) -> Option<&'static Asset> {
    if is_route(path) { Some(index()) } else { asset(path) }
}

/// Whether the client itself shows this path: `/`, `/accessibility`, `/check`, `/r/ROOM` and `/live/KEY`.
#[must_use]
pub fn is_route(path: &str) -> bool {
    let room = |rest: &str| !rest.is_empty() && !rest.trim_end_matches('/').contains('/');
    matches!(path, "/" | "/accessibility" | "/check")
        || ["/r/", "/live/"].into_iter().any(|of| path.strip_prefix(of).is_some_and(room))
}

/// Whether what is at this path compiles WebAssembly: a room's document does, for its effects, and the worker that
/// changes pictures for it, since a worker has the policy of its own file. Nothing else does.
#[must_use]
pub fn compiles_wasm(path: &str) -> bool {
    let room = is_route(path) && path.starts_with("/r/");
    room || (path.starts_with(PAINTER) && asset(path).is_some())
}

/// How the address of the worker that changes pictures begins: of `client/src/effects/painter.ts`, with a hash behind it.
const PAINTER: &str = "/assets/painter-";

/// Every embedded path, sorted.
pub fn paths() -> impl Iterator<Item = &'static str> {
    ASSETS.iter().map(|(path, _)| *path)
}

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: Asset = Asset {
        content_type: "text/plain",
        etag: "W/\"12\"",
        immutable: true,
        identity: b"identity",
        gzip: Some(b"gz"),
        brotli: Some(b"br"),
    };

    #[test]
    fn the_smallest_accepted_encoding_is_chosen() {
        assert_eq!(SAMPLE.negotiate("gzip, deflate, br, zstd").0, Some("br"));
        assert_eq!(SAMPLE.negotiate("GZIP;q=0.5").0, Some("gzip"));
        assert_eq!(SAMPLE.negotiate("br;q=0, gzip").0, Some("gzip"));
        assert_eq!(SAMPLE.negotiate("br; q=0.0").0, None);
        assert_eq!(SAMPLE.negotiate("").1, b"identity");
    }

    #[test]
    fn a_known_etag_matches_in_a_list_weak_or_strong() {
        assert!(SAMPLE.matches("\"9\", W/\"12\""));
        assert!(SAMPLE.matches("\"12\""));
        assert!(SAMPLE.matches("*"));
        assert!(!SAMPLE.matches("\"13\""));
    }

    #[test]
    fn row_46_of_all_that_is_served_only_a_room_and_the_worker_of_its_effects_compile_webassembly() {
        assert!(compiles_wasm("/r/abc") && compiles_wasm("/r/abc/"));
        for other in [
            "/",
            "/accessibility",
            "/check",
            "/live/abc",
            "/r/",
            "/r/a/b",
            "/sw.js",
            "/index.html",
            "/assets/painter-.js",
            "/assets/painter-AAAAAAAA.js",
            "assets/painter-",
        ] {
            assert!(!compiles_wasm(other), "{other}");
        }
        // One file of all: a worker, and nothing that a page runs by itself.
        let compiling: Vec<String> =
            paths().map(|path| format!("/{path}")).filter(|path| compiles_wasm(path)).collect();
        assert_eq!(compiling.len(), usize::from(BUILT), "{compiling:?}");
        for path in &compiling {
            assert!(path.starts_with("/assets/painter-") && path.ends_with(".js"), "{path}");
            let page = String::from_utf8_lossy(index().identity);
            assert!(!page.contains(path.as_str()), "{path} is run by the page itself");
        }
    }

    #[test]
    fn rooms_and_home_are_pages_and_nothing_else_is() {
        for page in ["/", "/accessibility", "/check", "/r/abc", "/r/abc/", "/live/abc"] {
            assert!(is_route(page), "{page}");
        }
        for other in [
            "",
            "/r/",
            "/r",
            "/r/a/b",
            "/live/",
            "/live/a/b",
            "/rtc",
            "/check/x",
            "/api/rooms/x/join",
            "/assets/../index.html",
        ] {
            assert!(!is_route(other), "{other}");
        }
    }
}
