// SPDX-License-Identifier: EUPL-1.2
//! What cryptography is allowed, by one switch for TLS, DTLS and SRTP together. The whole tables, what was read of the rule
//! books and when, are in `docs/decisions/0039-tls-one-port.md`.

use std::fmt;
use std::str::FromStr;

use parvis_dtls::SrtpProfile;
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::{NamedGroup, SignatureScheme, SupportedCipherSuite};

/// A rule book.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CryptoProfile {
    /// What browsers and this server agree on at their best, and counter mode with SHA-1 for media of those that know
    /// nothing newer.
    #[default]
    Modern,
    /// Agence nationale de la sécurité des systèmes d'information: for TLS the guide SDE-NT-35 1.2 (26 March 2020), for sizes
    /// and hybrid key exchange ANSSI-PG-083 3.00 (20 March 2026), which is newer and goes before it.
    Anssi,
    /// Bundesamt für Sicherheit in der Informationstechnik: TR-02102-2 and TR-02102-1, 2026-01 (23 January 2026).
    Bsi,
}

/// The shortest RSA key of a certificate that each rule book takes, in bits: NIST SP 800-57, ANSSI-PG-083 3.00
/// `RecoFactorisation` 1 (its rule makes 3,072 bits a must from 2031 on), TR-02102-1 2026-01.
const MODERN_RSA_BITS: usize = 2_048;
const ANSSI_RSA_BITS: usize = 3_072;
const BSI_RSA_BITS: usize = 3_000;

impl CryptoProfile {
    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            CryptoProfile::Modern => "modern",
            CryptoProfile::Anssi => "anssi",
            CryptoProfile::Bsi => "bsi",
        }
    }

    /// What TLS takes and offers.
    pub fn provider(self) -> CryptoProvider {
        CryptoProvider {
            cipher_suites: self.suites(),
            kx_groups: self.groups(),
            ..aws_lc_rs::default_provider()
        }
    }

    /// What DTLS and SRTP take and offer. None of the rule books has a chapter on SRTP: what TLS has to be, its ciphers are.
    pub fn dtls(self) -> parvis_dtls::Config {
        match self {
            CryptoProfile::Modern => parvis_dtls::Config::default(),
            CryptoProfile::Anssi => parvis_dtls::Config {
                // SDE-NT-35 R7: the NIST curves go before x25519. PG-083 RecoSécuLongTerme: hybrid first.
                groups: "X25519MLKEM768:P-256:P-384:X25519".to_owned(),
                ciphers: Some("ECDHE+AESGCM+AES256:ECDHE+AESGCM:ECDHE+CHACHA20".to_owned()),
                // PG-083 RecoPQTailleCléSym: keys of 192 bits and more where the exchange withstands a quantum computer.
                srtp_profiles: vec![SrtpProfile::AeadAes256Gcm, SrtpProfile::AeadAes128Gcm],
                ..parvis_dtls::Config::default()
            },
            CryptoProfile::Bsi => parvis_dtls::Config {
                groups: "P-256:P-384".to_owned(),
                ciphers: Some("ECDHE+AESGCM".to_owned()),
                refused_ciphers: vec!["CHACHA20".to_owned()],
                srtp_profiles: vec![SrtpProfile::AeadAes128Gcm, SrtpProfile::AeadAes256Gcm],
                ..parvis_dtls::Config::default()
            },
        }
    }

    /// The shortest RSA key that a certificate may have, in bits.
    pub fn min_rsa_bits(self) -> usize {
        match self {
            CryptoProfile::Modern => MODERN_RSA_BITS,
            CryptoProfile::Anssi => ANSSI_RSA_BITS,
            CryptoProfile::Bsi => BSI_RSA_BITS,
        }
    }

    /// Whether TLS may sign so. TR-02102-2 2026-01 recommends RSA with PKCS #1 v1.5 no longer; with RSASSA-PSS it does.
    pub(super) fn signs_with(self, scheme: SignatureScheme) -> bool {
        use SignatureScheme as S;
        let is_pkcs1 = matches!(
            scheme,
            S::RSA_PKCS1_SHA1 | S::RSA_PKCS1_SHA256 | S::RSA_PKCS1_SHA384 | S::RSA_PKCS1_SHA512
        );
        self != CryptoProfile::Bsi || !is_pkcs1
    }

    /// Whether TLS 1.2 is spoken with those alone whose keys depend on the whole handshake (RFC 7627). Both agencies recommend it.
    pub(super) fn requires_extended_master_secret(self) -> bool {
        self != CryptoProfile::Modern
    }

    /// All that it allows, for people.
    pub fn describe(self) -> Vec<String> {
        let suites: Vec<String> = self.suites().iter().map(|suite| format!("{:?}", suite.suite())).collect();
        let groups: Vec<String> = self.groups().iter().map(|group| group_name(group.name())).collect();
        let dtls = self.dtls();
        let srtp: Vec<&str> = dtls.srtp_profiles.iter().map(|profile| profile.iana_name()).collect();
        let ciphers = dtls.ciphers.as_deref().unwrap_or("BoringSSL's own choice");
        let refused = match dtls.refused_ciphers.as_slice() {
            [] => String::new(),
            refused => format!(", never {}", refused.join(" ")),
        };
        let ems = if self.requires_extended_master_secret() {
            "; 1.2 with extended_master_secret alone"
        } else {
            ""
        };
        let rsa = if self.signs_with(SignatureScheme::RSA_PKCS1_SHA256) { "RSA" } else { "RSASSA-PSS" };
        vec![
            format!("TLS 1.3, 1.2: {}{ems}", suites.join(" ")),
            format!("TLS key exchange: {}", groups.join(" ")),
            format!("certificates: ECDSA, {rsa} from {} bits", self.min_rsa_bits()),
            format!("DTLS 1.3, 1.2: {ciphers}{refused}"),
            format!("DTLS key exchange: {}", dtls.groups.replace(':', " ")),
            format!("SRTP: {}", srtp.join(" ")),
        ]
    }

    /// All suites that `rustls` has are ECDHE with an AEAD, AES-256-GCM before AES-128-GCM before ChaCha20-Poly1305. All are
    /// in SDE-NT-35 annex A.1; TR-02102-2 2026-01 tables 3 and 13 have those with AES.
    fn suites(self) -> Vec<SupportedCipherSuite> {
        let is_chacha = |suite: &SupportedCipherSuite| format!("{:?}", suite.suite()).contains("CHACHA20");
        let all = aws_lc_rs::DEFAULT_CIPHER_SUITES.iter().copied();
        all.filter(|suite| self != CryptoProfile::Bsi || !is_chacha(suite)).collect()
    }

    fn groups(self) -> Vec<&'static dyn SupportedKxGroup> {
        match self {
            CryptoProfile::Modern => {
                vec![kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1]
            }
            // Hybrids (PG-083 RecoSécuLongTerme; ML-KEM-768 is its example), and the curves of SDE-NT-35 R7. `rustls` agrees to
            // the first of them in the client's order, not in this one.
            CryptoProfile::Anssi => vec![
                kx_group::X25519MLKEM768,
                kx_group::SECP256R1MLKEM768,
                kx_group::SECP256R1,
                kx_group::SECP384R1,
                kx_group::X25519,
            ],
            // Curves by TR-02102-2 2026-01; alone they are recommended until the end of 2031 (TR-02102-1 2026-01 section 2.1).
            CryptoProfile::Bsi => {
                vec![kx_group::SECP256R1MLKEM768, kx_group::SECP256R1, kx_group::SECP384R1]
            }
        }
    }
}

/// As IANA writes it.
fn group_name(group: NamedGroup) -> String {
    match group {
        NamedGroup::X25519MLKEM768 => "X25519MLKEM768".to_owned(),
        NamedGroup::secp256r1MLKEM768 => "SecP256r1MLKEM768".to_owned(),
        other => format!("{other:?}").to_lowercase(),
    }
}

impl fmt::Display for CryptoProfile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for CryptoProfile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [CryptoProfile::Modern, CryptoProfile::Anssi, CryptoProfile::Bsi];
        all.into_iter()
            .find(|profile| profile.name() == text)
            .ok_or_else(|| format!("\"{text}\" is no crypto profile; use \"modern\", \"anssi\" or \"bsi\""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_written_as_it_is_read() {
        for name in ["modern", "anssi", "bsi"] {
            assert_eq!(name.parse::<CryptoProfile>().unwrap().to_string(), name);
        }
        assert!("ANSSI".parse::<CryptoProfile>().unwrap_err().contains("\"anssi\""));
    }

    #[test]
    fn the_strict_profiles_know_no_sha_1_and_bsi_no_chacha_and_no_curve25519() {
        for profile in [CryptoProfile::Anssi, CryptoProfile::Bsi] {
            let said = profile.describe().join("\n");
            assert!(!said.contains("SHA1") && !said.contains("CBC"), "{said}");
        }
        assert!(CryptoProfile::Modern.describe().join("\n").contains("SHA1_80"));
        let bsi = CryptoProfile::Bsi.describe();
        assert!(!bsi.join("\n").to_lowercase().contains("x25519"), "{bsi:#?}");
        assert!(!bsi[0].contains("CHACHA20") && bsi[3].ends_with("never CHACHA20"), "{bsi:#?}");
        assert!(bsi[1].starts_with("TLS key exchange: SecP256r1MLKEM768"), "{bsi:#?}");
        let anssi = CryptoProfile::Anssi.describe();
        let exchange = "X25519MLKEM768 SecP256r1MLKEM768 secp256r1 secp384r1 x25519";
        assert_eq!(anssi[1], format!("TLS key exchange: {exchange}"));
        assert_eq!(anssi[5], "SRTP: SRTP_AEAD_AES_256_GCM SRTP_AEAD_AES_128_GCM");
        assert_eq!(anssi[2], "certificates: ECDSA, RSA from 3072 bits");
        assert_eq!(bsi[2], "certificates: ECDSA, RSASSA-PSS from 3000 bits");
    }
}
