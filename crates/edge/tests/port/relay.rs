// SPDX-License-Identifier: EUPL-1.2
//! The relay over its sockets.

use std::time::Duration;

use parvis_api::Relays;
use parvis_edge::{Relay, RelayConfig};
use parvis_turn::{Clock, Issuer, TurnConfig};

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
    let service = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
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

#[tokio::test]
async fn behind_a_nat_clients_hear_of_the_outer_address_alone() {
    let echo = tokio::net::UdpSocket::bind("127.0.0.5:0").await.unwrap();
    let bound = echo.local_addr().unwrap();
    let offered = std::net::SocketAddr::new("203.0.113.7".parse().unwrap(), bound.port());
    let config = RelayConfig {
        udp: vec!["127.0.0.1:0".parse().unwrap()],
        media: vec![(offered, bound)],
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
    let mut ada = Turn::udp(&scene, credentials).await;
    let relayed = ada.allocate().await.unwrap();
    assert_eq!(relayed.ip(), offered.ip());
    assert_eq!(
        ada.ask(CREATE_PERMISSION, &[], &[bound]).await,
        Err(403),
        "the inner address is nothing to clients"
    );
    ada.ask(CHANNEL_BIND, &[(0x000c, &[0x40, 1, 0, 0])], &[offered]).await.unwrap();
    ada.send(&channel(b"ping")).await;
    let mut buffer = [0; 100];
    let (count, from) = echo.recv_from(&mut buffer).await.unwrap();
    assert_eq!((&buffer[..count], from.ip().to_string().as_str()), (&b"ping"[..], "127.0.0.1"));
    assert_eq!(from.port(), relayed.port());
    echo.send_to(b"pong", from).await.unwrap();
    assert_eq!(ada.receive(PATIENCE).await.unwrap()[4..8], *b"pong");
}
