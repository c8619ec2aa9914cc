// SPDX-License-Identifier: EUPL-1.2
//! Calls of RoomService by Twirp: how many a server answers, and whom it says to have.

use std::sync::Arc;
use std::time::{Duration, Instant};

use livekit_protocol as proto;
use livekit_token::VideoGrants;
use prost::Message;
use proto::participant_info::State;

use super::CrowdScenario;
use super::engine::Engine;
use super::report::{Calls, Latency};
use super::work::Meter;
use crate::LoadError;
use crate::histogram::Histogram;
use crate::http::Http;

/// How long a server may take to know whom it has let in.
const PATIENCE: Duration = Duration::from_secs(15);
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(500);

/// The calls that are measured.
pub(super) const METHODS: [Method; 3] =
    [Method::ListRooms, Method::ListParticipants, Method::UpdateParticipant];

/// One of RoomService's calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    /// Of all rooms.
    ListRooms,
    /// Of one room after the other.
    ListParticipants,
    /// New metadata for one after the other, in one room after the other.
    UpdateParticipant,
}

impl Method {
    fn name(self) -> &'static str {
        match self {
            Method::ListRooms => "ListRooms",
            Method::ListParticipants => "ListParticipants",
            Method::UpdateParticipant => "UpdateParticipant",
        }
    }

    fn failed(self, what: impl ToString) -> LoadError {
        LoadError::Call { call: self.name(), what: what.to_string() }
    }

    /// Makes the call and gives the answer's bytes.
    fn call<'a>(self, http: &'a mut Http, token: &str, body: &[u8]) -> Result<&'a [u8], LoadError> {
        let path = format!("/twirp/livekit.RoomService/{}", self.name());
        let answer = http.post(&path, token, body).map_err(|error| self.failed(error))?;
        if answer.status != 200 {
            let text = String::from_utf8_lossy(answer.body);
            return Err(self.failed(format!("status {}: {}", answer.status, text.trim())));
        }
        Ok(answer.body)
    }

    fn ask<T: Message + Default>(self, http: &mut Http, token: &str, body: &[u8]) -> Result<T, LoadError> {
        T::decode(self.call(http, token, body)?).map_err(|error| self.failed(error))
    }
}

/// What calls are about, and what allows them.
pub(super) struct Caller<'a> {
    scenario: &'a CrowdScenario,
    book: Arc<Book>,
}

struct Book {
    list_token: String,
    rooms: Vec<Room>,
}

struct Room {
    name: String,
    token: String,
    identities: Vec<String>,
}

impl<'a> Caller<'a> {
    /// Asks about those who are there now.
    pub(super) fn new(scenario: &'a CrowdScenario, engine: &Engine<'_>) -> Result<Caller<'a>, LoadError> {
        let rooms = engine.rooms().into_iter().map(|(name, identities)| {
            let grants = VideoGrants { room_admin: true, room: name.to_owned(), ..VideoGrants::default() };
            Ok(Room {
                name: name.to_owned(),
                token: scenario.target.token("load", grants)?,
                identities: identities.into_iter().map(str::to_owned).collect(),
            })
        });
        let grants = VideoGrants { room_list: true, ..VideoGrants::default() };
        let list_token = scenario.target.token("load", grants)?;
        let rooms = rooms.collect::<Result<_, LoadError>>()?;
        Ok(Caller { scenario, book: Arc::new(Book { list_token, rooms }) })
    }

    /// Makes the call again and again on each connection, while the engine serves everyone.
    pub(super) fn measure(&self, method: Method, engine: &mut Engine<'_>) -> Result<Calls, LoadError> {
        let CrowdScenario { target, connections, .. } = self.scenario;
        let opened = (0..*connections).map(|_| Http::connect(target.authority()));
        let opened: Vec<Http> = opened.collect::<Result<_, _>>().map_err(|error| method.failed(error))?;
        let (told, meter) = (engine.told(), Meter::start(target)?);
        let end = Instant::now() + self.scenario.call_time();
        let threads = opened.into_iter().enumerate().map(|(first, http)| {
            let (book, step) = (self.book.clone(), *connections);
            std::thread::spawn(move || book.call_until(end, method, http, (first, step)))
        });
        let taken = engine.during(threads.collect())?;
        let window = meter.stop()?;
        engine.rest_afterwards()?;
        let mut all = Histogram::default();
        taken.iter().for_each(|taken| all.merge(taken));
        Ok(Calls {
            method: method.name(),
            work: window.work(all.count())?,
            latency: Latency::of(&all),
            told: (engine.told() - told) as f64 / all.count().max(1) as f64,
        })
    }

    /// How many are there, and connected, by the server's own account; an error unless all are.
    fn count(&self) -> Result<usize, LoadError> {
        let failed = |error: std::io::Error| Method::ListRooms.failed(error);
        let mut http = Http::connect(self.scenario.target.authority()).map_err(failed)?;
        let names = self.book.rooms.iter().map(|room| room.name.clone()).collect();
        let body = proto::ListRoomsRequest { names }.encode_to_vec();
        let listed: proto::ListRoomsResponse =
            Method::ListRooms.ask(&mut http, &self.book.list_token, &body)?;
        let by_rooms: u32 = listed.rooms.iter().map(|room| room.num_participants).sum();
        let mut connected = 0;
        for room in &self.book.rooms {
            let list: proto::ListParticipantsResponse =
                Method::ListParticipants.ask(&mut http, &room.token, &room.list())?;
            let is_ours = |info: &&proto::ParticipantInfo| {
                info.state() == State::Active && room.identities.contains(&info.identity)
            };
            connected += list.participants.iter().filter(is_ours).count();
            if self.scenario.is_alone() && list.participants.len() != room.identities.len() {
                let (some, wanted) = (list.participants.len(), room.identities.len());
                return Err(LoadError::Count(format!("{some} instead of {wanted} are in {}", room.name)));
            }
        }
        let wanted = self.scenario.participants();
        let others = self.scenario.is_alone() && by_rooms as usize != wanted;
        if connected != wanted
            || others
            || (by_rooms as usize) < wanted
            || listed.rooms.len() != self.book.rooms.len()
        {
            return Err(LoadError::Count(format!(
                "{connected} of {wanted} are connected by ListParticipants, {by_rooms} are in {} rooms by ListRooms",
                listed.rooms.len()
            )));
        }
        Ok(connected)
    }
}

/// Holds the server's own count against those who are there, which it may take a while to know.
pub(super) fn count(scenario: &CrowdScenario, engine: &mut Engine<'_>) -> Result<usize, LoadError> {
    let (caller, begun) = (Caller::new(scenario, engine)?, Instant::now());
    loop {
        match caller.count() {
            Err(LoadError::Count(_)) if begun.elapsed() < PATIENCE => engine.rest(PAUSE)?,
            result => return result,
        }
    }
}

impl Book {
    /// Calls on one connection, every `step`-th from the `first` on; how long each took.
    fn call_until(
        &self,
        end: Instant,
        method: Method,
        mut http: Http,
        (first, step): (usize, usize),
    ) -> Result<Histogram, LoadError> {
        let mut taken = Histogram::default();
        let mut number = first;
        while Instant::now() < end {
            let room = &self.rooms[number % self.rooms.len()];
            let identity = &room.identities[number / self.rooms.len() % room.identities.len()];
            let (token, body) = match method {
                Method::ListRooms => (&self.list_token, proto::ListRoomsRequest::default().encode_to_vec()),
                Method::ListParticipants => (&room.token, room.list()),
                Method::UpdateParticipant => (&room.token, room.update(identity, number)),
            };
            let begun = Instant::now();
            let answer = method.call(&mut http, token, &body)?;
            let time = begun.elapsed();
            if taken.count().is_multiple_of(CHECKED) {
                self.check(method, answer, (room, identity, number))?;
            }
            taken.add(time);
            number += step;
        }
        Ok(taken)
    }

    /// An answer says what it should.
    fn check(
        &self,
        method: Method,
        answer: &[u8],
        (room, identity, number): (&Room, &str, usize),
    ) -> Result<(), LoadError> {
        let failed = |error: prost::DecodeError| method.failed(error);
        let right = match method {
            Method::ListRooms => {
                proto::ListRoomsResponse::decode(answer).map_err(failed)?.rooms.len() == self.rooms.len()
            }
            Method::ListParticipants => {
                let list = proto::ListParticipantsResponse::decode(answer).map_err(failed)?;
                let ours = list.participants.iter().filter(|info| room.identities.contains(&info.identity));
                ours.count() == room.identities.len()
            }
            Method::UpdateParticipant => {
                let info = proto::ParticipantInfo::decode(answer).map_err(failed)?;
                info.identity == *identity && info.metadata == metadata(number)
            }
        };
        if right { Ok(()) } else { Err(method.failed("an answer that does not say what is so")) }
    }
}

impl Room {
    fn list(&self) -> Vec<u8> {
        proto::ListParticipantsRequest { room: self.name.clone() }.encode_to_vec()
    }

    fn update(&self, identity: &str, number: usize) -> Vec<u8> {
        proto::UpdateParticipantRequest {
            room: self.name.clone(),
            identity: identity.to_owned(),
            metadata: metadata(number),
            ..Default::default()
        }
        .encode_to_vec()
    }
}

/// What participants are said to be: something else each time.
fn metadata(number: usize) -> String {
    format!("{{\"number\":{number}}}")
}

/// One answer in so many is read whole.
const CHECKED: u64 = 64;

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;
    use crate::crowd::scenario::tests::of;

    /// Answers each call with what `answer` makes of its name and body, on one connection.
    fn server(answer: impl Fn(&str, &[u8]) -> Vec<u8> + Send + 'static) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream);
            while let Some((method, body)) = request(&mut reader) {
                let answer = answer(&method, &body);
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", answer.len());
                reader.get_mut().write_all(&[head.as_bytes(), &answer].concat()).unwrap();
            }
        });
        authority
    }

    fn request(reader: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            (reader.read_line(&mut head).ok()? > 0).then_some(())?;
        }
        let after = |name: &str| head.split(name).nth(1)?.split([' ', '\r']).next().map(str::to_owned);
        let mut body = vec![0; after("Content-Length: ")?.parse().ok()?];
        reader.read_exact(&mut body).ok()?;
        Some((after("RoomService/")?, body))
    }

    fn book() -> Arc<Book> {
        let room = |name: &str| Room {
            name: name.to_owned(),
            token: "t".to_owned(),
            identities: vec![format!("{name}-1"), format!("{name}-2")],
        };
        Arc::new(Book { list_token: "l".to_owned(), rooms: vec![room("a"), room("b")] })
    }

    /// Two rooms of two, one of whom is in this state.
    fn counted(by_rooms: u32, state: State, identity: &'static str) -> Result<usize, LoadError> {
        let authority = server(move |method, body| {
            if method == "ListRooms" {
                let room = proto::Room { num_participants: by_rooms, ..Default::default() };
                return proto::ListRoomsResponse { rooms: vec![room.clone(), room] }.encode_to_vec();
            }
            let room = proto::ListParticipantsRequest::decode(body).unwrap().room;
            let info = |identity: String, state: State| proto::ParticipantInfo {
                identity,
                state: state.into(),
                ..Default::default()
            };
            let one = info(format!("{room}-1"), State::Active);
            let other = info(if room == "b" { identity.to_owned() } else { "a-2".to_owned() }, state);
            proto::ListParticipantsResponse { participants: vec![one, other] }.encode_to_vec()
        });
        let scenario = of(&format!("--rooms 2 --each 2 --server ws://{authority}"));
        Caller { scenario: &scenario, book: book() }.count()
    }

    #[test]
    fn a_server_that_does_not_have_all_of_them_connected_does_not_count() {
        assert_eq!(counted(2, State::Active, "b-2").unwrap(), 4);
        for (by_rooms, state, identity, part) in [
            (1, State::Active, "b-2", "4 of 4 are connected by ListParticipants, 2 are in 2 rooms"),
            (2, State::Joined, "b-2", "2 of 4 are connected"),
            (2, State::Active, "b-9", "3 of 4 are connected"),
        ] {
            let error = counted(by_rooms, state, identity).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn in_a_room_of_others_only_ours_have_to_be_there() {
        let counted = |second: State| {
            let authority = server(move |method, _| {
                if method == "ListRooms" {
                    let room = proto::Room { num_participants: 3, ..Default::default() };
                    return proto::ListRoomsResponse { rooms: vec![room] }.encode_to_vec();
                }
                let info = |identity: &str, state: State| proto::ParticipantInfo {
                    identity: identity.to_owned(),
                    state: state.into(),
                    ..Default::default()
                };
                let participants =
                    vec![info("guest", State::Active), info("a-1", State::Active), info("a-2", second)];
                proto::ListParticipantsResponse { participants }.encode_to_vec()
            });
            let scenario = of(&format!("--rooms 1 --room a --each 2 --server ws://{authority}"));
            let identities = vec!["a-1".to_owned(), "a-2".to_owned()];
            let room = Room { name: "a".to_owned(), token: "t".to_owned(), identities };
            let book = Book { list_token: "l".to_owned(), rooms: vec![room] };
            Caller { scenario: &scenario, book: Arc::new(book) }.count()
        };
        assert_eq!(counted(State::Active).unwrap(), 2);
        let error = counted(State::Joined).unwrap_err().to_string();
        assert!(error.contains("1 of 2 are connected"), "{error}");
    }

    /// As many calls as fit into a moment, to a server that gives someone what `change` makes of what he is to have.
    fn updated(change: fn(&str) -> String) -> Result<Histogram, LoadError> {
        let authority = server(move |_, body| {
            let asked = proto::UpdateParticipantRequest::decode(body).unwrap();
            let metadata = change(&asked.metadata);
            proto::ParticipantInfo { identity: asked.identity, metadata, ..Default::default() }
                .encode_to_vec()
        });
        let end = Instant::now() + Duration::from_millis(50);
        book().call_until(end, Method::UpdateParticipant, Http::connect(&authority).unwrap(), (1, 2))
    }

    #[test]
    fn calls_are_counted_and_an_answer_that_says_something_else_is_an_error() {
        assert!(updated(str::to_owned).unwrap().count() > 0);
        let error = updated(|metadata| metadata.replace('1', "2")).unwrap_err().to_string();
        assert_eq!(error, "UpdateParticipant: an answer that does not say what is so");
    }
}
