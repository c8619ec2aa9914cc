// SPDX-License-Identifier: EUPL-1.2
//! Writes the table of embedded files from `client/dist`.
//!
//! It never runs npm: a build without network must work, and a build script that fetches is a hole in the supply chain.
//! `cargo xtask web` builds the client; without it a plain page that says so is embedded.
//!
//! Build scripts may stop by panicking: cargo shows the message, and nothing from outside reaches this code.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// What decides the built files. `client/build/stamp.ts` holds the same list: the two hashes must agree.
const SOURCES: [&str; 10] = [
    "build",
    "index.html",
    "messages",
    "package-lock.json",
    "package.json",
    "project.inlang",
    "public",
    "src",
    "svelte.config.js",
    "vite.config.ts",
];

/// Written by the vite build into `dist`, never served.
const STAMP: &str = "sources.sha256";

fn main() {
    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("set by cargo"));
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("set by cargo"));
    let client = root.join("client");
    let dist = client.join("dist");
    // Cargo reruns this script on every build while a watched path is missing, and with it all that depends on us.
    let _ = fs::create_dir(&dist);

    println!("cargo::rerun-if-changed={}", dist.display());
    println!("cargo::rerun-if-changed={}", root.join("src/unbuilt.html").display());
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", client.join(source).display());
    }

    let built = dist.join("index.html").is_file();
    let mut files = BTreeMap::new();
    if built {
        walk(&dist, &dist, &mut files);
        files.remove(STAMP);
    } else {
        files.insert("index.html".to_owned(), root.join("src/unbuilt.html"));
    }

    let stale = built
        && fs::read_to_string(dist.join(STAMP)).map(|s| s.trim().to_owned()).ok()
            != Some(stamp_of_sources(&client));
    if stale {
        println!(
            "cargo::warning=crates/web/client/dist is older than its sources: run `cargo xtask web` to build it again"
        );
    }

    let mut table = String::new();
    writeln!(table, "/// Whether the client had been built when this crate was compiled.").unwrap();
    writeln!(table, "pub const BUILT: bool = {built};").unwrap();
    writeln!(table, "/// Whether the embedded client is older than its sources.").unwrap();
    writeln!(table, "pub const STALE: bool = {stale};").unwrap();
    writeln!(table, "static ASSETS: &[(&str, Asset)] = &[").unwrap();
    for (path, file) in &files {
        write_entry(&mut table, path, file, &out);
    }
    writeln!(table, "];").unwrap();
    fs::write(out.join("assets.rs"), table).expect("OUT_DIR is writable");
}

/// Adds each file below `dir` by its path relative to `base`, with forward slashes.
fn walk(base: &Path, dir: &Path, files: &mut BTreeMap<String, PathBuf>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            walk(base, &path, files);
        } else {
            let name = path.strip_prefix(base).expect("below base").to_str().expect("UTF-8 file names");
            files.insert(name.replace('\\', "/"), path);
        }
    }
}

/// SHA-256 over one line `HASH  PATH` for each source file, sorted by path.
fn stamp_of_sources(client: &Path) -> String {
    let mut files = BTreeMap::new();
    for source in SOURCES {
        let path = client.join(source);
        if path.is_dir() {
            walk(client, &path, &mut files);
        } else if path.is_file() {
            files.insert(source.to_owned(), path);
        }
    }
    let mut lines = String::new();
    for (name, path) in &files {
        writeln!(lines, "{}  {name}", hash(&fs::read(path).expect("a readable source"))).unwrap();
    }
    hash(lines.as_bytes())
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

fn write_entry(table: &mut String, path: &str, file: &Path, out: &Path) {
    let bytes = fs::read(file).expect("a readable file");
    let digest = hash(&bytes);
    // Variants are kept by the content's hash: a change of one file doesn't compress the others again.
    let brotli = variant(&bytes, &out.join(format!("{digest}.br")), |bytes| {
        let mut packed = Vec::new();
        let params = brotli::enc::BrotliEncoderParams { quality: 11, lgwin: 22, ..Default::default() };
        brotli::BrotliCompress(&mut &bytes[..], &mut packed, &params).expect("writing to memory");
        packed
    });
    let gzip = variant(&bytes, &out.join(format!("{digest}.gz")), |bytes| {
        // No file name and no time in the header: the same sources give the same binary.
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).expect("writing to memory");
        encoder.finish().expect("writing to memory")
    });
    let include = |file: &Path| format!("include_bytes!({:?})", file.to_str().expect("UTF-8 file names"));
    let option = |file: Option<PathBuf>| file.map_or("None".to_owned(), |f| format!("Some({})", include(&f)));
    writeln!(
        table,
        "    ({path:?}, Asset {{ content_type: {:?}, etag: {:?}, immutable: {}, identity: {}, gzip: {}, brotli: {} }}),",
        content_type(path),
        format!("W/\"{}\"", &digest[..16]),
        // Vite puts a hash of the content into each name below assets/.
        path.starts_with("assets/"),
        include(file),
        option(gzip),
        option(brotli),
    )
    .unwrap();
}

/// The file that holds the compressed form, or none where compressing gains nothing.
fn variant(bytes: &[u8], file: &Path, compress: impl Fn(&[u8]) -> Vec<u8>) -> Option<PathBuf> {
    if !file.is_file() {
        fs::write(file, compress(bytes)).expect("OUT_DIR is writable");
    }
    let packed = fs::metadata(file).expect("just written").len();
    (packed < bytes.len() as u64 * 9 / 10).then(|| file.to_owned())
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        Some("json") => "application/json",
        Some("webmanifest") => "application/manifest+json",
        Some("wasm") => "application/wasm",
        Some("tflite") => "application/octet-stream",
        Some("txt") => "text/plain; charset=utf-8",
        _ => panic!("{path}: no content type is known for it: add one to crates/web/build.rs"),
    }
}
