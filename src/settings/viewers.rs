//! Where viewers come, and how long they are waited for.

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;

use super::duration::duration;
use crate::object::ObjectKey;

/// How viewers are served.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Viewers")]
pub struct Viewers {
    /// Where viewers come without TLS; `off` for nowhere
    ///
    /// May be given several times.
    #[arg(
        long,
        env = "TIDEGATE_HTTP_LISTEN",
        value_name = "ADDR",
        value_delimiter = ',',
        default_value = "[::]:8080"
    )]
    pub(super) http_listen: Vec<Listen>,

    /// Where viewers come with TLS; `off` for nowhere
    ///
    /// May be given several times.
    #[arg(
        long,
        env = "TIDEGATE_HTTPS_LISTEN",
        value_name = "ADDR",
        value_delimiter = ',',
        default_value = "[::]:8443"
    )]
    pub(super) https_listen: Vec<Listen>,

    /// The Secret for Distributions without `viewerCertificate` and for names that nobody owns
    ///
    /// Without it such handshakes are refused.
    #[arg(long, env = "TIDEGATE_DEFAULT_CERTIFICATE", value_name = "NAMESPACE/NAME")]
    pub default_certificate: Option<ObjectKey>,

    /// The domain below which every Distribution is also served, as NAME-NAMESPACE.DOMAIN
    ///
    /// No alias may lie below it. One wildcard certificate, `*.DOMAIN`, as the default one covers all of them.
    #[arg(long, env = "TIDEGATE_BASE_DOMAIN", value_name = "DOMAIN")]
    pub base_domain: Option<String>,

    /// The port in the Location of a redirect to HTTPS; 443 is left out of it
    #[arg(long, env = "TIDEGATE_HTTPS_REDIRECT_PORT", value_name = "N", default_value_t = 443)]
    pub https_redirect_port: u16,

    /// How long a viewer may take to send a request's head
    #[arg(
        long,
        env = "TIDEGATE_VIEWER_HEADER_TIMEOUT",
        value_name = "DURATION",
        default_value = "10s",
        value_parser = duration
    )]
    pub viewer_header_timeout: Duration,

    /// How long a viewer may pause while it sends a request's body that the origin waits for
    #[arg(
        long,
        env = "TIDEGATE_VIEWER_BODY_TIMEOUT",
        value_name = "DURATION",
        default_value = "30s",
        value_parser = duration
    )]
    pub viewer_body_timeout: Duration,

    /// How long a viewer may take nothing of an answer
    #[arg(
        long,
        env = "TIDEGATE_VIEWER_WRITE_TIMEOUT",
        value_name = "DURATION",
        default_value = "30s",
        value_parser = duration
    )]
    pub viewer_write_timeout: Duration,

    /// How long a viewer's connection is kept between two requests
    ///
    /// The default is above the 60 s of common load balancers, so that they close first.
    #[arg(
        long,
        env = "TIDEGATE_VIEWER_IDLE_TIMEOUT",
        value_name = "DURATION",
        default_value = "75s",
        value_parser = duration
    )]
    pub viewer_idle_timeout: Duration,

    /// How long a TLS handshake may take
    #[arg(
        long,
        env = "TIDEGATE_TLS_HANDSHAKE_TIMEOUT",
        value_name = "DURATION",
        default_value = "10s",
        value_parser = duration
    )]
    pub tls_handshake_timeout: Duration,
}

impl Viewers {
    /// The addresses for viewers without TLS.
    pub fn http_listen(&self) -> Vec<SocketAddr> {
        addresses(&self.http_listen)
    }

    /// The addresses for viewers with TLS.
    pub fn https_listen(&self) -> Vec<SocketAddr> {
        addresses(&self.https_listen)
    }
}

/// A value of `--http-listen` or `--https-listen`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listen {
    Off,
    At(SocketAddr),
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let address = text
            .parse()
            .map_err(|_| "write an address with its port, such as 0.0.0.0:8080 or [::]:8080, or `off`");
        Ok(Self::At(address?))
    }
}

fn addresses(listen: &[Listen]) -> Vec<SocketAddr> {
    let at = |listen: &Listen| match listen {
        Listen::Off => None,
        Listen::At(address) => Some(*address),
    };
    listen.iter().filter_map(at).collect()
}
