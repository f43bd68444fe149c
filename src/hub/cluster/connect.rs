//! The way to Redis, whatever kind it is: one connection for questions, and one that is told of channels.

use std::fmt;
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ErrorKind, IntoConnectionInfo, Pipeline, ProtocolVersion,
    PushInfo, RedisConnectionInfo, RedisError, RedisFuture, RedisResult, TlsCertificates, Value,
};
use tokio::sync::mpsc;

use crate::config::cluster::{Redis, RedisKind};
use crate::lifecycle::clock;

/// Messages of channels that wait to be looked at; what comes beyond is fetched from the streams.
const PUSHES: usize = 4096;

/// Questions that one server is asked at once. Its connection takes as many without a wait: those that wait for their turn
/// may be overtaken, and what one member says is to keep its order.
const SIDE_BY_SIDE: usize = 256;
/// The same for a cluster, whose connections to its nodes take 50.
const IN_CLUSTER: usize = 32;

/// Where Redis is, and what it is shown.
pub(crate) struct Way {
    /// Addresses and kind.
    pub(crate) redis: Redis,
    pub(crate) login: Login,
    /// What Sentinels are shown, which have users and passwords of their own.
    pub(crate) sentinel: Login,
    /// PEM of the authorities that are believed; absent: the public ones.
    pub(crate) ca: Option<Vec<u8>>,
    /// To connect, and for each answer.
    pub(crate) timeout: Duration,
}

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Way").field("redis", &self.redis).finish_non_exhaustive()
    }
}

/// What a server is shown; never shown to anybody else.
pub(crate) struct Login {
    /// The user of its ACL.
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
}

/// What is asked over: one server, or a cluster that knows which of its nodes to ask.
#[derive(Clone)]
pub(super) enum Line {
    /// One server.
    Single(MultiplexedConnection),
    /// A cluster.
    Cluster(ClusterConnection),
}

/// A connection to Redis that works.
pub(super) struct Connection {
    /// For questions that are answered at once.
    pub(super) line: Line,
    /// For questions that wait for something to happen.
    pub(super) patient: Line,
    /// Where channels are listened to.
    pub(super) listener: MultiplexedConnection,
    /// What channels bring.
    pub(super) pushes: mpsc::Receiver<PushInfo>,
}

impl Connection {
    /// What time it is for Redis, in milliseconds since 1970. Cancel safe.
    ///
    /// # Errors
    /// It does not say so.
    pub(super) async fn time(&mut self) -> RedisResult<u64> {
        let (seconds, micros): (u64, u64) = redis::cmd("TIME").query_async(&mut self.line).await?;
        Ok(seconds.saturating_mul(1000).saturating_add(micros / 1000))
    }
}

impl Way {
    /// Connects. Cancel safe.
    ///
    /// # Errors
    /// Whatever stands in the way; its text has no secrets.
    pub(super) async fn connect(&self) -> RedisResult<Connection> {
        let timeout = self.timeout;
        let trying = async {
            match self.redis.kind {
                RedisKind::Cluster => self.connect_cluster().await,
                RedisKind::Single | RedisKind::Sentinel(_) => self.connect_single().await,
            }
        };
        // Sentinels are asked one after the other, each with a timeout of its own.
        let tries = u32::try_from(self.redis.hosts.len()).unwrap_or(1).saturating_add(3);
        match clock::timeout(timeout.saturating_mul(tries), trying).await {
            Ok(connected) => connected,
            Err(_) => Err(RedisError::from((ErrorKind::Io, "no connection in time"))),
        }
    }

    async fn connect_single(&self) -> RedisResult<Connection> {
        let client = match &self.redis.kind {
            RedisKind::Sentinel(master) => self.ask_sentinels(master).await?,
            RedisKind::Single | RedisKind::Cluster => {
                let address = self.addresses().into_iter().next();
                self.client(address.ok_or((ErrorKind::InvalidClientConfig, "no address"))?)?
            }
        };
        // Besides those of the desk there are the inlets', one for each hub.
        let wide = self.habits().set_pipeline_buffer_size(2 * SIDE_BY_SIDE);
        let line = client.get_multiplexed_async_connection_with_config(&wide).await?;
        let patient = self.habits().set_response_timeout(Some(self.timeout + BLOCK));
        let patient = client.get_multiplexed_async_connection_with_config(&patient).await?;
        let (listener, pushes) = self.listen(&client).await?;
        Ok(Connection { line: Line::Single(line), patient: Line::Single(patient), listener, pushes })
    }

    async fn connect_cluster(&self) -> RedisResult<Connection> {
        let build = |timeout: Duration| {
            let mut builder = ClusterClientBuilder::new(self.addresses())
                .connection_timeout(self.timeout)
                .response_timeout(timeout)
                .overall_response_timeout(Some(timeout))
                .use_protocol(ProtocolVersion::RESP3)
                .retries(2);
            if let Some(username) = &self.login.username {
                builder = builder.username(username);
            }
            if let Some(password) = &self.login.password {
                builder = builder.password(password);
            }
            if self.redis.tls {
                builder = builder.tls(redis::TlsMode::Secure).certs(self.certificates());
            }
            builder.build()
        };
        let line = build(self.timeout)?.get_async_connection().await?;
        let patient = build(self.timeout + BLOCK)?.get_async_connection().await?;
        // Every node of a cluster hears what is published at any.
        let mut last = RedisError::from((ErrorKind::InvalidClientConfig, "no address"));
        for address in self.addresses() {
            match self.listen(&self.client(address)?).await {
                Ok((listener, pushes)) => {
                    return Ok(Connection {
                        line: Line::Cluster(line),
                        patient: Line::Cluster(patient),
                        listener,
                        pushes,
                    });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn listen(&self, client: &Client) -> RedisResult<(MultiplexedConnection, mpsc::Receiver<PushInfo>)> {
        let (sender, pushes) = mpsc::channel(PUSHES);
        // What does not fit is dropped here: the next message of its room tells that something is missing.
        let habits = self.habits().set_push_sender(move |push: PushInfo| match sender.try_send(push) {
            Ok(()) | Err(mpsc::error::TrySendError::Full(_)) => Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(()),
        });
        Ok((client.get_multiplexed_async_connection_with_config(&habits).await?, pushes))
    }

    async fn ask_sentinels(&self, master: &str) -> RedisResult<Client> {
        let builder = SentinelClientBuilder::new(self.addresses(), master, SentinelServerType::Master)?;
        let mut builder =
            builder.set_client_to_redis_protocol(ProtocolVersion::RESP3).set_client_to_redis_db(self.redis.database);
        if let Some(username) = &self.login.username {
            builder = builder.set_client_to_redis_username(username);
        }
        if let Some(password) = &self.login.password {
            builder = builder.set_client_to_redis_password(password);
        }
        if let Some(username) = &self.sentinel.username {
            builder = builder.set_client_to_sentinel_username(username);
        }
        if let Some(password) = &self.sentinel.password {
            builder = builder.set_client_to_sentinel_password(password);
        }
        if self.redis.tls {
            let secure = redis::TlsMode::Secure;
            builder = builder.set_client_to_redis_tls_mode(secure).set_client_to_sentinel_tls_mode(secure);
            builder = builder.set_client_to_redis_certificates(self.certificates());
            builder = builder.set_client_to_sentinel_certificates(self.certificates());
        }
        builder.build()?.async_get_client().await
    }

    fn client(&self, address: ConnectionAddr) -> RedisResult<Client> {
        let mut settings = RedisConnectionInfo::default()
            .set_db(self.redis.database)
            .set_protocol(ProtocolVersion::RESP3)
            .set_lib_name("wsgate", env!("CARGO_PKG_VERSION"));
        if let Some(username) = &self.login.username {
            settings = settings.set_username(username);
        }
        if let Some(password) = &self.login.password {
            settings = settings.set_password(password);
        }
        let info = address.into_connection_info()?.set_redis_settings(settings);
        if self.redis.tls { Client::build_with_tls(info, self.certificates()) } else { Client::open(info) }
    }

    fn addresses(&self) -> Vec<ConnectionAddr> {
        if let Some(path) = &self.redis.socket {
            return vec![ConnectionAddr::Unix(path.clone())];
        }
        let address = |(host, port): &(String, u16)| match self.redis.tls {
            true => ConnectionAddr::TcpTls { host: host.clone(), port: *port, insecure: false, tls_params: None },
            false => ConnectionAddr::Tcp(host.clone(), *port),
        };
        self.redis.hosts.iter().map(address).collect()
    }

    fn certificates(&self) -> TlsCertificates {
        TlsCertificates { client_tls: None, root_cert: self.ca.clone() }
    }

    fn habits(&self) -> AsyncConnectionConfig {
        let time = Some(self.timeout);
        AsyncConnectionConfig::new().set_connection_timeout(time).set_response_timeout(time)
    }
}

/// How long a patient question may wait at the server for something to happen.
pub(super) const BLOCK: Duration = Duration::from_secs(2);

impl Line {
    /// Questions that may be under way at once, so that they are asked in the order in which they come.
    pub(super) const fn side_by_side(&self) -> usize {
        match self {
            Self::Single(_) => SIDE_BY_SIDE,
            Self::Cluster(_) => IN_CLUSTER,
        }
    }
}

impl ConnectionLike for Line {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Single(line) => line.req_packed_command(command),
            Self::Cluster(line) => line.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Single(line) => line.req_packed_commands(pipeline, offset, count),
            Self::Cluster(line) => line.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Single(line) => line.get_db(),
            Self::Cluster(line) => line.get_db(),
        }
    }
}

/// What an error means for the way to Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Nothing can be expected of this connection any more.
    Gone,
    /// This one question was not understood, or is not allowed.
    Refused,
}

/// Sorts errors. Whatever is not surely about one key alone is about the connection.
pub(super) fn trouble(error: &RedisError) -> Trouble {
    if error.kind() == ErrorKind::UnexpectedReturnType {
        return Trouble::Refused;
    }
    match error.code() {
        Some("WRONGTYPE" | "ERR" | "NOSCRIPT" | "NOPERM" | "BUSYGROUP" | "NOGROUP") => Trouble::Refused,
        _ => Trouble::Gone,
    }
}
