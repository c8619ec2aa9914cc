// SPDX-License-Identifier: EUPL-1.2
//! The certificate as strangers are shown it, by whomever: a server of ours, or what stands before it.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::{CertificateError, Error, ProtocolVersion};

use super::reach::Way;
use super::{FEW_DAYS, Line};

const DAY_SECONDS: u64 = 86_400;

/// Shakes hands, where TLS is spoken, and says whom one met.
pub(super) async fn line(way: &Way) -> Option<Line> {
    let tls = way.tls.as_ref()?;
    let (what, tried) = ("chain", format!("shook hands with {}:{} as a browser does", way.host, way.port));
    let stream = match way.shake(tls).await {
        Ok(stream) => stream,
        Err(error) => return Some(Line::bad(what, tried, error.to_string(), remedy(&error))),
    };
    let (_, session) = stream.get_ref();
    let version = match session.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
        Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
        _ => "TLS",
    };
    let shown = session.peer_certificates().unwrap_or_default();
    let end = shown.first().and_then(|own| parvis_edge::certificate_end(own));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let days = end.map_or(0, |end| end.saturating_sub(now) / DAY_SECONDS);
    let seen = format!(
        "{version}, {} certificates, trusted here for {}, the first for {days} days more",
        shown.len(),
        way.host
    );
    Some(match days < FEW_DAYS {
        true => Line::poor(what, tried, seen, "renew it; the log of whoever shows it says why that failed"),
        false => Line::good(what, tried, seen),
    })
}

/// What to do about it.
fn remedy(error: &io::Error) -> &'static str {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(why)) => match why {
            CertificateError::UnknownIssuer => {
                "put the authority's intermediate certificates behind your own in tls.certificate; if the authority is your own, \
                 have this machine trust it (update-ca-certificates)"
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "renew it; the log of whoever shows it says why that failed"
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "set this machine's clock right: the certificate begins later than now"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "have one made for this name, or say with --host for which name it is"
            }
            _ => "have another one made",
        },
        Some(_) => "see tls.crypto_profile, and whether something else has the port",
        None => "see that the port is open from here",
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};
    use std::sync::Arc;

    use parvis_edge::CryptoProfile;
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use rustls::pki_types::PrivateKeyDer;
    use rustls::{RootCertStore, ServerConfig};
    use time::{Duration, OffsetDateTime};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::super::reach::{tests::way, trusting};
    use super::super::{Line, State};
    use super::line;

    /// What is seen of a server with a certificate of this name and these days, by who trusts its authority or none.
    async fn seen(name: &str, days: (i64, i64), trusted: bool) -> Line {
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut own = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let now = OffsetDateTime::now_utc();
        // Half a day more, so that no second of this test's changes how many whole ones are left.
        let at = |days: i64| now + Duration::days(days) + Duration::hours(12);
        (own.not_before, own.not_after) = (at(days.0), at(days.1));
        let own = own.signed_by(&key, &authority).unwrap();
        let provider = Arc::new(CryptoProfile::Modern.provider());
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![own.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(server));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let at = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let _ = acceptor.accept(stream).await;
        });
        let mut roots = RootCertStore::empty();
        if trusted {
            roots.add(authority.der().clone()).unwrap();
        }
        let tls = trusting(roots, CryptoProfile::Modern);
        let line = line(&way("localhost", at, tls)).await.unwrap();
        serving.abort();
        line
    }

    #[tokio::test]
    async fn a_trusted_certificate_is_told_with_its_days_and_a_short_one_is_poor() {
        let line = seen("localhost", (-1, 60), true).await;
        assert_eq!(line.state, State::Good, "{line:?}");
        let words = "TLS 1.3, 1 certificates, trusted here for localhost, the first for 60 days more";
        assert_eq!(line.seen, words);
        let line = seen("localhost", (-1, 5), true).await;
        assert_eq!(line.state, State::Poor);
        assert!(
            line.seen.ends_with(" 5 days more") && line.remedy.unwrap().contains("renew"),
            "{}",
            line.seen
        );
    }

    #[tokio::test]
    async fn each_fault_of_a_certificate_has_its_own_remedy() {
        for (name, days, trusted, remedy) in [
            ("localhost", (-1, 60), false, "intermediate certificates"),
            ("other.example", (-1, 60), true, "--host"),
            ("localhost", (-9, -1), true, "renew it"),
            ("localhost", (2, 60), true, "clock"),
        ] {
            let line = seen(name, days, trusted).await;
            assert_eq!(line.state, State::Bad, "{line:?}");
            assert!(line.remedy.as_ref().unwrap().contains(remedy), "{remedy}: {line:?}");
        }
    }

    #[tokio::test]
    async fn who_is_not_there_and_who_speaks_no_tls_are_told() {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let at: SocketAddr = listener.local_addr().unwrap();
        assert!(line(&way("localhost", at, None)).await.is_none(), "nobody speaks it");
        drop(listener);
        let tls = trusting(RootCertStore::empty(), CryptoProfile::Modern);
        let line = line(&way("127.0.0.1", at, tls)).await.unwrap();
        assert_eq!(line.state, State::Bad);
        assert!(
            line.seen.contains("refused") && line.remedy.unwrap().contains("port is open"),
            "{}",
            line.seen
        );
    }
}
