//! Tells the cluster what became of each Distribution: its `status`.
//!
//! It does not know how a table is made nor who serves it; it is given facts and what stands in the cluster.
//! Start at [`writer::run`].

mod apply;
mod ledger;
pub mod writer;
