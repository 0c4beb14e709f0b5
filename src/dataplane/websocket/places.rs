//! The places of WebSockets: how many a behavior has, and how many of them one viewer, counted over all workers.
//!
//! They are counted whether there is a limit or not, so that a limit which is set later holds for those that are open.
//! A place is taken before a handshake is forwarded, and given back when that fails or its tunnel ends.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::dataplane::places::neighbour;
use crate::object::ObjectKey;
use crate::table::reason::Reason;
use crate::table::web_socket::WebSocketLimits;

/// How many parts the counts of viewers stand in, so that workers seldom wait for each other.
const PARTS: usize = 64;

/// The rooms of all behaviors, by Distribution and pattern.
#[derive(Debug)]
pub(crate) struct Rooms {
    viewers: Arc<Viewers>,
    rooms: HashMap<(ObjectKey, String), Weak<Room>>,
    /// When there are so many, those that nobody uses any more are forgotten.
    most: usize,
    next: u64,
}

/// The places of one behavior. It outlives tables, as long as somebody has one.
#[derive(Debug)]
#[repr(align(128))] // its own cache line: workers count up and down all the time
pub(crate) struct Room {
    /// Unique among [`Rooms`].
    number: u64,
    taken: AtomicU32,
    viewers: Arc<Viewers>,
}

/// How many places each viewer has in each room.
#[derive(Debug)]
struct Viewers {
    hasher: RandomState,
    parts: Vec<Mutex<HashMap<(u64, IpAddr), u32>>>,
}

/// The place of a handshake and its tunnel, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    room: Arc<Room>,
    viewer: IpAddr,
}

impl Rooms {
    /// None yet.
    pub(crate) fn new() -> Self {
        let viewers =
            Viewers { hasher: RandomState::new(), parts: (0..PARTS).map(|_| Mutex::default()).collect() };
        Self { viewers: Arc::new(viewers), rooms: HashMap::new(), most: 64, next: 0 }
    }

    /// The room of a behavior.
    pub(crate) fn of(&mut self, distribution: &ObjectKey, pattern: &str) -> Arc<Room> {
        let key = (distribution.clone(), pattern.to_owned());
        if let Some(known) = self.rooms.get(&key).and_then(Weak::upgrade) {
            return known;
        }
        if self.rooms.len() >= self.most {
            self.rooms.retain(|_, room| room.strong_count() > 0);
            // Looking through all of them again is paid for by as many new ones.
            self.most = 2 * self.rooms.len() + 64;
        }
        self.next += 1;
        let room = Room { number: self.next, taken: AtomicU32::new(0), viewers: Arc::clone(&self.viewers) };
        let room = Arc::new(room);
        self.rooms.insert(key, Arc::downgrade(&room));
        room
    }
}

impl Room {
    /// A place for a viewer's handshake.
    ///
    /// # Errors
    /// [`Reason::ViewerConnectionLimit`] where the viewer has as many as it may have, [`Reason::ConnectionLimit`] where
    /// the behavior has.
    pub(crate) fn take(self: &Arc<Self>, viewer: IpAddr, limits: &WebSocketLimits) -> Result<Place, Reason> {
        let viewer = neighbour(viewer);
        let one_more = |taken: u32, most: Option<NonZeroU32>| {
            taken.checked_add(1).filter(|more| most.is_none_or(|most| *more <= most.get()))
        };
        let mut part = self.viewers.part(self.number, viewer);
        let of_viewer = part.entry((self.number, viewer)).or_default();
        let more = one_more(*of_viewer, limits.max_connections_per_client);
        let more = more.ok_or(Reason::ViewerConnectionLimit).and_then(|more| {
            let in_all = |taken| one_more(taken, limits.max_connections);
            let taken = self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, in_all);
            taken.map(|_| more).map_err(|_| Reason::ConnectionLimit)
        });
        match more {
            Ok(more) => {
                *of_viewer = more;
                Ok(Place { room: Arc::clone(self), viewer })
            }
            Err(reason) => {
                if *of_viewer == 0 {
                    part.remove(&(self.number, viewer));
                }
                Err(reason)
            }
        }
    }
}

impl Viewers {
    /// The part of a viewer in a room. A panic of another thread cannot have left a number half written.
    fn part(&self, room: u64, viewer: IpAddr) -> MutexGuard<'_, HashMap<(u64, IpAddr), u32>> {
        let place = self.hasher.hash_one((room, viewer)) % PARTS as u64;
        let part = usize::try_from(place).ok().and_then(|place| self.parts.get(place));
        part.expect("there are so many parts").lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(1, Ordering::Relaxed);
        let key = (self.room.number, self.viewer);
        if let Entry::Occupied(mut of_viewer) = self.room.viewers.part(key.0, key.1).entry(key) {
            *of_viewer.get_mut() -= 1;
            if *of_viewer.get() == 0 {
                of_viewer.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shop() -> ObjectKey {
        ObjectKey::new("shop", "web")
    }

    fn limits(all: Option<u32>, of_viewer: Option<u32>) -> WebSocketLimits {
        WebSocketLimits {
            max_connections: all.and_then(NonZeroU32::new),
            max_connections_per_client: of_viewer.and_then(NonZeroU32::new),
            ..WebSocketLimits::default()
        }
    }

    fn viewer(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn a_behavior_and_a_viewer_have_their_own_limits_and_leave_nothing_behind() {
        let mut rooms = Rooms::new();
        let (chat, other) = (rooms.of(&shop(), "/chat"), rooms.of(&shop(), "*"));
        let limits = limits(Some(3), Some(2));
        let held = [viewer(1), viewer(1), viewer(2)].map(|viewer| chat.take(viewer, &limits).unwrap());
        assert_eq!(chat.take(viewer(1), &limits).unwrap_err(), Reason::ViewerConnectionLimit);
        assert_eq!(chat.take(viewer(2), &limits).unwrap_err(), Reason::ConnectionLimit);
        assert_eq!(chat.take(viewer(3), &limits).unwrap_err(), Reason::ConnectionLimit);
        assert!(other.take(viewer(1), &limits).is_ok(), "another behavior counts for itself");
        drop(held);
        assert!(chat.take(viewer(1), &limits).is_ok());
        assert!(rooms.viewers.parts.iter().all(|part| part.lock().unwrap().is_empty()));
    }

    #[test]
    fn a_limit_that_is_set_later_holds_for_those_that_are_open() {
        let mut rooms = Rooms::new();
        let open = rooms.of(&shop(), "*").take(viewer(1), &WebSocketLimits::default()).unwrap();
        // The table that linked it is gone.
        let room = rooms.of(&shop(), "*");
        assert_eq!(room.take(viewer(2), &limits(Some(1), None)).unwrap_err(), Reason::ConnectionLimit);
        assert_eq!(room.take(viewer(1), &limits(None, Some(1))).unwrap_err(), Reason::ViewerConnectionLimit);
        drop(open);
        assert!(room.take(viewer(2), &limits(Some(1), None)).is_ok());
    }

    #[test]
    fn a_limit_is_kept_whoever_comes_at_the_same_time() {
        let room = Rooms::new().of(&shop(), "*");
        let limits = limits(Some(20), Some(5));
        let taken: Vec<_> = std::thread::scope(|scope| {
            let threads = (0..4).map(|_| {
                scope.spawn(|| {
                    (0..100).filter_map(|at| room.take(viewer(at % 5), &limits).ok()).collect::<Vec<_>>()
                })
            });
            let threads: Vec<_> = threads.collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(taken.len(), 20);
        let of_one = |last| taken.iter().filter(|place| place.viewer == viewer(last)).count();
        assert!((0..5).all(|last| of_one(last) <= 5));
    }
}
