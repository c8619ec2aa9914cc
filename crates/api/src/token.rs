// SPDX-License-Identifier: EUPL-1.2
//! Access tokens: JSON Web Tokens that say who comes to which room (RFC 7519, the claims are the LiveKit SDKs').

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use livekit_protocol::RoomAgentDispatch;
use livekit_token::{AccessToken, Claims, SIPGrants, TokenVerifier, VideoGrants};
use parvis_meeting::{Kind, Permissions, TrackSource, text};
use parvis_signal::{Beside, Grants};
use parvis_store::StoredKey;
use serde::Deserialize;

use crate::authority::Authority;
use crate::tenant::TenantId;

/// The longest token read, in bytes: 64 KiB of metadata and 64 KiB of attributes in base64 would be 171 KiB, but no
/// HTTP stack carries a header or URL of that size.
const MAX_TOKEN_BYTES: usize = 64 << 10;
/// The only algorithm (RFC 7518 section 3.2). It is fixed for every key; what the header says decides nothing.
const ALGORITHM: &str = "HS256";
/// Secrets shorter than HMAC-SHA-256's output can be searched for (RFC 7518 section 3.2).
pub const MIN_SECRET_BYTES: usize = 32;
/// The development keys that every LiveKit example uses; the whole world knows them.
pub const DEV_KEY: (&str, &str) = ("devkey", "secret");
/// How long the signature of a body holds: what somebody else recorded is of no use after that (row 50).
const BODY_AGE: Duration = Duration::from_secs(300);
/// How far clocks may differ.
const LEEWAY: Duration = Duration::from_secs(60);

/// The keys that may sign, and how long what they sign may last.
#[derive(Debug, Clone)]
pub struct Keys {
    /// In the order of the configuration: a tenant's first one signs for it.
    keys: Vec<ApiKey>,
    max_age: Duration,
    room_name_chars: usize,
    identity_chars: usize,
}

#[derive(Clone)]
struct ApiKey {
    name: String,
    secret: String,
    tenant: TenantId,
}

impl std::fmt::Debug for ApiKey {
    /// A secret gets into no log.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ApiKey").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What a token that holds says.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified {
    /// Whose key signed it.
    pub tenant: TenantId,
    /// The one room that it opens.
    pub room: String,
    /// Whether it may make that room where rooms don't come to be by themselves.
    pub may_create: bool,
    /// Programs that are asked for when the room comes to be by this token.
    pub agents: Vec<RoomAgentDispatch>,
    /// The name of the configuration that its room is to have; empty when it names none.
    pub preset: String,
    /// Who comes, and what it may do there.
    pub grants: Grants,
}

/// Why a key table is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No key at all.
    #[error("no API key: nobody could join; add one, such as made by `parvis key create`")]
    None,
    /// Everyone knows it.
    #[error("API key \"devkey\" with its public secret is for --dev only: make one with `parvis key create`")]
    Development,
    /// It could be guessed.
    #[error(
        "the secret of API key \"{key}\" has {bytes} bytes, it needs {MIN_SECRET_BYTES}: make one with `parvis key create`"
    )]
    Weak {
        /// Which.
        key: String,
        /// How long it is.
        bytes: usize,
    },
    /// Two of the same name.
    #[error("API key \"{0}\" is there twice")]
    Twice(String),
}

/// Why a token opens nothing. It never carries the token itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// None was sent.
    #[error("no token: send it as `Authorization: Bearer …` or as the query parameter access_token")]
    Missing,
    /// Not a token at all.
    #[error("the token is malformed: {0}")]
    Malformed(&'static str),
    /// Another algorithm, or none.
    #[error("the token is not signed with HS256")]
    Algorithm,
    /// No key of ours, wrongly signed, expired or not valid yet; which of them is not said to a stranger.
    #[error("the token is not valid: unknown key, wrong signature, expired or not valid yet")]
    Refused,
    /// It lasts longer than the server allows.
    #[error("the token lasts longer than the {0} s that this server allows")]
    LastsTooLong(u64),
    /// It doesn't allow to join a room.
    #[error("the token allows no room to be joined: {0}")]
    NoJoin(&'static str),
}

/// The part of a token's header that we look at (RFC 7515 section 4.1). `jku`, `jwk`, `x5u` and `kid` are not looked at:
/// keys come from the configuration alone.
#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    crit: Option<serde_json::Value>,
}

impl Keys {
    /// Takes a key table. Outside of development, keys that can be guessed are refused.
    pub fn new(keys: Vec<(String, String)>, max_age: Duration, dev: bool) -> Result<Keys, KeyError> {
        let mut names = BTreeSet::new();
        for (key, secret) in &keys {
            if !names.insert(key) {
                return Err(KeyError::Twice(key.clone()));
            }
            if !dev && (key == DEV_KEY.0 || secret == DEV_KEY.1) {
                return Err(KeyError::Development);
            }
            if !dev && secret.len() < MIN_SECRET_BYTES {
                return Err(KeyError::Weak { key: key.clone(), bytes: secret.len() });
            }
        }
        if keys.is_empty() {
            return Err(KeyError::None);
        }
        let tenant = TenantId::default();
        let keys = keys.into_iter().map(|(name, secret)| ApiKey { name, secret, tenant: tenant.clone() });
        Ok(Keys { keys: keys.collect(), max_age, room_name_chars: 256, identity_chars: 256 })
    }

    /// Says whose a key is. Those of which nothing is said are the default tenant's.
    pub fn assign(mut self, key: &str, tenant: &TenantId) -> Keys {
        for each in self.keys.iter_mut().filter(|each| each.name == key) {
            each.tenant = tenant.clone();
        }
        self
    }

    /// These, and those that are kept in the store. Of two with one name the one here goes before.
    #[must_use]
    pub fn with_stored(mut self, stored: Vec<StoredKey>) -> Keys {
        for StoredKey { tenant, name, secret } in stored {
            if secret.len() >= MIN_SECRET_BYTES && self.tenant_of(&name).is_none() {
                self.keys.push(ApiKey { name, secret, tenant });
            }
        }
        self
    }

    /// The key of a tenant's that signs what is sent to others: the one of this name, or its first.
    pub(crate) fn signer(&self, tenant: &TenantId, name: &str) -> Option<&str> {
        let fits = |key: &&ApiKey| key.tenant == *tenant && (name.is_empty() || key.name == name);
        self.keys.iter().find(fits).map(|key| key.name.as_str())
    }

    /// Whose the key of this name is.
    pub(crate) fn tenant_of(&self, name: &str) -> Option<&TenantId> {
        self.keys.iter().find(|key| key.name == name).map(|key| &key.tenant)
    }

    /// Characters that a room's name may have.
    pub(crate) fn room_name_chars(&self) -> usize {
        self.room_name_chars
    }

    /// Checks a token and reads it.
    pub fn verify(&self, token: &str) -> Result<Verified, TokenError> {
        let (claims, tenant) = self.claims(token)?;
        if !claims.video.room_join {
            return Err(TokenError::NoJoin("it has no grant roomJoin"));
        }
        let room = claims.video.room.clone();
        text::check_name("room", &room, self.room_name_chars)
            .map_err(|_| TokenError::NoJoin("its room has no name, or one that can't be"))?;
        text::check_name("identity", &claims.sub, self.identity_chars)
            .map_err(|_| TokenError::NoJoin("its identity is missing, or can't be"))?;
        let agents = claims.room_config.as_ref().map(|config| config.agents.clone()).unwrap_or_default();
        let may_create = claims.video.room_create;
        let mut grants = grants(claims)?;
        let further = Further::of(token);
        grants.permissions.can_subscribe_metrics = further.video.can_subscribe_metrics;
        Ok(Verified { tenant, room, may_create, agents, preset: further.room_preset, grants })
    }

    /// Checks a token of the server APIs. What it may do is another question.
    pub(crate) fn authority(&self, token: &str) -> Result<Authority, TokenError> {
        let (claims, tenant) = self.claims(token)?;
        let not_before = claims.nbf as u64;
        let (key, identity) = (claims.iss, claims.sub);
        Ok(Authority { tenant, key, identity, not_before, video: claims.video, sip: claims.sip })
    }

    /// Checks signature and times.
    fn claims(&self, token: &str) -> Result<(Claims, TenantId), TokenError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::Malformed("it is too long"));
        }
        let (header, _) = token.split_once('.').ok_or(TokenError::Malformed("it has no parts"))?;
        let header = URL_SAFE_NO_PAD.decode(header).map_err(|_| TokenError::Malformed("its header"))?;
        let header: Header =
            serde_json::from_slice(&header).map_err(|_| TokenError::Malformed("its header"))?;
        if header.alg != ALGORITHM || header.crit.is_some() {
            return Err(TokenError::Algorithm);
        }
        let issuer = Claims::from_unverified(token).map_err(|_| TokenError::Malformed("its claims"))?.iss;
        let key = self.keys.iter().find(|key| key.name == issuer).ok_or(TokenError::Refused)?;
        let verifier = TokenVerifier::with_api_key(&key.name, &key.secret);
        let claims = verifier.verify(token).map_err(|_| TokenError::Refused)?;
        let latest = unix_now() + self.max_age + LEEWAY;
        if claims.exp as u64 > latest.as_secs() {
            return Err(TokenError::LastsTooLong(self.max_age.as_secs()));
        }
        Ok((claims, key.tenant.clone()))
    }

    /// Signs a body that is sent to others, with the key of that name or the first: a token that carries the body's SHA-256
    /// in the claim `sha256`, in base64, as the SDKs' webhook receivers check it.
    pub(crate) fn sign_body(&self, key: Option<&str>, body: &[u8]) -> Result<String, TokenError> {
        let found = self.keys.iter().find(|each| key.is_none_or(|key| key == each.name));
        let key = found.ok_or(TokenError::Refused)?;
        let hash = STANDARD.encode(digest(&SHA256, body));
        let token = AccessToken::with_api_key(&key.name, &key.secret).with_ttl(BODY_AGE).with_sha256(&hash);
        token.to_jwt().map_err(|_| TokenError::Refused)
    }

    /// Signs a token for a room of the default tenant's.
    pub fn issue(&self, room: &str, grants: &Grants, lifetime: Duration) -> Result<String, TokenError> {
        self.issue_for(&TenantId::default(), room, grants, lifetime)
    }

    /// Signs a token with a tenant's first key.
    pub fn issue_for(
        &self,
        tenant: &TenantId,
        room: &str,
        grants: &Grants,
        lifetime: Duration,
    ) -> Result<String, TokenError> {
        let key = self.keys.iter().find(|key| key.tenant == *tenant).ok_or(TokenError::Refused)?;
        let token = AccessToken::with_api_key(&key.name, &key.secret)
            .with_ttl(lifetime.min(self.max_age))
            .with_identity(&grants.identity)
            .with_name(&grants.name)
            .with_metadata(&grants.metadata)
            .with_attributes(grants.attributes.iter())
            .with_kind(kind_name(grants.kind))
            .with_grants(video_grants(room, grants))
            .with_sip_grants(SIPGrants { admin: grants.beside.sip_admin, call: grants.beside.sip_call });
        let token = token.to_jwt().map_err(|_| TokenError::NoJoin("room or identity is empty"))?;
        if grants.permissions.can_subscribe_metrics { with_metrics(&token, &key.secret) } else { Ok(token) }
    }
}

/// What a token that holds says and the claims' type lacks.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Further {
    room_preset: String,
    video: FurtherVideo,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct FurtherVideo {
    /// Whether its bearer may have what others' clients measure.
    can_subscribe_metrics: bool,
}

impl Further {
    fn of(token: &str) -> Further {
        let payload = token.split('.').nth(1).and_then(|payload| URL_SAFE_NO_PAD.decode(payload).ok());
        payload.and_then(|payload| serde_json::from_slice(&payload).ok()).unwrap_or_default()
    }
}

/// The same token with the grant that [`VideoGrants`] lacks.
fn with_metrics(token: &str, secret: &str) -> Result<String, TokenError> {
    let malformed = || TokenError::Malformed("its claims");
    let (signed, _) = token.rsplit_once('.').ok_or_else(malformed)?;
    let (header, payload) = signed.split_once('.').ok_or_else(malformed)?;
    let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| malformed())?;
    let mut claims: serde_json::Value = serde_json::from_slice(&payload).map_err(|_| malformed())?;
    claims["video"]["canSubscribeMetrics"] = true.into();
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), signed.as_bytes());
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag)))
}

fn unix_now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn grants(claims: Claims) -> Result<Grants, TokenError> {
    let video = claims.video;
    let mut permissions = Permissions {
        can_publish: video.can_publish(),
        can_publish_sources: BTreeSet::new(),
        can_subscribe: video.can_subscribe(),
        can_publish_data: video.can_publish_data(),
        can_update_profile: video.can_update_own_metadata(),
        can_subscribe_metrics: false,
        hidden: video.hidden,
        recorder: video.recorder,
    };
    if !video.can_publish_sources.is_empty() {
        permissions.can_publish_sources =
            video.can_publish_sources.iter().filter_map(|name| source(name)).collect();
        // The list decides. One that names only what we don't know allows nothing, where an empty one would allow all.
        permissions.can_publish = !permissions.can_publish_sources.is_empty();
    }
    let beside = Beside {
        room_admin: video.room_admin,
        room_create: video.room_create,
        room_list: video.room_list,
        room_record: video.room_record,
        ingress_admin: video.ingress_admin,
        sip_admin: claims.sip.admin,
        sip_call: claims.sip.call,
        destination_room: video.destination_room,
    };
    let kind = if video.agent && claims.kind.is_empty() { Some(Kind::Agent) } else { kind(&claims.kind) };
    Ok(Grants {
        identity: claims.sub,
        name: claims.name,
        metadata: claims.metadata,
        attributes: claims.attributes.into_iter().collect(),
        kind: kind.ok_or(TokenError::NoJoin("its kind is unknown"))?,
        permissions,
        not_before: claims.nbf as u64,
        room: claims.room_config.map(Box::new),
        beside,
    })
}

fn video_grants(room: &str, grants: &Grants) -> VideoGrants {
    let (permissions, beside) = (&grants.permissions, &grants.beside);
    VideoGrants {
        room_create: beside.room_create,
        room_list: beside.room_list,
        room_record: beside.room_record,
        room_admin: beside.room_admin,
        ingress_admin: beside.ingress_admin,
        destination_room: beside.destination_room.clone(),
        room_join: true,
        room: room.to_owned(),
        can_publish: Some(permissions.can_publish),
        can_subscribe: Some(permissions.can_subscribe),
        can_publish_data: Some(permissions.can_publish_data),
        can_publish_sources: permissions
            .can_publish_sources
            .iter()
            .filter_map(|source| source_name(*source))
            .map(str::to_owned)
            .collect(),
        can_update_own_metadata: Some(permissions.can_update_profile),
        hidden: permissions.hidden,
        recorder: permissions.recorder,
        agent: grants.kind == Kind::Agent,
    }
}

const SOURCES: [(&str, TrackSource); 4] = [
    ("camera", TrackSource::Camera),
    ("microphone", TrackSource::Microphone),
    ("screen_share", TrackSource::ScreenShare),
    ("screen_share_audio", TrackSource::ScreenShareAudio),
];

fn source(name: &str) -> Option<TrackSource> {
    SOURCES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, source)| *source)
}

fn source_name(source: TrackSource) -> Option<&'static str> {
    SOURCES.iter().find(|(_, known)| *known == source).map(|(name, _)| *name)
}

const KINDS: [(&str, Kind); 7] = [
    ("standard", Kind::Standard),
    ("ingress", Kind::Ingress),
    ("egress", Kind::Egress),
    ("sip", Kind::Sip),
    ("agent", Kind::Agent),
    ("connector", Kind::Connector),
    ("bridge", Kind::Bridge),
];

fn kind(name: &str) -> Option<Kind> {
    if name.is_empty() {
        return Some(Kind::Standard);
    }
    KINDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, kind)| *kind)
}

fn kind_name(kind: Kind) -> &'static str {
    KINDS.iter().find(|(_, known)| *known == kind).map_or("standard", |(name, _)| name)
}
