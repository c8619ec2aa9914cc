// SPDX-License-Identifier: EUPL-1.2
//! The relay over its sockets.

use std::net::SocketAddr;
use std::time::Duration;

use parvis_api::Relays;
use parvis_edge::{Relay, RelayConfig};
use parvis_peer::stun::{Message, XOR_MAPPED_ADDRESS, read_xor_address};
use parvis_turn::{Clock, Issuer, TurnConfig};
use tokio::net::UdpSocket;

use crate::scene::*;

#[tokio::test]
async fn packets_go_through_an_allocation_over_udp_in_both_directions() {
    let scene = Scene::new().await;
    let mut ada = Turn::udp(&scene, scene.participant("PA_ada")).await;
    let relayed = ada.allocate().await.unwrap();
    assert_eq!(relayed.ip(), scene.media.ip(), "beside the media socket");
    for size in [1, 3, 4, 1_200, 1_500] {
        let payload = vec![size as u8; size];
        assert_eq!(ada.echo(scene.media, &payload).await.unwrap(), payload);
    }
    let (turn, dropped) = scene.relay.stats();
    assert_eq!((turn.packets_to_media, turn.packets_to_clients, dropped), (5, 5, 0));
}

#[tokio::test]
async fn row_12_nothing_but_media_is_reached_and_no_stranger_reaches_a_client() {
    let scene = Scene::new().await;
    let mut ada = Turn::udp(&scene, scene.participant("PA_ada")).await;
    let relayed = ada.allocate().await.unwrap();
    let service = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let inside = service.local_addr().unwrap();
    assert_eq!(ada.ask(CREATE_PERMISSION, &[], &[inside]).await, Err(403));
    assert_eq!(ada.ask(CHANNEL_BIND, &[(0x000c, &[0x40, 2, 0, 0])], &[inside]).await, Err(403));
    ada.send(&[&[0x40, 2, 0, 4][..], b"hey!"].concat()).await;
    // The permission for the address of our media opens no other port of it, in either direction.
    assert!(ada.ask(CREATE_PERMISSION, &[], &[scene.media]).await.is_ok());
    service.send_to(b"spoofed", relayed).await.unwrap();
    assert_eq!(ada.receive(Duration::from_millis(300)).await, None);
    let heard = tokio::time::timeout(Duration::from_millis(300), service.recv_from(&mut [0; 100])).await;
    assert!(heard.is_err(), "the service heard something");
    assert_eq!(ada.echo(scene.media, b"media").await.unwrap(), b"media");
}

#[tokio::test]
async fn row_16_who_has_left_is_cut_off_at_once_and_his_socket_is_closed() {
    let scene = Scene::new().await;
    let mut ada = Turn::udp(&scene, scene.participant("PA_ada")).await;
    let relayed = ada.allocate().await.unwrap();
    assert_eq!(ada.echo(scene.media, b"before").await.unwrap(), b"before");
    scene.relay.revoke("PA_ada");
    ada.send(&channel(b"after")).await;
    assert_eq!(ada.receive(Duration::from_millis(300)).await, None);
    assert_eq!(ada.ask(REFRESH, &[], &[]).await, Err(401));
    assert_eq!(ada.allocate().await, Err(401));
    // The port may be bound again by anyone.
    until("the socket is closed", || std::net::UdpSocket::bind(relayed).is_ok()).await;
}

#[tokio::test]
async fn row_15_one_participant_cannot_take_all_sockets() {
    let scene = Scene::new().await;
    let credentials = scene.participant("PA_eve");
    let mut open = Vec::new();
    for _ in 0..12 {
        let mut eve = Turn::udp(&scene, credentials.clone()).await;
        eve.allocate().await.unwrap();
        open.push(eve);
    }
    for _ in 0..20 {
        let mut eve = Turn::udp(&scene, credentials.clone()).await;
        assert_eq!(eve.allocate().await, Err(486));
    }
    let mut ada = Turn::udp(&scene, scene.participant("PA_ada")).await;
    ada.allocate().await.unwrap();
    assert_eq!(scene.relay.stats().0.allocations_now, 13);
}

/// A participant of a relay that listens there, for media as it is offered and as it is bound.
async fn relayed_to(udp: &str, media: (SocketAddr, SocketAddr)) -> (Scene, Turn) {
    let config = RelayConfig {
        udp: vec![udp.parse().unwrap()],
        media: vec![media],
        turn: TurnConfig::default(),
        first_allocation: Duration::from_secs(2),
        write_queue: 64,
    };
    let issuer = Issuer::new([7; 32], Clock::new(std::time::Instant::now(), 1_800_000_000));
    let relay = Relay::start(config, issuer.clone(), [9; 32]).await.unwrap();
    relay.admit("PA_ada");
    let mut scene = Scene::new().await;
    scene.relay = relay;
    let credentials = issuer.issue(std::time::Instant::now(), "PA_ada", Duration::from_secs(60));
    let ada = Turn::udp(&scene, credentials).await;
    (scene, ada)
}

/// One message each way, between Ada and media that is offered like this.
async fn ping_pong(ada: &mut Turn, offered: SocketAddr, media: &UdpSocket, relayed: SocketAddr) {
    ada.ask(CHANNEL_BIND, &[(0x000c, &[0x40, 1, 0, 0])], &[offered]).await.unwrap();
    ada.send(&channel(b"ping")).await;
    let mut buffer = [0; 100];
    let heard = tokio::time::timeout(PATIENCE, media.recv_from(&mut buffer)).await;
    let (count, from) = heard.expect("media hears it").unwrap();
    assert_eq!((&buffer[..count], from), (&b"ping"[..], relayed));
    media.send_to(b"pong", from).await.unwrap();
    assert_eq!(ada.receive(PATIENCE).await.unwrap()[4..8], *b"pong");
}

#[tokio::test]
async fn behind_a_nat_clients_hear_of_the_outer_address_alone() {
    let media = UdpSocket::bind("127.0.0.5:0").await.unwrap();
    let bound = media.local_addr().unwrap();
    let offered = SocketAddr::new("203.0.113.7".parse().unwrap(), bound.port());
    let (_scene, mut ada) = relayed_to("127.0.0.1:0", (offered, bound)).await;
    let relayed = ada.allocate().await.unwrap();
    assert_eq!(relayed.ip(), offered.ip());
    assert_eq!(
        ada.ask(CREATE_PERMISSION, &[], &[bound]).await,
        Err(403),
        "the inner address is nothing to clients"
    );
    let inside = SocketAddr::new("127.0.0.1".parse().unwrap(), relayed.port());
    ping_pong(&mut ada, offered, &media, inside).await;
}

#[tokio::test]
async fn an_allocation_over_ipv6_relays_to_our_own_media_there_and_to_nothing_else() {
    let media = UdpSocket::bind("[::1]:0").await.unwrap();
    let ours = media.local_addr().unwrap();
    let (scene, mut ada) = relayed_to("[::1]:0", (ours, ours)).await;
    // IPv4 is what a client wants that names no family (RFC 8656, section 7.1): of that there is no media.
    assert_eq!(ada.allocate().await, Err(440));
    let over_ipv6: &[(u16, &[u8])] = &[(0x0019, &[17, 0, 0, 0]), (0x0017, &[2, 0, 0, 0])];
    let answer = ada.ask(ALLOCATE, over_ipv6, &[]).await.unwrap();
    let message = Message::parse(&answer).unwrap();
    let address = |kind| read_xor_address(message.attribute(kind).unwrap(), message.transaction()).unwrap();
    let Line::Udp(socket) = &ada.line else { panic!("it speaks UDP") };
    assert_eq!(address(XOR_MAPPED_ADDRESS), socket.local_addr().unwrap());
    let relayed = address(0x0016);
    assert_eq!(relayed.ip(), ours.ip(), "beside the media socket");
    ping_pong(&mut ada, ours, &media, relayed).await;

    let service = UdpSocket::bind("[::1]:0").await.unwrap();
    let inside = service.local_addr().unwrap();
    for peer in [inside, "[::ffff:127.0.0.1]:53".parse().unwrap(), "[::]:53".parse().unwrap()] {
        assert_eq!(ada.ask(CREATE_PERMISSION, &[], &[peer]).await, Err(403), "{peer}");
    }
    service.send_to(b"spoofed", relayed).await.unwrap();
    assert_eq!(ada.receive(Duration::from_millis(300)).await, None);
    let (turn, dropped) = scene.relay.stats();
    assert_eq!((turn.packets_to_media, turn.packets_to_clients, dropped), (1, 1, 0));
}
