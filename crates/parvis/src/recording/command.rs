// SPDX-License-Identifier: EUPL-1.2
//! `parvis recording`: which recordings there are, and their erasure. What needs a key or decodes is done by the media worker's
//! program, which this one becomes for it.

use std::collections::HashSet;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use livekit_protocol::EgressInfo;
use parvis_store::{EraseReason, Erasure, Store, TenantId};
use serde_json::json;

use super::kept::{self, EraseError, Folder, bytes_of, millis};
use super::words::{length, moment, plain, short, size, table};
use super::{RecordingError, Remote, book, worker};
use crate::cli::{self, MediaTool, OneRecording, Recording, Recordings, Whose};
use crate::config::Config;
use crate::serve::Settings;
use crate::settings::settle;
use crate::{Problem, runtime, stored};

/// Characters of a room's name, and of an error, in a table.
const MAX_ROOM_CHARS: usize = 40;
const MAX_ERROR_CHARS: usize = 60;
/// The columns of a table that are numbers.
const NUMBERS: [usize; 3] = [3, 4, 5];

/// Does what the command line says.
pub(crate) fn run(command: &Recording) -> Result<(), Problem> {
    match command {
        Recording::List(arguments) => runtime()?.block_on(list(arguments)),
        Recording::Show(arguments) => runtime()?.block_on(show(arguments)),
        Recording::Erase(arguments) => runtime()?.block_on(erase(arguments)),
        Recording::Verify(tool) => start("verify", tool),
        Recording::Decrypt(tool) => start("decrypt", tool),
        Recording::Recover(tool) => start("recover", tool),
        Recording::Export(tool) => start("export", tool),
        Recording::Compose(tool) => start("compose", tool),
    }
}

/// Becomes the media worker's program, with its own command of this name. Where a configuration says in which directory recordings
/// lie, the first argument that is the id of one of them stands for its folder.
pub(crate) fn start(name: &str, tool: &MediaTool) -> Result<(), Problem> {
    let mut arguments = tool.arguments.clone();
    let path = match tool.config.clone() {
        Some(config) => {
            let whose = cli::Settings { config: Some(config), ..cli::Settings::default() };
            let settings = settle(&whose)?.0;
            place(&mut arguments, &settings.config.recordings_directory(&settings.base))?;
            if name == "probe" && !arguments.iter().any(|argument| argument == "--encoder") {
                arguments.extend(["--encoder".into(), settings.config.recording.encoder.clone().into()]);
            }
            settings.config.media_worker(&settings.base)
        }
        None => Config::default().media_worker(Path::new("")),
    };
    let failed = |source| RecordingError::Worker { path: path.clone(), source };
    worker::check(&path).map_err(failed)?;
    // It comes back only when it fails.
    Err(failed(Command::new(&path).arg(name).args(&arguments).exec()).into())
}

/// Puts a recording's folder in the place of its id. What is there in the file system under that name goes before it.
fn place(arguments: &mut [OsString], directory: &Path) -> Result<(), Problem> {
    let is_id = |argument: &&mut OsString| {
        argument.to_str().is_some_and(|text| text.starts_with(kept::ID_PREFIX))
            && !Path::new(argument).exists()
    };
    let Some(argument) = arguments.iter_mut().find(is_id) else { return Ok(()) };
    let (folders, _) = kept::folders(directory);
    let of = |one: &Folder| {
        let found = *argument == *one.id;
        found.then(|| super::folder(directory, &one.tenant, &one.id)).flatten()
    };
    let mut found: Vec<PathBuf> = folders.iter().filter_map(of).collect();
    match found.len() {
        // The worker says that it is nowhere.
        0 => Ok(()),
        1 => {
            *argument = found.remove(0).into_os_string();
            Ok(())
        }
        _ => {
            let id = argument.to_string_lossy();
            let paths: Vec<String> = found.iter().map(|path| path.display().to_string()).collect();
            Err(format!("several organisations have a recording {id}; name the folder: {}", paths.join(", "))
                .into())
        }
    }
}

/// Does `work` with the store and the directory of recordings of a configuration, and closes what it opened however that ends.
async fn with<T>(
    whose: &Whose,
    work: impl AsyncFnOnce(&Store, &Path) -> Result<T, Problem>,
) -> Result<(T, Settings), Problem> {
    let settings = stored::settled(whose)?;
    let directory = settings.config.recordings_directory(&settings.base);
    let store = stored::open(whose).await?;
    let done = work(&store, &directory).await;
    store.close().await;
    Ok((done?, settings))
}

async fn list(arguments: &Recordings) -> Result<(), Problem> {
    let Recordings { room, tenant, json, whose } = arguments;
    let ((mut lines, problems), settings) = with(whose, all).await?;
    lines.retain(|line| {
        room.as_ref().is_none_or(|room| line.room == *room)
            && tenant.as_ref().is_none_or(|tenant| line.tenant.as_str() == tenant)
    });
    lines.sort_by(|one, other| (one.started_ms, &one.id).cmp(&(other.started_ms, &other.id)));
    if *json {
        for line in &lines {
            let mut said = line.json();
            said["kept_until_ms"] = json!(line.kept_until_ms(&settings));
            println!("{said}");
        }
    } else if lines.is_empty() {
        println!("no recordings");
    } else {
        print!("{}", in_table(&lines));
    }
    for problem in problems {
        eprintln!("parvis: {problem}");
    }
    Ok(())
}

async fn show(arguments: &OneRecording) -> Result<(), Problem> {
    let OneRecording { id, tenant, json, whose } = arguments;
    let find = async |store: &Store, directory: &Path| {
        let tenant = tenant_of(store, directory, id, tenant.as_deref()).await?;
        let line = one(store, directory, &tenant, id).await?;
        let folder = super::folder(directory, &tenant, id).filter(|folder| folder.is_dir());
        Ok((line, folder))
    };
    let ((line, folder), settings) = with(whose, find).await?;
    let until_ms = line.kept_until_ms(&settings);
    let files = folder.as_deref().map(on_disk).transpose()?.unwrap_or_default();
    if *json {
        let mut said = line.json();
        said["kept_until_ms"] = json!(until_ms);
        said["directory"] = json!(folder.map(|folder| folder.display().to_string()));
        said["on_disk"] = files.iter().map(|(name, bytes)| json!({ "name": name, "bytes": bytes })).collect();
        println!("{said}");
        return Ok(());
    }
    print!("{}", line.in_words());
    if let Some(until_ms) = until_ms {
        println!("kept until    {} UTC", moment(until_ms));
    }
    if let Some(folder) = folder {
        println!("directory     {}", folder.display());
    }
    for (name, bytes) in files {
        println!("{:>12}  {}", size(bytes), plain(&name));
    }
    Ok(())
}

async fn erase(arguments: &OneRecording) -> Result<(), Problem> {
    let OneRecording { id, tenant, json, whose } = arguments;
    let settings = stored::settled(whose)?;
    let remote =
        settings.config.storage(&settings.base).map_err(|(key, problem)| format!("{key}: {problem}"))?;
    let remote = remote.map(Remote::new).transpose()?;
    let erase = async |store: &Store, directory: &Path| {
        let tenant = tenant_of(store, directory, id, tenant.as_deref()).await?;
        let now_ms = millis(book::unix_nanos());
        let places = (directory, remote.as_ref());
        match kept::erase(store, places, (&tenant, id), EraseReason::Asked, now_ms).await {
            Ok(erasure) => Ok(Line::of_erasure(tenant, erasure)),
            Err(EraseError::Unknown(_)) => match store.erasure(&tenant, id).await? {
                Some(Erasure { erased_ms, why, .. }) => {
                    let (when, why) = (moment(erased_ms), why.as_str());
                    Err(format!("{id} was erased already: {when} UTC ({why})").into())
                }
                None => Err(EraseError::Unknown(id.clone()).into()),
            },
            Err(error) => Err(Problem::from(error)),
        }
    };
    let (line, _) = with(whose, erase).await?;
    if *json {
        println!("{}", line.json());
    } else {
        let Line { files, bytes, .. } = line;
        println!("{id} erased: {files} files, {}", size(bytes));
    }
    Ok(())
}

/// Every recording that there is or was, and what could not be looked into.
async fn all(store: &Store, directory: &Path) -> Result<(Vec<Line>, Vec<EraseError>), Problem> {
    // The disk first: a recording's record is there before its folder is.
    let (folders, problems) = kept::folders(directory);
    let records = store.egresses().await?;
    let erasures = store.erasures().await?;
    let mut lines: Vec<Line> =
        records.into_iter().map(|(tenant, egress)| Line::of_record(tenant, &egress)).collect();
    let known: HashSet<(&TenantId, &str)> =
        lines.iter().map(|line| (&line.tenant, line.id.as_str())).collect();
    let is_known = |folder: &Folder| known.contains(&(&folder.tenant, folder.id.as_str()));
    let unknown: Vec<Folder> = folders.into_iter().filter(|folder| !is_known(folder)).collect();
    lines.extend(unknown.into_iter().map(Line::of_folder));
    lines.extend(erasures.into_iter().map(|(tenant, erasure)| Line::of_erasure(tenant, erasure)));
    Ok((lines, problems))
}

/// One recording that is or was.
async fn one(store: &Store, directory: &Path, tenant: &TenantId, id: &str) -> Result<Line, Problem> {
    if let Some(egress) = store.egress(tenant, id).await? {
        return Ok(Line::of_record(tenant.clone(), &egress));
    }
    let (folders, _) = kept::folders(directory);
    if let Some(folder) = folders.into_iter().find(|folder| folder.id == id && folder.tenant == *tenant) {
        return Ok(Line::of_folder(folder));
    }
    let erasure = store.erasure(tenant, id).await?;
    let erasure = erasure.ok_or_else(|| EraseError::Unknown(id.to_owned()))?;
    Ok(Line::of_erasure(tenant.clone(), erasure))
}

/// Whose recording it is, if nobody said.
async fn tenant_of(
    store: &Store,
    directory: &Path,
    id: &str,
    named: Option<&str>,
) -> Result<TenantId, Problem> {
    if let Some(named) = named {
        return Ok(TenantId::new(named));
    }
    let mut tenants = store.tenants_of_egress(id).await?;
    if tenants.is_empty() {
        let (folders, _) = kept::folders(directory);
        tenants.extend(folders.into_iter().filter(|folder| folder.id == id).map(|folder| folder.tenant));
    }
    match tenants.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(EraseError::Unknown(id.to_owned()).into()),
        several => {
            let names: Vec<&str> = several.iter().map(TenantId::as_str).collect();
            let names = names.join(", ");
            Err(format!("several organisations have a recording {id}: {names}; say --tenant").into())
        }
    }
}

/// The files of a folder with their sizes, by name.
fn on_disk(folder: &Path) -> Result<Vec<(String, u64)>, Problem> {
    let unread =
        |path: PathBuf| move |error: std::io::Error| format!("{}: cannot be read: {error}", path.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unread(folder.to_owned()))? {
        let entry = entry.map_err(unread(folder.to_owned()))?;
        let bytes = entry.metadata().map_err(unread(entry.path()))?.len();
        files.push((entry.file_name().to_string_lossy().into_owned(), bytes));
    }
    files.sort();
    Ok(files)
}

/// What is said of a recording. Times are milliseconds since 1970, 0 where nobody knows.
struct Line {
    tenant: TenantId,
    id: String,
    room: String,
    state: String,
    started_ms: i64,
    ended_ms: i64,
    files: u64,
    bytes: u64,
    error: String,
    erased: Option<(i64, EraseReason)>,
}

impl Line {
    fn of_record(tenant: TenantId, egress: &EgressInfo) -> Line {
        let status = egress.status().as_str_name();
        Line {
            tenant,
            id: egress.egress_id.clone(),
            room: egress.room_name.clone(),
            state: status.strip_prefix("EGRESS_").unwrap_or(status).to_lowercase(),
            started_ms: millis(egress.started_at),
            ended_ms: millis(egress.ended_at),
            files: egress.file_results.len() as u64,
            bytes: bytes_of(egress),
            error: egress.error.clone(),
            erased: None,
        }
    }

    /// Of files whose record had to give way to others.
    fn of_folder(folder: Folder) -> Line {
        let Folder { tenant, id, written_ms, files, bytes } = folder;
        let state = "no_record".to_owned();
        let (room, error) = (String::new(), String::new());
        Line {
            tenant,
            id,
            room,
            state,
            started_ms: 0,
            ended_ms: written_ms,
            files,
            bytes,
            error,
            erased: None,
        }
    }

    fn of_erasure(tenant: TenantId, erasure: Erasure) -> Line {
        let Erasure { egress_id: id, room, started_ms, ended_ms, erased_ms, why, files, bytes } = erasure;
        let (state, error) = ("erased".to_owned(), String::new());
        let erased = Some((erased_ms, why));
        Line { tenant, id, room, state, started_ms, ended_ms, files, bytes, error, erased }
    }

    fn json(&self) -> serde_json::Value {
        let known = |ms: i64| (ms > 0).then_some(ms);
        json!({
            "id": self.id, "tenant": self.tenant.as_str(), "room": self.room, "state": self.state,
            "started_ms": known(self.started_ms), "ended_ms": known(self.ended_ms),
            "files": self.files, "bytes": self.bytes, "error": self.error,
            "erased_ms": self.erased.map(|(at, _)| at), "why": self.erased.map(|(_, why)| why.as_str()),
        })
    }

    /// Until when it is kept, in milliseconds since 1970; `None`: for good, or it is not there.
    fn kept_until_ms(&self, settings: &Settings) -> Option<i64> {
        let directory = settings.config.recordings_directory(&settings.base);
        let keep = settings.config.recording_retention();
        keep.until_ms(&directory, (&self.tenant, &self.id), self.ended_ms).filter(|_| self.erased.is_none())
    }

    fn length(&self) -> String {
        match (self.started_ms, self.ended_ms) {
            (1.., 1..) => length(self.ended_ms - self.started_ms),
            _ => "-".to_owned(),
        }
    }

    /// How it ended.
    fn outcome(&self) -> String {
        let state = self.state.replace('_', " ");
        match self.erased {
            Some((at, why)) => format!("{state} {} ({})", moment(at), why.as_str()),
            None if self.error.is_empty() => state,
            None => format!("{state}: {}", plain(&self.error)),
        }
    }

    fn in_words(&self) -> String {
        let Line { tenant, id, room, started_ms, ended_ms, files, bytes, .. } = self;
        format!(
            "recording     {}\norganisation  {}\nroom          {}\nstate         {}\nstarted       {} UTC\n\
             ended         {} UTC\nlength        {}\nfiles         {files}, {}\n",
            plain(id),
            plain(tenant.as_str()),
            plain(room),
            self.outcome(),
            moment(*started_ms),
            moment(*ended_ms),
            self.length(),
            size(*bytes),
        )
    }
}

/// All of them under each other. Organisations are named where there is more than the one that everybody has.
fn in_table(lines: &[Line]) -> String {
    let head = ["RECORDING", "ROOM", "STARTED (UTC)", "LENGTH", "FILES", "SIZE", "STATE"];
    let several = lines.iter().any(|line| line.tenant != TenantId::default());
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(lines.iter().map(|line| {
        vec![
            plain(&line.id),
            short(&plain(&line.room), MAX_ROOM_CHARS),
            moment(line.started_ms),
            line.length(),
            line.files.to_string(),
            size(line.bytes),
            short(&line.outcome(), MAX_ERROR_CHARS),
        ]
    }));
    if several {
        let names = lines.iter().map(|line| short(&plain(line.tenant.as_str()), MAX_ROOM_CHARS));
        for (row, name) in rows.iter_mut().zip(["ORGANISATION".to_owned()].into_iter().chain(names)) {
            row.push(name);
        }
    }
    table(&rows, &NUMBERS)
}
