// SPDX-License-Identifier: EUPL-1.2
//! What happened, in the words of whoever saw it. Who it was stands here by name; in the log it becomes a pseudonym.

use std::net::IpAddr;

/// Whoever takes events into the log. It never waits: neither a call nor a request is held up by it.
pub trait Sink: Send + Sync + 'static {
    /// Takes an event, or counts it as lost.
    fn record(&self, event: Event);

    /// Whether acts may happen that have to be in the log. False while the log takes none and the operator would rather have them refused.
    fn may_act(&self) -> bool;
}

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// This server, by itself.
    Server,
    /// Whoever has a shell on it.
    Operator,
    /// An application, by the name of its key.
    Key(String),
    /// A person, by the identity in the tenant and the name that others see.
    Person {
        /// The identity.
        identity: String,
        /// The name, where it is known.
        name: String,
    },
    /// Nobody knows.
    Nobody,
}

impl Who {
    /// A person of whom no name is known.
    pub fn person(identity: &str) -> Who {
        Who::Person { identity: identity.to_owned(), name: String::new() }
    }
}

/// What it was done with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    /// What kind of thing: `room`, `recording`, `key`, `call`, `config`, `log` …
    pub kind: &'static str,
    /// Its name or id.
    pub name: String,
}

impl Subject {
    /// A thing of that kind and name.
    pub fn new(kind: &'static str, name: &str) -> Subject {
        Subject { kind, name: name.to_owned() }
    }
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was not allowed.
    Refused,
    /// It failed.
    Failed,
}

impl Outcome {
    /// Its word in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Done => "done",
            Outcome::Refused => "refused",
            Outcome::Failed => "failed",
        }
    }
}

/// Declares acts and their words in the log, which stay what they are.
macro_rules! acts {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// What was done.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Act {
            $($(#[$doc])* $name,)*
        }

        impl Act {
            /// All there are, for documents and tests.
            pub const ALL: &[Act] = &[$(Act::$name,)*];

            /// Its word in the log.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Act::$name => $word,)*
                }
            }
        }
    };
}

acts! {
    /// The server began to serve.
    ServerStart = "server.start",
    /// The server stops.
    ServerStop = "server.stop",
    /// The configuration was read anew.
    ConfigReload = "config.reload",
    /// The self-test ran.
    Check = "check",
    /// An API key was made.
    KeyAdd = "key.add",
    /// An API key was taken away.
    KeyRemove = "key.remove",
    /// Somebody came to a room's door by its link, for a token.
    Token = "token",
    /// Somebody came in with a token.
    SignIn = "sign_in",
    /// An application's server called.
    Call = "call",
    /// Strangers were refused more often than is told one by one.
    Refusals = "refusals",
    /// A room was made for a meeting.
    RoomMake = "room.make",
    /// What somebody may do was changed.
    Rights = "rights",
    /// The rules of a room were changed.
    Policy = "room.policy",
    /// Somebody who waited was let in.
    LobbyAdmit = "lobby.admit",
    /// Somebody who waited was refused.
    LobbyRefuse = "lobby.refuse",
    /// Somebody was put out.
    Remove = "remove",
    /// Somebody was put out for good.
    Ban = "ban",
    /// A ban was lifted.
    Unban = "unban",
    /// A meeting was ended for all.
    RoomEnd = "room.end",
    /// A recording or a stream was begun.
    RecordingStart = "recording.start",
    /// A recording or a stream was ended.
    RecordingStop = "recording.stop",
    /// A recording was listed or fetched.
    RecordingRead = "recording.read",
    /// A recording was erased.
    RecordingErase = "recording.erase",
    /// A person was erased from this log.
    PersonErase = "person.erase",
    /// Entries of this log were erased because they had been kept as long as they are to be.
    LogPrune = "log.prune",
    /// Events could not be written into this log.
    LogLost = "log.lost",
    /// Entries of this log were given to somebody.
    LogExport = "log.export",
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When, in milliseconds since 1970. 0: whoever takes it says.
    pub time_ms: i64,
    /// Whose it is; empty for what is the server's own.
    pub tenant: String,
    /// What was done.
    pub act: Act,
    /// What came of it.
    pub outcome: Outcome,
    /// Who did it.
    pub who: Who,
    /// With what.
    pub on: Option<Subject>,
    /// With whom, by identity.
    pub about: Option<String>,
    /// From where.
    pub from: Option<IpAddr>,
    /// A word more: why it was refused, what was changed. Never a secret, never somebody's words.
    pub why: String,
    /// How many.
    pub count: Option<u64>,
}

impl Event {
    /// Something that was done.
    pub fn new(tenant: &str, act: Act, who: Who) -> Event {
        Event {
            time_ms: 0,
            tenant: tenant.to_owned(),
            act,
            outcome: Outcome::Done,
            who,
            on: None,
            about: None,
            from: None,
            why: String::new(),
            count: None,
        }
    }

    /// With this thing.
    #[must_use]
    pub fn on(self, kind: &'static str, name: &str) -> Event {
        Event { on: Some(Subject::new(kind, name)), ..self }
    }

    /// With this person.
    #[must_use]
    pub fn about(self, identity: &str) -> Event {
        Event { about: Some(identity.to_owned()), ..self }
    }

    /// From this address.
    #[must_use]
    pub fn from(self, address: IpAddr) -> Event {
        Event { from: Some(address), ..self }
    }

    /// Which was refused.
    #[must_use]
    pub fn refused(self, why: &str) -> Event {
        Event { outcome: Outcome::Refused, why: why.to_owned(), ..self }
    }

    /// With a word more.
    #[must_use]
    pub fn saying(self, why: &str) -> Event {
        Event { why: why.to_owned(), ..self }
    }
}
