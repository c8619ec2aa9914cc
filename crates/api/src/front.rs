// SPDX-License-Identifier: EUPL-1.2
//! What may stand between the network and HTTP: TLS, and other protocols that come to the same port. This crate counts and
//! bounds connections; what they are is the [`Front`]'s to find out.

use std::fmt;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::limit::Permit;

/// A connection that carries HTTP.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// A place among the connections that are allowed. Dropping it gives it back.
pub struct Place(pub(crate) Permit);

/// A connection that was just accepted.
pub struct Arrival {
    /// The socket. Nothing was read from it.
    pub stream: TcpStream,
    /// Its other end.
    pub peer: SocketAddr,
    /// Its place.
    pub place: Place,
}

/// A connection that carries HTTP.
pub struct Visitor {
    /// Its bytes.
    pub stream: Box<dyn ByteStream>,
    /// Who it is: the other end of the socket, or whom a trusted proxy speaks for.
    pub peer: SocketAddr,
    /// Its place.
    pub place: Place,
    /// Whether it is only told to come back by HTTPS.
    pub to_https: bool,
}

/// Receives connections before HTTP does.
pub trait Front: fmt::Debug + Send + Sync + 'static {
    /// Finds out what a connection carries. `None` when it is no HTTP: it has been dealt with. The front has deadlines of its
    /// own.
    fn receive(self: Arc<Self>, arrival: Arrival) -> Pin<Box<dyn Future<Output = Option<Visitor>> + Send>>;
}

/// The relay beside the forwarders, which takes the credentials of participants and of nobody else.
pub trait Relays: fmt::Debug + Send + Sync + 'static {
    /// Takes those of this participant from now on.
    fn admit(&self, sid: &str);
    /// Takes them no more, and ends what it relays for this participant.
    fn revoke(&self, sid: &str);
}

impl Place {
    /// Counts the connection for another address, that of whom a trusted proxy speaks for; or says which limit it meets.
    pub fn count_for(self, ip: IpAddr) -> Result<Place, &'static str> {
        self.0.count_for(ip).map(Place)
    }

    /// What has this place is to stay. Before that the longest silent give way when all places are taken.
    pub fn keep(&self) {
        self.0.keep();
    }
}

impl Visitor {
    /// One that carries HTTP from its first byte.
    pub fn plain(arrival: Arrival) -> Visitor {
        let Arrival { stream, peer, place } = arrival;
        Visitor { stream: Box::new(stream), peer, place, to_https: false }
    }
}
