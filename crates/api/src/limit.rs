// SPDX-License-Identifier: EUPL-1.2
//! How much one address may ask for: connections at one time, joins in a while.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;

use parvis_signal::Rate;

use crate::config::ApiConfig;
use crate::metrics::Metrics;

/// What one user has for himself: an IPv4 address, or the /64 around an IPv6 address.
pub(crate) fn shared_by(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6) & !u128::from(u64::MAX)).into(),
    }
}

/// Counts open connections, in all and for each address.
pub(crate) struct Connections {
    bounds: RwLock<Bounds>,
    open: Mutex<Open>,
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
}

/// One open connection; its end is counted when this is dropped.
pub(crate) struct Permit {
    connections: Arc<Connections>,
    ip: IpAddr,
}

impl Connections {
    pub(crate) fn new(bounds: Bounds, metrics: Metrics) -> Arc<Self> {
        Arc::new(Connections { bounds: RwLock::new(bounds), open: Mutex::default(), metrics })
    }

    /// Has other bounds hold from now on. Those beyond that are open stay.
    pub(crate) fn set_bounds(&self, bounds: Bounds) {
        *self.bounds.write().unwrap_or_else(PoisonError::into_inner) = bounds;
    }

    /// Lets one more in, or says by which limit not.
    pub(crate) fn admit(self: &Arc<Self>, ip: IpAddr) -> Result<Permit, &'static str> {
        let bounds = self.bounds.read().unwrap_or_else(PoisonError::into_inner);
        let exempt = bounds.exempt.contains(&ip.to_canonical());
        let ip = shared_by(ip);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.total >= bounds.max {
            return Err("total");
        }
        let own = open.per_ip.entry(ip).or_insert(0);
        if *own >= bounds.max_per_ip && !exempt {
            return Err("address");
        }
        *own += 1;
        open.total += 1;
        self.metrics.connections.inc();
        Ok(Permit { connections: Arc::clone(self), ip })
    }
}

impl Permit {
    /// Counts the connection for another address, that of whom a proxy speaks for, or says by which limit not.
    pub(crate) fn count_for(self, ip: IpAddr) -> Result<Permit, &'static str> {
        let connections = Arc::clone(&self.connections);
        // Its own place is free before the new one is asked for: a full house stays as full.
        drop(self);
        connections.admit(ip)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.connections.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.total = open.total.saturating_sub(1);
        if let Some(own) = open.per_ip.get_mut(&self.ip) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                open.per_ip.remove(&self.ip);
            }
        }
        self.connections.metrics.connections.dec();
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

    #[test]
    fn row_38_one_address_cannot_take_all_connections() {
        let metrics = Metrics::new(Vec::new()).unwrap();
        let proxy: IpAddr = "10.0.0.1".parse().unwrap();
        let bounds = Bounds { max: 6, max_per_ip: 2, exempt: vec![proxy] };
        let connections = Connections::new(bounds.clone(), metrics);
        let user: IpAddr = "2001:db8::1".parse().unwrap();
        let neighbour: IpAddr = "2001:db8::2".parse().unwrap();
        let first = connections.admit(user).ok().unwrap();
        let _second = connections.admit(neighbour).ok().unwrap();
        assert_eq!(connections.admit(user).err(), Some("address"), "they share a /64");
        drop(first);
        let _third = connections.admit(user).ok().unwrap();
        let _proxied: Vec<Permit> = (0..4).map_while(|_| connections.admit(proxy).ok()).collect();
        assert_eq!(_proxied.len(), 4, "a proxy is bound by the total alone");
        let stranger: IpAddr = "192.0.2.9".parse().unwrap();
        assert_eq!(connections.admit(stranger).err(), Some("total"));
        connections.set_bounds(Bounds { max: 7, ..bounds });
        assert!(connections.admit(stranger).is_ok(), "there is room for one more now");
    }
}
