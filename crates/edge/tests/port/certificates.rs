// SPDX-License-Identifier: EUPL-1.2
//! Certificates that change while the port is open.

use std::path::PathBuf;

use parvis_edge::{CertificateFiles, CryptoProfile};
use rustls::pki_types::ServerName;

use crate::scene::*;

/// A folder of this test's own, removed with it.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn a_new_pair_is_shown_without_a_restart_and_a_bad_one_leaves_the_old_one_and_says_why() {
    let mut scene = Scene::new().await;
    let folder = Folder(std::env::temp_dir().join(format!("parvis-certificates-{}", std::process::id())));
    std::fs::create_dir_all(&folder.0).unwrap();
    let files = CertificateFiles { certificate: folder.0.join("chain.pem"), key: folder.0.join("key.pem") };
    let (chain, key, root) = pair();
    std::fs::write(&files.certificate, &chain).unwrap();
    std::fs::write(&files.key, &key).unwrap();
    let mut before = scene.within_tls(NAME, &[b"http/1.1"]).await;

    files.load(&scene.tls, &scene.stats).unwrap();
    let name = || ServerName::try_from(NAME).unwrap();
    let old_trust = scene.client(CryptoProfile::Modern, &[]);
    assert!(
        old_trust.connect(name(), scene.connect().await).await.is_err(),
        "the former is not shown any more"
    );
    scene.root = root;
    assert!(get(scene.within_tls(NAME, &[]).await, "/livez").await.starts_with("HTTP/1.1 200"));

    // Half of another pair: what a renewal looks like between its two writes.
    let (other_chain, other_key, other_root) = pair();
    std::fs::write(&files.certificate, &other_chain).unwrap();
    let error = files.load(&scene.tls, &scene.stats).unwrap_err().to_string();
    assert!(error.contains("chain.pem: certificate and key can't be used together"), "{error}");
    assert!(get(scene.within_tls(NAME, &[]).await, "/livez").await.starts_with("HTTP/1.1 200"));
    std::fs::write(&files.key, &other_key).unwrap();
    files.load(&scene.tls, &scene.stats).unwrap();
    scene.root = other_root;
    assert!(get(scene.within_tls(NAME, &[]).await, "/livez").await.starts_with("HTTP/1.1 200"));
    std::fs::remove_file(&files.key).unwrap();
    let error = files.load(&scene.tls, &scene.stats).unwrap_err().to_string();
    assert!(error.contains("key.pem: No such file"), "{error}");
    assert_eq!((scene.counted("certificates_loaded"), scene.counted("certificates_refused")), (2, 2));

    // A connection from before all that goes on.
    assert!(get(&mut before, "/livez").await.starts_with("HTTP/1.1 200"));
}
