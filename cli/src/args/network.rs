//! The arguments of the commands that serve, about the network.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::number::positive;
use crate::policy::duration;

/// Where clients and operators connect.
#[derive(Debug, clap::Args)]
pub(crate) struct NetworkArgs {
    /// The address to listen on, such as 127.0.0.1:8080. Port 0 is any free one; the first line of the output says
    /// which.
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: SocketAddr,

    /// Where operators connect: an address, or unix:PATH for a socket that only this user reaches.
    #[arg(long, value_name = "PLACE")]
    pub(crate) admin: Option<String>,

    /// A file with the token that operators must send. Needed if --admin is an address.
    #[arg(long, value_name = "FILE", requires = "admin")]
    pub(crate) admin_token: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) tls: TlsArgs,

    #[command(flatten)]
    pub(crate) clients: ClientsArgs,
}

/// What clients may take.
#[derive(Debug, clap::Args)]
pub(crate) struct ClientsArgs {
    /// The most connections at a time.
    #[arg(long, value_name = "N", default_value = "10000", value_parser = positive, requires = "listen")]
    pub(crate) connections: u64,

    /// How long a client may take to ask, or to send 10 KiB of its request.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration, requires = "listen")]
    pub(crate) client_timeout: Duration,
}

/// The certificate to serve with.
#[derive(Debug, clap::Args)]
pub(crate) struct TlsArgs {
    /// Serve over TLS with the certificate in this file, PEM, with those that lead from it to a root behind it. An
    /// address of operators has it too.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,

    /// The private key of the certificate, PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
}
