//! The integration tests, one binary so that it links once.

#![cfg(test)]

mod admin;
mod api;
#[path = "../browser/mod.rs"]
mod browser;
mod chart;
mod cli;
mod cluster;
mod dataplane;
mod demo;
mod documentation;
mod golden;
mod manifests;
mod properties;
mod provider;
mod scenarios;
mod status;
mod tidy;
mod websocket;
