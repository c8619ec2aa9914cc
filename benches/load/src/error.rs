// SPDX-License-Identifier: EUPL-1.2
//! Why a run did not come to its end.

/// Why a run did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// What was asked for makes no sense.
    #[error("{0}")]
    Scenario(String),
    /// Nobody answers there.
    #[error("no server at {server}: {cause}; is it running, and does it listen there?")]
    Connect {
        /// The address.
        server: String,
        /// What went wrong.
        cause: String,
    },
    /// It answers, and does not let us in.
    #[error("{server} refused to let a client in, with status {status}: {answer}{}", hint(*status))]
    Refused {
        /// The address.
        server: String,
        /// HTTP's.
        status: u16,
        /// What it said.
        answer: String,
    },
    /// No token could be made.
    #[error("cannot sign a token: {0}; check --key and --secret")]
    Token(String),
    /// BoringSSL refused.
    #[error("DTLS: {0}")]
    Dtls(String),
    /// A server that waits to be checked, and does not say where.
    #[error("the server's description has no UDP candidate with an IPv4 address")]
    NoCandidate,
    /// Not all came in.
    #[error("{joined} of {all} clients joined in {seconds} s; client {client} still waits for {what}")]
    NotJoined {
        /// How many did.
        joined: usize,
        /// Of how many.
        all: usize,
        /// In what time.
        seconds: u64,
        /// One that did not.
        client: usize,
        /// And why.
        what: String,
    },
    /// A call of the server APIs went wrong.
    #[error("{call}: {what}")]
    Call {
        /// Its name.
        call: &'static str,
        /// What came instead of an answer, or what is wrong with the answer.
        what: String,
    },
    /// The server does not have those whom it let in.
    #[error("the server was asked who is there: {0}")]
    Count(String),
    /// Clients were lost on the way.
    #[error("{clients} clients were lost; client {client}: {what}")]
    Lost {
        /// How many.
        clients: usize,
        /// One of them.
        client: usize,
        /// And why.
        what: String,
    },
    /// The watched process ended.
    #[error("process {0} is not there (any more): has the server ended? Its log tells why")]
    Gone(u32),
    /// The system allows too few descriptors.
    #[error(
        "{wanted} files must be open, {allowed} are allowed: raise the hard limit (ulimit -Hn) or let fewer clients join"
    )]
    Files {
        /// What is needed.
        wanted: u64,
        /// What is allowed.
        allowed: u64,
    },
    /// No such core.
    #[error("cannot keep the load on core {core}: {source}")]
    Core {
        /// The core.
        core: usize,
        /// What the system says.
        source: std::io::Error,
    },
    /// The system refused something else.
    #[error("cannot {0}: {1}")]
    System(&'static str, std::io::Error),
}

fn hint(status: u16) -> &'static str {
    match status {
        401 | 403 => "; check --key and --secret, and that the key may join rooms",
        404 => "; does it speak what --protocol says?",
        429 | 503 => "; raise its limits of connections and joins for one address, or lower --join-rate",
        _ => "",
    }
}
