//! The places of viewer connections, counted over all workers: how many there are, and how many of them one
//! address may have.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Trouble with accepting that comes back within this time is the same trouble.
const EPISODE: Duration = Duration::from_secs(60);

/// What the listeners of all workers share.
#[derive(Debug)]
pub(crate) struct Places {
    most: NonZeroUsize,
    taken: AtomicUsize,
    /// None where an address may have as many as there are.
    by_neighbour: Option<ByNeighbour>,
    /// When accepting failed last for want of something of ours.
    trouble: Mutex<Option<Instant>>,
}

/// Taken once a connection and only where the operator asked for it, so one lock for all workers will do.
#[derive(Debug)]
struct ByNeighbour {
    most: NonZeroUsize,
    taken: Mutex<HashMap<IpAddr, usize>>,
}

impl Places {
    /// `most` places, of which one address may have `most_of_one`.
    pub(crate) fn new(most: NonZeroUsize, most_of_one: Option<NonZeroUsize>) -> Arc<Self> {
        let by_neighbour = most_of_one.map(|most| ByNeighbour { most, taken: Mutex::default() });
        Arc::new(Self { most, taken: AtomicUsize::new(0), by_neighbour, trouble: Mutex::default() })
    }

    /// A place, if there is one.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Place> {
        // Made before the comparison, so that it gives back what it took.
        let place = Place { places: Arc::clone(self), neighbour: None };
        (self.taken.fetch_add(1, Ordering::Relaxed) < self.most.get()).then_some(place)
    }

    /// Notes that accepting failed; whether that is worth a word, since it had not failed for a while.
    pub(crate) fn trouble_is_new(&self) -> bool {
        let before = locked(&self.trouble).replace(Instant::now());
        before.is_none_or(|before| before.elapsed() > EPISODE)
    }
}

/// A connection's place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    neighbour: Option<IpAddr>,
}

/// The address has as many connections as it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMany;

impl Place {
    /// Counts the place as one of this address.
    pub(crate) fn claim(&mut self, address: IpAddr) -> Result<(), TooMany> {
        let Some(by_neighbour) = &self.places.by_neighbour else { return Ok(()) };
        let neighbour = neighbour(address);
        let mut taken = locked(&by_neighbour.taken);
        let of_one = taken.entry(neighbour).or_default();
        if *of_one >= by_neighbour.most.get() {
            return Err(TooMany);
        }
        *of_one += 1;
        self.neighbour = Some(neighbour);
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken.fetch_sub(1, Ordering::Relaxed);
        if let (Some(by_neighbour), Some(neighbour)) = (&self.places.by_neighbour, self.neighbour)
            && let Entry::Occupied(mut of_one) = locked(&by_neighbour.taken).entry(neighbour)
        {
            *of_one.get_mut() -= 1;
            if *of_one.get() == 0 {
                of_one.remove();
            }
        }
    }
}

/// Whom an address is counted as: over IPv6 a subscriber has a whole /64 (RFC 6177).
pub(crate) fn neighbour(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
    }
}

/// A panic of another thread cannot have left a number half written.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_it_is_given_back() {
        let places = Places::new(NonZeroUsize::new(2).unwrap(), None);
        let first = places.take().unwrap();
        let _second = places.take().unwrap();
        assert!(places.take().is_none());
        drop(first);
        let _third = places.take().unwrap();
        assert!(places.take().is_none());
    }

    #[test]
    fn an_address_has_its_own_limit_and_leaves_nothing_behind() {
        let places = Places::new(NonZeroUsize::MAX, NonZeroUsize::new(2));
        let place = |address: &str| {
            let mut place = places.take().unwrap();
            place.claim(address.parse().unwrap()).map(|()| place)
        };
        let held = [place("192.0.2.7"), place("192.0.2.7"), place("192.0.2.8")];
        assert!(held.iter().all(Result::is_ok));
        assert_eq!(place("192.0.2.7").unwrap_err(), TooMany);
        let of_one_network = [place("2001:db8::1"), place("2001:db8::ffff:2")];
        assert!(of_one_network.iter().all(Result::is_ok));
        assert_eq!(place("2001:db8:0:0:ffff::3").unwrap_err(), TooMany);
        assert!(place("2001:db8:0:1::3").is_ok());
        drop((held, of_one_network));
        assert!(locked(&places.by_neighbour.as_ref().unwrap().taken).is_empty());
        assert_eq!(places.taken.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn trouble_that_goes_on_is_told_once() {
        let places = Places::new(NonZeroUsize::MIN, None);
        assert!(places.trouble_is_new());
        for _ in 0..3 {
            tokio::time::advance(EPISODE).await;
            assert!(!places.trouble_is_new());
        }
        tokio::time::advance(EPISODE * 2).await;
        assert!(places.trouble_is_new());
    }
}
