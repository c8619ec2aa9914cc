// SPDX-License-Identifier: EUPL-1.2
//! One peer connection of a client: checks, handshake, descriptions. How its datagrams travel is the caller's matter.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parvis_peer::sdp::{CodecKind, MediaKind, Msid, SenderId, SenderSpec};
use parvis_peer::{Path, Peer, PeerConfig, PeerEvent, Received};
use parvis_sfu::{Description, DescriptionKind, PeerId};
use parvis_sim::stun;
use rand::RngExt;
use rand_chacha::ChaCha20Rng;

use crate::Error;

/// Until it is connected, and then as browsers do (RFC 7675 asks for 5 s).
const CHECK_FAST: Duration = Duration::from_millis(50);
const CHECK_SLOW: Duration = Duration::from_secs(4);
/// The id of the publisher's track in its offer.
pub const CID: &str = "picture";

/// See the module's page.
pub struct Client {
    /// Its name to the forwarder.
    pub id: PeerId,
    /// Our end of the connection.
    pub peer: Peer,
    /// The path as the server sees it.
    pub path: Path,
    /// Whether the handshake is done.
    pub connected: bool,
    remote: Option<(String, String)>,
    local: Option<(String, String)>,
    next_check: Instant,
}

impl Client {
    /// A connection that knows nothing of the server yet.
    pub fn new(
        id: PeerId,
        config: Arc<PeerConfig>,
        path: Path,
        random: &mut ChaCha20Rng,
        now: Instant,
    ) -> Client {
        let peer = Peer::new(config, random.random(), now);
        Client { id, peer, path, connected: false, remote: None, local: None, next_check: now }
    }

    /// Offers one track of VP8 from `ssrc`.
    pub fn offer(&mut self, now: Instant, ssrc: u32) -> Result<Description, Error> {
        self.peer.add_sender(SenderSpec {
            id: SenderId(1),
            kind: MediaKind::Video,
            codecs: vec![CodecKind::Vp8],
            msid: Msid { stream: "stream".to_owned(), track: CID.to_owned() },
            ssrc,
            rtx_ssrc: Some(ssrc + 1),
        });
        let sdp = self.peer.create_offer(now, false)?;
        self.local = credentials(&sdp);
        Ok(Description { kind: DescriptionKind::Offer, sdp, id: 1 })
    }

    /// Takes the server's description; gives the answer that it wants.
    pub fn describe(
        &mut self,
        now: Instant,
        description: &Description,
    ) -> Result<Option<Description>, Error> {
        let answer = match description.kind {
            DescriptionKind::Answer => {
                self.peer.accept_answer(now, &description.sdp)?;
                None
            }
            _ => {
                let sdp = self.peer.accept_offer(now, &description.sdp)?;
                self.local = credentials(&sdp);
                Some(Description { kind: DescriptionKind::Answer, sdp, id: description.id })
            }
        };
        self.remote = credentials(&description.sdp);
        Ok(answer)
    }

    /// Takes a datagram of the server's. RTP and RTCP are decrypted in place.
    pub fn take(&mut self, now: Instant, datagram: &mut [u8]) -> Received {
        let path = Path { local: self.path.remote, remote: self.path.local, ..self.path };
        self.peer.handle_datagram(now, path, datagram)
    }

    /// Sends what is due now.
    pub fn act(&mut self, now: Instant, random: &mut ChaCha20Rng, mut send: impl FnMut(&[u8])) {
        if self.peer.poll_timeout().is_some_and(|at| at <= now) {
            self.peer.handle_timeout(now);
        }
        if self.next_check <= now
            && let (Some((ufrag, password)), Some((own, own_password))) = (&self.remote, &self.local)
        {
            send(&stun::check(ufrag, own, password, random.random()));
            // Ours is a lite agent too, which takes media only from where a check came from, and the server sends none:
            // the client vouches for the server's path itself.
            let mut vouched = stun::check(own, ufrag, own_password, random.random());
            let path = Path { local: self.path.remote, remote: self.path.local, ..self.path };
            self.peer.handle_datagram(now, path, &mut vouched);
            self.next_check = now + if self.connected { CHECK_SLOW } else { CHECK_FAST };
        }
        while let Some(event) = self.peer.poll_event() {
            self.connected |= matches!(event, PeerEvent::Connected(_));
        }
        while let Some((_, datagram)) = self.peer.poll_transmit() {
            if datagram.first().is_some_and(|first| *first > 3) {
                send(&datagram);
            }
        }
    }

    /// When [`Client::act`] is next due.
    pub fn next(&self) -> Option<Instant> {
        let check = self.remote.is_some().then_some(self.next_check);
        [check, self.peer.poll_timeout()].into_iter().flatten().min()
    }
}

/// The first ufrag and password of a description.
fn credentials(sdp: &str) -> Option<(String, String)> {
    let line = |name: &str| sdp.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
    Some((line("a=ice-ufrag:")?, line("a=ice-pwd:")?))
}
