// SPDX-License-Identifier: EUPL-1.2
//! A storage that speaks S3: what is sent there, in which order, and how it is known that it lies there as it was. Each request carries
//! the SHA-256 of its body, which the storage compares; of a file that is whole its length is asked for.

use std::fmt;
use std::io;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use hyper::Method;
use object_store::aws::{AmazonS3, AmazonS3Builder, Checksum};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::signer::Signer as _;
use object_store::{
    Attribute, Attributes, BackoffConfig, ObjectStore as _, ObjectStoreExt as _, PutOptions, RetryConfig,
};
use parvis_store::TenantId;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use super::super::{folder, is_plain};
use super::http::Connector;
use super::state::{State, Upload};

/// Bytes of each part but the last: 10,000 parts, as many as S3 takes, are 156 GiB.
pub(super) const PART_BYTES: u64 = 16 << 20;
/// Small files after which it is written down that they lie there.
const NOTED_EACH: usize = 64;
/// How long a URL lasts by which a file is fetched there.
const URL_AGE: Duration = Duration::from_secs(60);

/// Which storage, and how it is spoken to.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct StorageSettings {
    /// `http://` or `https://`, with no path.
    pub(crate) endpoint: String,
    pub(crate) region: String,
    pub(crate) bucket: String,
    /// What the names of all objects begin with; empty: nothing.
    pub(crate) prefix: String,
    pub(crate) key_id: String,
    pub(crate) secret: String,
    /// Goes with a key that lasts for a while; empty: with none.
    pub(crate) token: String,
    /// Whether a request named it, and not the configuration.
    pub(crate) requested: bool,
    /// Whether the bucket is part of the path, and not of the host's name.
    pub(crate) path_style: bool,
    /// Whether files stay here when they lie there.
    pub(crate) keep_local: bool,
    /// Recordings that are sent at one time.
    pub(crate) parallel: usize,
}

impl fmt::Debug for StorageSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "storage {}/{}/{}", self.endpoint, self.bucket, self.prefix)
    }
}

/// Why something does not lie in the storage, or is not gone there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RemoteError {
    #[error("recording.storage: {0}")]
    Settings(String),
    #[error("the storage does not do it: {0}")]
    Storage(#[from] object_store::Error),
    #[error("{}: can't be read: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{name} has {there} bytes in the storage, and {here} here; it is sent anew")]
    Differs { name: String, here: u64, there: u64 },
    #[error(
        "its files lie in {0}, which is not what recording.storage names now; configure that again, or erase them there by hand"
    )]
    Elsewhere(String),
}

/// See the module's page.
#[derive(Clone)]
pub(crate) struct Remote {
    settings: Arc<StorageSettings>,
    store: Arc<AmazonS3>,
}

impl Remote {
    /// Ready to speak; nothing is asked yet.
    pub(crate) fn new(settings: StorageSettings) -> Result<Remote, RemoteError> {
        let wrong = |error: String| RemoteError::Settings(error);
        let connector = Connector::new().map_err(|error| wrong(error.to_string()))?;
        let backoff = BackoffConfig::default();
        let endpoint = match (settings.path_style, settings.endpoint.split_once("://")) {
            (false, Some((scheme, host))) => format!("{scheme}://{}.{host}", settings.bucket),
            _ => settings.endpoint.clone(),
        };
        let mut builder = AmazonS3Builder::new();
        if !settings.token.is_empty() {
            builder = builder.with_token(&settings.token);
        }
        let store = builder
            .with_allow_http(endpoint.starts_with("http://"))
            .with_endpoint(endpoint)
            .with_region(&settings.region)
            .with_bucket_name(&settings.bucket)
            .with_access_key_id(&settings.key_id)
            .with_secret_access_key(&settings.secret)
            .with_virtual_hosted_style_request(!settings.path_style)
            .with_checksum_algorithm(Checksum::SHA256)
            .with_retry(RetryConfig { backoff, max_retries: 2, retry_timeout: Duration::from_secs(60) })
            .with_http_connector(connector)
            .build()
            .map_err(|error| wrong(error.to_string()))?;
        Ok(Remote { settings: Arc::new(settings), store: Arc::new(store) })
    }

    /// How far a recording is of which nothing lies there.
    pub(super) fn nothing_yet(&self) -> State {
        State { place: self.place(), requested: self.settings.requested, ..State::default() }
    }

    pub(super) fn settings(&self) -> &StorageSettings {
        &self.settings
    }

    /// The bucket's address.
    pub(super) fn place(&self) -> String {
        format!("{}/{}", self.settings.endpoint, self.settings.bucket)
    }

    /// A file's address there, for those who have the right to it by other ways.
    pub(super) fn url(&self, tenant: &TenantId, id: &str, name: &str) -> String {
        format!("{}/{}", self.place(), self.key(tenant, id).join(name))
    }

    /// Where a file can be fetched for a minute, by whoever has this.
    pub(super) async fn signed(
        &self,
        tenant: &TenantId,
        id: &str,
        name: &str,
    ) -> Result<String, RemoteError> {
        let key = self.key(tenant, id).join(name);
        Ok(self.store.signed_url(Method::GET, &key, URL_AGE).await?.into())
    }

    /// Where a recording's files lie there: as they do here, below the prefix.
    fn key(&self, tenant: &TenantId, id: &str) -> Path {
        let here = folder(FilePath::new(""), tenant, id).unwrap_or_default();
        let here = here.iter().map(|part| part.to_string_lossy().into_owned());
        let prefix = self.settings.prefix.split('/').filter(|part| !part.is_empty()).map(str::to_owned);
        prefix.chain(here).collect()
    }

    /// Sends a file, from where an earlier try was interrupted, and writes down each step.
    pub(super) async fn send(
        &self,
        (tenant, id): (&TenantId, &str),
        (here, name): (&FilePath, &str),
        state: &mut State,
    ) -> Result<(), RemoteError> {
        let path = here.join(name);
        let key = self.key(tenant, id).join(name);
        let failed = |source| RemoteError::File { path: path.clone(), source };
        let (bytes, sha256) = hash(path.clone()).await.map_err(failed)?;
        let known = state.files.entry(name.to_owned()).or_default();
        if (known.bytes, &known.sha256) != (bytes, &sha256) {
            *known = Upload { bytes, sha256, ..Upload::default() };
        }
        let mut file = tokio::fs::File::open(&path).await.map_err(failed)?;
        if bytes <= PART_BYTES {
            let whole = read(&mut file, 0, bytes).await.map_err(failed)?;
            self.put((tenant, id), name, whole).await?;
        } else {
            self.send_parts((here, name), &key, &mut file, state).await?;
        }
        let there = self.store.head(&key).await?.size;
        if there != bytes {
            state.files.remove(name);
            state.write(here).map_err(failed)?;
            return Err(RemoteError::Differs { name: name.to_owned(), here: bytes, there });
        }
        if let Some(upload) = state.files.get_mut(name) {
            *upload = Upload { done: true, id: None, parts: Vec::new(), ..upload.clone() };
        }
        // Of thousands of small ones not each is written down: what is not is sent again.
        if bytes > PART_BYTES || state.files.len().is_multiple_of(NOTED_EACH) {
            state.write(here).map_err(failed)?;
        }
        Ok(())
    }

    /// Puts a file there that is small.
    pub(super) async fn put(
        &self,
        (tenant, id): (&TenantId, &str),
        name: &str,
        bytes: Bytes,
    ) -> Result<(), RemoteError> {
        let key = self.key(tenant, id).join(name);
        let options = PutOptions { attributes: attributes(name), ..PutOptions::default() };
        self.store.put_opts(&key, bytes.into(), options).await?;
        Ok(())
    }

    /// Puts something there that is no recording's, below the prefix.
    pub(crate) async fn put_beside(&self, name: &str, bytes: Bytes) -> Result<(), RemoteError> {
        let prefix = self.settings.prefix.split('/').chain(name.split('/'));
        let key: Path = prefix.filter(|part| !part.is_empty()).map(str::to_owned).collect();
        self.store.put_opts(&key, bytes.into(), PutOptions::default()).await?;
        Ok(())
    }

    /// Puts something there that is no recording's, reads it, compares it, erases it, and looks that it is gone.
    pub(crate) async fn rehearse(&self, bytes: Bytes) -> Result<(), RemoteError> {
        let name = format!(".parvis-{:016x}", rand::random::<u64>());
        self.put_beside(&name, bytes.clone()).await?;
        let prefix = self.settings.prefix.split('/').filter(|part| !part.is_empty()).map(str::to_owned);
        let key: Path = prefix.chain([name]).collect();
        let there = match self.store.get(&key).await {
            Ok(found) => found.bytes().await,
            Err(error) => Err(error),
        };
        // Whatever came of it, nothing is to be left.
        self.store.delete(&key).await?;
        if there? != bytes {
            return Err(RemoteError::Settings(format!("{key} came back as something else")));
        }
        match self.store.head(&key).await {
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
            Ok(_) => Err(RemoteError::Settings(format!("{key} is still there though it was erased"))),
        }
    }

    async fn send_parts(
        &self,
        (here, name): (&FilePath, &str),
        key: &Path,
        file: &mut tokio::fs::File,
        state: &mut State,
    ) -> Result<(), RemoteError> {
        let failed = |source| RemoteError::File { path: here.join(name), source };
        let mut upload = state.files.get(name).cloned().unwrap_or_default();
        let keep = |upload: &Upload, state: &mut State| {
            state.files.insert(name.to_owned(), upload.clone());
            state.write(here).map_err(failed)
        };
        let id = match upload.id.clone() {
            Some(id) => id,
            None => {
                let id = self.store.create_multipart(key).await?;
                upload.id = Some(id.clone());
                upload.parts.clear();
                if let Err(error) = keep(&upload, state) {
                    // Nobody would know of it.
                    let _ = self.store.abort_multipart(key, &id).await;
                    return Err(error);
                }
                id
            }
        };
        let count = upload.bytes.div_ceil(PART_BYTES);
        for part in (upload.parts.len() as u64)..count {
            let first = part * PART_BYTES;
            let body = read(file, first, PART_BYTES.min(upload.bytes - first)).await.map_err(failed)?;
            let index = usize::try_from(part).unwrap_or(usize::MAX);
            match self.store.put_part(key, &id, index, body.into()).await {
                Ok(part) => upload.parts.push(part.content_id),
                Err(error) => return Err(self.given_up(error, &mut upload, |upload| keep(upload, state))),
            }
            keep(&upload, state)?;
        }
        let parts = upload.parts.iter().map(|part| PartId { content_id: part.clone() }).collect();
        match self.store.complete_multipart(key, &id, parts).await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.given_up(error, &mut upload, |upload| keep(upload, state))),
        }
    }

    /// An upload that the storage knows no more begins anew.
    fn given_up(
        &self,
        error: object_store::Error,
        upload: &mut Upload,
        keep: impl FnOnce(&Upload) -> Result<(), RemoteError>,
    ) -> RemoteError {
        if matches!(error, object_store::Error::NotFound { .. }) {
            upload.id = None;
            upload.parts.clear();
            if let Err(error) = keep(upload) {
                return error;
            }
        }
        error.into()
    }

    /// Erases all that lies there of a recording, parts of files as well, and looks that nothing is left.
    pub(super) async fn erase(&self, tenant: &TenantId, id: &str, state: &State) -> Result<(), RemoteError> {
        if state.place != self.place() {
            return Err(RemoteError::Elsewhere(state.place.clone()));
        }
        let folder = self.key(tenant, id);
        for (name, upload) in &state.files {
            let Some(begun) = upload.id.as_ref().filter(|_| is_plain(name)) else { continue };
            gone(self.store.abort_multipart(&folder.clone().join(name.as_str()), begun).await)?;
        }
        let lying: Vec<_> = self.store.list(Some(&folder)).try_collect().await?;
        for object in lying {
            gone(self.store.delete(&object.location).await)?;
        }
        let left: Vec<_> = self.store.list(Some(&folder)).try_collect().await?;
        match left.first() {
            None => Ok(()),
            Some(object) => {
                Err(RemoteError::Settings(format!("{} is still there though it was erased", object.location)))
            }
        }
    }
}

/// What a player or a cache before the storage is to know of a file of a stream, by its name.
fn attributes(name: &str) -> Attributes {
    const LASTING: &str = "public, max-age=31536000, immutable";
    let (kind, caching) = match name.rsplit_once('.').map(|(_, suffix)| suffix) {
        Some("m3u8") => ("application/vnd.apple.mpegurl", Some("no-cache")),
        Some("m4s") => ("video/mp4", Some(LASTING)),
        // One that takes the place of the one before has the same name.
        Some("jpeg") => ("image/jpeg", None),
        _ => return Attributes::new(),
    };
    let mut attributes = Attributes::new();
    attributes.insert(Attribute::ContentType, kind.into());
    if let Some(caching) = caching {
        attributes.insert(Attribute::CacheControl, caching.into());
    }
    attributes
}

/// What was not there is gone.
fn gone(answer: object_store::Result<()>) -> Result<(), RemoteError> {
    match answer {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

async fn read(file: &mut tokio::fs::File, first: u64, bytes: u64) -> io::Result<Bytes> {
    file.seek(io::SeekFrom::Start(first)).await?;
    let mut body = vec![0; usize::try_from(bytes).unwrap_or(usize::MAX)];
    file.read_exact(&mut body).await?;
    Ok(body.into())
}

/// A file's length and its SHA-256, in hexadecimal digits.
async fn hash(path: PathBuf) -> io::Result<(u64, String)> {
    let work = move || {
        let mut hasher = Sha256::new();
        let bytes = io::copy(&mut std::fs::File::open(path)?, &mut hasher)?;
        Ok((bytes, hex::encode(hasher.finalize())))
    };
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
