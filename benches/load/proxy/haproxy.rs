//! HAProxy from the distribution's package.

use std::process::Command as Blocking;

use tokio::process::Command;

use super::Setting;
use crate::machine::Cores;
use crate::rows::AccessLog;

/// The installed version; none where there is no HAProxy.
pub(super) fn version() -> Option<String> {
    let told = Blocking::new("haproxy").arg("-v").output().ok()?;
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    let version =
        text.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()))?;
    Some(version.split('-').next()?.to_owned())
}

pub(super) fn command(cores: Cores, setting: &Setting<'_>) -> anyhow::Result<Command> {
    let both = format!("{}{}", setting.certificate.chain, setting.certificate.key);
    let pem = setting.file("tls.pem", &both)?.display().to_string();
    let configuration = setting.file("haproxy.cfg", &configuration(setting, &pem))?;
    let mut command = cores.on_proxy_core("haproxy");
    command.arg("-db").arg("-f").arg(configuration);
    Ok(command)
}

fn configuration(setting: &Setting<'_>, pem: &str) -> String {
    let Setting { http, https, origin, passable, .. } = setting;
    let access_log = match setting.access_log {
        AccessLog::On => "log stdout format raw local0\n  option httplog",
        AccessLog::Off => "no log",
    };
    format!(
        "global
  nbthread 1
  maxconn {passable}
defaults
  mode http
  {access_log}
  option http-keep-alive
  http-reuse always
  timeout connect 5s
  timeout client 75s
  timeout server 60s
  timeout tunnel 600s
  timeout http-request 10s
  timeout http-keep-alive 75s
frontend viewers
  bind {http}
  bind {https} ssl crt {pem} alpn h2,http/1.1 ssl-min-ver TLSv1.3
  http-request set-header X-Request-Id %[uuid()]
  http-request set-header X-Real-IP %[src]
  http-request set-header X-Forwarded-For %[src]
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-header X-Forwarded-Port %[dst_port]
  http-request set-header X-Forwarded-Proto https if {{ ssl_fc }}
  http-request set-header X-Forwarded-Proto http if !{{ ssl_fc }}
  http-request set-header Via \"1.1 haproxy\"
  default_backend origin
backend origin
  server origin {origin} pool-purge-delay 60s
"
    )
}
