//! Faults that the tests of this crate inject: a request for `/fault/PLACE` panics when it comes to that place.
//!
//! It is compiled for unit tests alone, so what is shipped cannot be asked to fail.

use super::account::Account;

/// Panics where the request of `account` asks for it.
pub(crate) fn strike(place: &str, account: &Account) {
    let asked = account.record.path.as_deref().and_then(|path| path.strip_prefix("/fault/"));
    assert_ne!(asked, Some(place), "a test asked for this");
}
