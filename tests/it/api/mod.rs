//! The Distribution API as its users meet it: the CustomResourceDefinition and what it refuses.

mod crd;
mod defaults;
pub(crate) mod maximal;
pub(crate) mod refusals;
