//! Tells the cluster what became of each Distribution: its `status`.
//!
//! It does not know how a table is made nor who serves it; it is given facts and what stands in the cluster.
//! One replica writes, which [`leader`] elects; what all of them have judged, they tell each other in [`fleet`].
//! Start at [`writer::run`].

mod apply;
pub mod clock;
pub mod events;
pub mod fleet;
pub mod leader;
mod ledger;
pub mod replica;
pub mod writer;
