//! nginx from the distribution's package.

use std::process::Command as Blocking;

use tokio::process::Command;

use super::Setting;
use crate::machine::Cores;
use crate::rows::AccessLog;

/// The installed version; none where there is no nginx.
pub(super) fn version() -> Option<String> {
    let told = Blocking::new("nginx").arg("-v").output().ok()?;
    let text = String::from_utf8_lossy(&told.stderr).into_owned();
    Some(text.trim().rsplit('/').next()?.to_owned())
}

pub(super) fn command(cores: Cores, setting: &Setting<'_>) -> anyhow::Result<Command> {
    setting.file("tls.crt", &setting.certificate.chain)?;
    setting.file("tls.key", &setting.certificate.key)?;
    let configuration = setting.file("nginx.conf", &configuration(setting))?;
    let mut command = cores.on_proxy_core("nginx");
    command.arg("-p").arg(setting.folder).arg("-e").arg("stderr").arg("-c").arg(configuration);
    Ok(command)
}

fn configuration(setting: &Setting<'_>) -> String {
    let Setting { http, https, origin, passable, .. } = setting;
    // What listens counts, too, and what has just been closed.
    let connections = 2 * passable + 100;
    let access_log = if setting.access_log == AccessLog::On { "stdout combined" } else { "off" };
    format!(
        "daemon off;
worker_processes 1;
pid nginx.pid;
events {{ worker_connections {connections}; }}
http {{
  access_log {access_log};
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  tcp_nodelay on;
  keepalive_timeout 75s;
  keepalive_requests 1000000000;
  client_header_timeout 10s;
  upstream origin {{
    server {origin};
    keepalive 256;
    keepalive_requests 1000000000;
    keepalive_timeout 60s;
  }}
  map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
  server {{
    listen {http};
    listen {https} ssl http2;
    ssl_certificate tls.crt;
    ssl_certificate_key tls.key;
    ssl_protocols TLSv1.3;
    ssl_session_cache off;
    location / {{
      proxy_pass http://origin;
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_set_header X-Request-Id $request_id;
      proxy_set_header X-Real-IP $remote_addr;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Host $http_host;
      proxy_set_header X-Forwarded-Port $server_port;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header Via \"1.1 nginx\";
      proxy_connect_timeout 5s;
      # 10,000 idle WebSockets are not opened within the usual minute everywhere.
      proxy_read_timeout 600s;
      proxy_buffer_size 16k;
      proxy_buffers 8 16k;
      proxy_busy_buffers_size 64k;
    }}
  }}
}}
"
    )
}
