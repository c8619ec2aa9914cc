// SPDX-License-Identifier: EUPL-1.2
//! What is embedded is whole, packed rightly, and asks nothing of anyone else.

use std::io::Read;

use parvis_web::{BUILT, STALE, asset, index, paths, resolve};

/// CI and releases set it: there, a binary without its client must not be built.
const REQUIRE_CLIENT: &str = "PARVIS_REQUIRE_CLIENT";

#[test]
fn a_release_has_the_client_built_from_these_sources() {
    if std::env::var_os(REQUIRE_CLIENT).is_some() {
        assert_eq!((BUILT, STALE), (true, false), "(built, stale): run `cargo xtask web` first");
    }
    assert!(!index().identity.is_empty());
}

#[test]
fn compressed_forms_unpack_to_the_file() {
    for path in paths() {
        let file = asset(path).unwrap();
        if let Some(packed) = file.brotli {
            let mut plain = Vec::new();
            brotli::BrotliDecompress(&mut &packed[..], &mut plain).unwrap();
            assert!(plain == file.identity, "{path}: brotli");
        }
        if let Some(packed) = file.gzip {
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(packed).read_to_end(&mut plain).unwrap();
            assert!(plain == file.identity, "{path}: gzip");
        }
    }
}

#[test]
fn every_file_that_the_page_names_is_embedded() {
    let page = std::str::from_utf8(index().identity).unwrap();
    for part in page.split('"').filter(|part| part.starts_with('/')) {
        assert!(resolve(part).is_some(), "{part} is named by the page and not embedded");
    }
}

#[test]
fn row_47_neither_page_nor_style_names_another_origin() {
    for path in paths().filter(|path| path.ends_with(".html") || path.ends_with(".css")) {
        let text = std::str::from_utf8(asset(path).unwrap().identity).unwrap();
        for foreign in ["http://", "https://", "src=\"//", "href=\"//", "url(//", "@import"] {
            assert!(!text.contains(foreign), "{path} contains {foreign}");
        }
    }
}

#[test]
fn row_46_the_page_holds_no_inline_script_or_style() {
    let page = std::str::from_utf8(index().identity).unwrap();
    assert!(!page.contains("<style") && !page.contains(" style=") && !page.contains("javascript:"));
    for script in page.split("<script").skip(1) {
        let (attributes, rest) = script.split_once('>').unwrap();
        assert!(attributes.contains(" src="), "an inline script");
        assert!(rest.starts_with("</script>"), "a script with a body");
    }
}

#[test]
fn row_61_a_path_is_a_name_in_a_table_and_leads_nowhere_else() {
    let page = index().identity.as_ptr();
    for path in [
        "/../etc/passwd",
        "/assets/../../etc/passwd",
        "/assets/..%2f..%2fetc%2fpasswd",
        "/%2e%2e/etc/passwd",
        "/..\\..\\etc\\passwd",
        "//etc/passwd",
        "/assets/",
        "/./index.html",
        "/assets//index.html",
        "/index.html/",
        "/index.html\0.png",
        "/r/../../etc/passwd",
        "/r/a/../index.html",
        "/live/../../etc/passwd",
    ] {
        assert!(resolve(path).is_none(), "{path}");
    }
    // A room may be called anything: the client's page is the answer, and nothing is looked up by the name.
    for path in ["/r/..", "/r/..%2f..%2fetc%2fpasswd", "/live/..\\.."] {
        assert_eq!(resolve(path).map(|found| found.identity.as_ptr()), Some(page), "{path}");
    }
}
