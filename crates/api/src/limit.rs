// SPDX-License-Identifier: EUPL-1.2
//! How much one address may ask for: connections at one time, joins in a while.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use parvis_signal::Rate;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::config::ApiConfig;
use crate::metrics::Metrics;

/// What one user has for himself: an IPv4 address, or the /64 around an IPv6 address.
pub(crate) fn shared_by(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6) & !u128::from(u64::MAX)).into(),
    }
}

/// Every place is taken by somebody who is to stay.
const TOTAL: &str = "total";
/// One address has as many places as it may.
const ADDRESS: &str = "address";
/// Of all places, so many are kept free for whoever comes next: one in so many, and no more than the second figure. To free
/// one takes a change of tasks, and accepting is not to wait for that: 32 are 13 ms of 2,500 connections a second.
const SPARE_SHARE: usize = 16;
const MOST_SPARE: usize = 32;
/// How long accepting waits for a place that was made free, where none was spare: a turn of the runtime, on a busy machine
/// a few.
const ROOM_PATIENCE: Duration = Duration::from_millis(200);
/// The number of a connection that is to stay.
const KEPT: u64 = u64::MAX;

/// Counts open connections, in all and for each address.
///
/// When nearly all places are taken, whoever comes next takes that of a connection which is nothing yet: no meeting's socket
/// and no relay's client. Of those the one goes whose last sign of life is oldest, so that someone who joins without delay
/// has as long as it takes the others to fill all places once.
pub(crate) struct Connections {
    bounds: RwLock<Bounds>,
    open: Mutex<Open>,
    /// Told of every end.
    freed: Notify,
    metrics: Metrics,
}

/// How many connections there may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) max: usize,
    pub(crate) max_per_ip: usize,
    /// Who opens connections for many.
    pub(crate) exempt: Vec<IpAddr>,
}

impl Bounds {
    /// Those of the participants' port.
    pub(crate) fn of(config: &ApiConfig) -> Bounds {
        let limits = &config.connections;
        Bounds { max: limits.max, max_per_ip: limits.max_per_ip, exempt: config.trusted_proxies.clone() }
    }
}

#[derive(Default)]
struct Open {
    total: usize,
    per_ip: HashMap<IpAddr, usize>,
    /// Connections that are nothing yet, by the number of their last sign of life.
    waiting: BTreeMap<u64, Arc<Notify>>,
    signs: u64,
    /// Told to go, and not gone.
    leaving: usize,
}

/// One open connection; its end is counted when this is dropped.
pub(crate) struct Permit {
    connections: Arc<Connections>,
    ip: IpAddr,
    /// The number of its last sign of life, or [`KEPT`]. Changed under the lock of `open`.
    sign: AtomicU64,
    told_to_go: Arc<Notify>,
}

impl Connections {
    pub(crate) fn new(bounds: Bounds, metrics: Metrics) -> Arc<Self> {
        let (bounds, open, freed) = (RwLock::new(bounds), Mutex::default(), Notify::new());
        Arc::new(Connections { bounds, open, freed, metrics })
    }

    /// Has other bounds hold from now on. Those beyond that are open stay.
    pub(crate) fn set_bounds(&self, bounds: Bounds) {
        *self.bounds.write().unwrap_or_else(PoisonError::into_inner) = bounds;
    }

    /// Lets one more in, if need be in the place of one that is nothing yet; or says by which limit not.
    pub(crate) async fn admit(self: &Arc<Self>, ip: IpAddr) -> Result<Permit, &'static str> {
        loop {
            match self.try_admit(ip) {
                Err(TOTAL) if self.is_making_room() => {
                    if timeout(ROOM_PATIENCE, self.freed.notified()).await.is_err() {
                        return Err(TOTAL);
                    }
                }
                done => return done,
            }
        }
    }

    fn try_admit(self: &Arc<Self>, ip: IpAddr) -> Result<Permit, &'static str> {
        let max = self.bounds().max;
        let mut open = self.open();
        let counted_for = self.enter(&mut open, ip)?;
        if open.total >= max {
            open.leave(counted_for);
            self.make_room(&mut open, 1);
            return Err(TOTAL);
        }
        open.total += 1;
        open.signs += 1;
        let (sign, told_to_go) = (open.signs, Arc::<Notify>::default());
        open.waiting.insert(sign, Arc::clone(&told_to_go));
        // Never so many that whoever has just come goes at once.
        let spare = (max / SPARE_SHARE).min(MOST_SPARE).min(open.waiting.len() / 2);
        self.make_room(&mut open, spare);
        drop(open);
        self.metrics.connections.inc();
        let connections = Arc::clone(self);
        Ok(Permit { connections, ip: counted_for, sign: AtomicU64::new(sign), told_to_go })
    }

    /// Counts one more for an address. Returns what it is counted by.
    fn enter(&self, open: &mut Open, ip: IpAddr) -> Result<IpAddr, &'static str> {
        let bounds = self.bounds();
        let exempt = bounds.exempt.contains(&ip.to_canonical());
        let ip = shared_by(ip);
        let own = open.per_ip.get(&ip).copied().unwrap_or(0);
        if own >= bounds.max_per_ip && !exempt {
            return Err(ADDRESS);
        }
        open.per_ip.insert(ip, own + 1);
        Ok(ip)
    }

    /// Tells those to go that are nothing yet, the longest silent first, until as many places are free or about to be.
    fn make_room(&self, open: &mut Open, wanted: usize) {
        let max = self.bounds().max;
        while (max + open.leaving).saturating_sub(open.total) < wanted {
            let Some((_, oldest)) = open.waiting.pop_first() else { return };
            oldest.notify_one();
            open.leaving += 1;
            self.metrics.connections_displaced.inc();
        }
    }

    /// Whether anyone is on the way out.
    fn is_making_room(&self) -> bool {
        self.open().leaving > 0
    }

    fn bounds(&self) -> RwLockReadGuard<'_, Bounds> {
        self.bounds.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn leave(&mut self, ip: IpAddr) {
        if let Some(own) = self.per_ip.get_mut(&ip) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                self.per_ip.remove(&ip);
            }
        }
    }
}

impl Permit {
    /// What is told when the connection has to make room.
    pub(crate) fn told_to_go(&self) -> Arc<Notify> {
        Arc::clone(&self.told_to_go)
    }

    /// It has asked for something: others go first.
    pub(crate) fn touch(&self) {
        let mut open = self.connections.open();
        let sign = self.sign.load(Ordering::Relaxed);
        let Some(told_to_go) = open.waiting.remove(&sign) else { return };
        open.signs += 1;
        self.sign.store(open.signs, Ordering::Relaxed);
        let sign = open.signs;
        open.waiting.insert(sign, told_to_go);
    }

    /// It has become something: it makes room for nobody any more.
    pub(crate) fn keep(&self) {
        if self.sign.load(Ordering::Relaxed) == KEPT {
            return;
        }
        let mut open = self.connections.open();
        let sign = self.sign.swap(KEPT, Ordering::Relaxed);
        if sign != KEPT && open.waiting.remove(&sign).is_none() {
            open.leaving = open.leaving.saturating_sub(1);
        }
    }

    /// Counts the connection for another address, that of whom a proxy speaks for, or says by which limit not. It keeps its
    /// place among all.
    pub(crate) fn count_for(mut self, ip: IpAddr) -> Result<Permit, &'static str> {
        let connections = Arc::clone(&self.connections);
        let mut open = connections.open();
        let counted_for = connections.enter(&mut open, ip)?;
        open.leave(self.ip);
        drop(open);
        self.ip = counted_for;
        Ok(self)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.connections.open();
        open.total = open.total.saturating_sub(1);
        open.leave(self.ip);
        let sign = *self.sign.get_mut();
        if sign != KEPT && open.waiting.remove(&sign).is_none() {
            open.leaving = open.leaving.saturating_sub(1);
        }
        drop(open);
        self.connections.metrics.connections.dec();
        self.connections.freed.notify_one();
    }
}

/// Addresses remembered at most; at 64 bytes each they take 4 MiB.
const MAX_BUCKETS: usize = 65_536;

/// A token bucket for each address.
#[derive(Default)]
pub(crate) struct Throttle {
    buckets: Mutex<HashMap<IpAddr, Bucket>>,
}

#[derive(Clone, Copy)]
struct Bucket {
    tokens: f64,
    filled: Instant,
}

impl Throttle {
    /// Whether one more is within the rate.
    pub(crate) fn admit(&self, rate: Rate, ip: IpAddr, now: Instant) -> bool {
        let ip = shared_by(ip);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MAX_BUCKETS && !buckets.contains_key(&ip) {
            // Whoever has a full bucket again needs no memory.
            buckets.retain(|_, bucket| bucket.tokens(rate, now) < f64::from(rate.burst));
            if buckets.len() >= MAX_BUCKETS {
                return false;
            }
        }
        let full = Bucket { tokens: f64::from(rate.burst), filled: now };
        let bucket = buckets.entry(ip).or_insert(full);
        let tokens = bucket.tokens(rate, now);
        let admitted = tokens >= 1.0;
        *bucket = Bucket { tokens: if admitted { tokens - 1.0 } else { tokens }, filled: now };
        admitted
    }
}

impl Bucket {
    fn tokens(self, rate: Rate, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        (self.tokens + passed * f64::from(rate.per_second)).min(f64::from(rate.burst))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_address_has_its_burst_and_then_its_rate_whatever_others_do() {
        let (throttle, rate) = (Throttle::default(), Rate { burst: 3, per_second: 2 });
        let now = Instant::now();
        let (one, other): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let admitted = (0..10).filter(|_| throttle.admit(rate, one, now)).count();
        assert_eq!(admitted, 3);
        assert!(throttle.admit(rate, other, now));
        let later = now + Duration::from_secs(1);
        assert_eq!((0..10).filter(|_| throttle.admit(rate, one, later)).count(), 2);
    }

    #[tokio::test]
    async fn row_38_one_address_cannot_take_all_connections() {
        let metrics = Metrics::new(Vec::new()).unwrap();
        let proxy: IpAddr = "10.0.0.1".parse().unwrap();
        let bounds = Bounds { max: 6, max_per_ip: 2, exempt: vec![proxy] };
        let connections = Connections::new(bounds.clone(), metrics);
        let user: IpAddr = "2001:db8::1".parse().unwrap();
        let neighbour: IpAddr = "2001:db8::2".parse().unwrap();
        let first = connections.admit(user).await.ok().unwrap();
        let second = connections.admit(neighbour).await.ok().unwrap();
        assert_eq!(connections.admit(user).await.err(), Some("address"), "they share a /64");
        drop(first);
        let third = connections.admit(user).await.ok().unwrap();
        let mut proxied = Vec::new();
        for _ in 0..4 {
            proxied.push(connections.admit(proxy).await.expect("a proxy is bound by the total alone"));
        }
        for permit in proxied.iter().chain([&second, &third]) {
            permit.keep();
        }
        assert_eq!(connections.admit("192.0.2.9".parse().unwrap()).await.err(), Some("total"));
        // One of the proxy's turns out to be for the user, who has as many as he may.
        assert_eq!(proxied.pop().unwrap().count_for(user).err(), Some("address"));
        let next = connections.admit("192.0.2.9".parse().unwrap()).await.expect("its place is free");
        next.keep();
        assert_eq!(connections.admit("192.0.2.9".parse().unwrap()).await.err(), Some("total"));
        connections.set_bounds(Bounds { max: 7, ..bounds });
        assert!(
            connections.admit("192.0.2.9".parse().unwrap()).await.is_ok(),
            "there is room for one more now"
        );
    }

    #[tokio::test]
    async fn row_38_the_longest_silent_gives_way_and_who_is_in_a_meeting_never_does() {
        let connections = Connections::new(
            Bounds { max: 4, max_per_ip: 4, exempt: Vec::new() },
            Metrics::new(Vec::new()).unwrap(),
        );
        let ip = |last: u8| IpAddr::from([192, 0, 2, last]);
        let mut open: Vec<Option<Permit>> = Vec::new();
        for last in 0..4 {
            open.push(connections.admit(ip(last)).await.ok());
        }
        let of = |open: &[Option<Permit>], which: usize| open[which].as_ref().unwrap().told_to_go();
        open[0].as_ref().unwrap().keep();
        open[1].as_ref().unwrap().touch();
        // The third is the longest silent now; while it does not go, nobody else is told to.
        assert_eq!(connections.admit(ip(9)).await.err(), Some("total"));
        assert_eq!(connections.admit(ip(9)).await.err(), Some("total"));
        assert_eq!(connections.metrics.connections_displaced.get(), 1);
        let told = of(&open, 2);
        let (newcomer, ()) = tokio::join!(connections.admit(ip(9)), async {
            told.notified().await;
            open[2] = None;
        });
        let newcomer = newcomer.expect("it has the place of the third");
        newcomer.keep();
        // The next are the fourth and then the second. The two that are kept stay.
        for which in [3, 1] {
            let told = of(&open, which);
            let (next, ()) = tokio::join!(connections.admit(ip(9)), async {
                told.notified().await;
                open[which] = None;
            });
            next.expect("a place").keep();
            let stays = connections.admit(ip(9)).await.expect("the place that was just given back");
            stays.keep();
            open.push(Some(stays));
        }
        assert_eq!(connections.admit(ip(9)).await.err(), Some("total"), "all are kept");
        assert_eq!(connections.metrics.connections.get(), 4);
        drop((open, newcomer));
        assert_eq!(connections.metrics.connections.get(), 0);
        let inner = connections.open();
        assert_eq!((inner.total, inner.per_ip.len(), inner.waiting.len(), inner.leaving), (0, 0, 0, 0));
    }

    /// Lets somebody in who finds a place at once.
    fn at_once(connections: &Arc<Connections>) -> Permit {
        connections.try_admit("192.0.2.1".parse().unwrap()).expect("there is a place")
    }

    #[test]
    fn row_38_places_become_free_before_the_next_one_comes() {
        let bounds = Bounds { max: 64, max_per_ip: 64, exempt: Vec::new() };
        let connections = Connections::new(bounds, Metrics::new(Vec::new()).unwrap());
        let displaced = || connections.metrics.connections_displaced.get();
        let mut open: Vec<Permit> = (0..60).map(|_| at_once(&connections)).collect();
        assert_eq!(displaced(), 0, "one in 16 is free");
        // While those that are told to go are still there, the spare places serve those who come.
        open.extend((0..4).map(|_| at_once(&connections)));
        assert_eq!(displaced(), 4);
        assert_eq!(connections.try_admit("192.0.2.1".parse().unwrap()).err(), Some("address"));
        assert_eq!(connections.try_admit("192.0.2.2".parse().unwrap()).err(), Some("total"));
        assert_eq!(displaced(), 4, "four are about to go: that is enough for one");
        // The oldest go, and as many come in without a wait, for whom four more go.
        open.drain(..4);
        open.extend((0..4).map(|_| at_once(&connections)));
        assert_eq!((displaced(), connections.metrics.connections.get()), (8, 64));
    }

    #[test]
    fn row_38_in_a_full_house_nobody_who_has_just_come_goes_at_once() {
        let bounds = Bounds { max: 64, max_per_ip: 64, exempt: Vec::new() };
        let connections = Connections::new(bounds, Metrics::new(Vec::new()).unwrap());
        let displaced = || connections.metrics.connections_displaced.get();
        let mut kept = Vec::new();
        for _ in 0..63 {
            kept.push(at_once(&connections));
            kept.last().unwrap().keep();
        }
        assert_eq!(displaced(), 0, "whoever is in a meeting needs no place of others");
        let last = at_once(&connections);
        assert_eq!(displaced(), 0, "the only one who is nothing yet has his time");
        last.keep();
        assert_eq!(connections.open().leaving, 0);
    }

    #[tokio::test]
    async fn one_that_was_told_to_go_and_becomes_something_is_counted_once() {
        let connections = Connections::new(
            Bounds { max: 1, max_per_ip: 4, exempt: Vec::new() },
            Metrics::new(Vec::new()).unwrap(),
        );
        let ip: IpAddr = "192.0.2.1".parse().unwrap();
        let permit = connections.admit(ip).await.ok().unwrap();
        assert_eq!(connections.admit(ip).await.err(), Some("total"));
        permit.keep();
        permit.keep();
        assert_eq!(connections.open().leaving, 0);
        drop(permit);
        assert!(connections.admit(ip).await.is_ok());
        assert_eq!(connections.open().leaving, 0);
    }
}
