//! How many files and sockets the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit as far as the system lets us (the soft limit to the hard one), and says what it is now.
pub(super) fn raise() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let limit = if raised.is_ok() { maximum } else { current };
    limit.unwrap_or(u64::MAX)
}

/// The share of them that viewers may have: each may need one more to an origin, but most share those.
pub(super) fn for_viewers(limit: u64) -> usize {
    usize::try_from(limit / 5 * 4).unwrap_or(usize::MAX)
}
