//! What the process finds open when it starts: sockets of systemd, or those of the gateway that runs already.

use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;

use listenfd::ListenFd;
use wsgate::{Config, Gateway, Inherited, Listeners, StartError, Turn};

use crate::predecessor::Predecessor;
use crate::serve::Failed;

/// Sockets to listen on that others have bound.
#[derive(Debug, Default)]
pub(crate) struct Inheritance {
    pub(crate) sockets: Vec<Inherited>,
    /// The program whose place is to be taken.
    pub(crate) before: Option<Predecessor>,
}

impl Inheritance {
    /// Takes what there is. To be called once, before there is a second thread: variables of the environment are taken
    /// away, too.
    ///
    /// # Errors
    /// Something was passed that cannot be listened on.
    pub(crate) fn take() -> io::Result<Self> {
        if let Some((before, sockets)) = Predecessor::meet()? {
            return Ok(Self { sockets, before: Some(before) });
        }
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut passed = ListenFd::from_env();
        let mut sockets = Vec::new();
        for at in 0..passed.len() {
            let socket = socket(&mut passed, at).map_err(|error| {
                let name = names.split(':').nth(at).unwrap_or("unknown");
                io::Error::new(error.kind(), format!("socket {} ({name}) of LISTEN_FDS: {error}", at + 1))
            })?;
            sockets.extend(socket.map(|socket| Inherited { socket, mark: None }));
        }
        Ok(Self { sockets, before: None })
    }

    /// Binds the listeners, or takes them over; whoever serves on them already is told. When this returns it wants to be
    /// replaced, and has ended where two cannot be there at once.
    pub(crate) async fn open(&mut self, config: Config) -> Result<Gateway, Failed> {
        let sockets = std::mem::take(&mut self.sockets);
        let Some(before) = &self.before else {
            if sockets.is_empty() {
                return Ok(Gateway::bind(config)?);
            }
            let listeners = Listeners::bind(&config, sockets)?;
            return Ok(Gateway::on(config, listeners)?);
        };
        let turn = Turn::of(&config);
        if turn == Turn::After {
            // All that can be seen while the other has its files.
            wsgate::check(config.clone()).map_err(StartError::Config)?;
        }
        let listeners = Listeners::bind(&config, sockets)?;
        listeners.unwanted().iter().for_each(|address| tracing::info!(address, "no longer listened on"));
        let taken = listeners.taken().to_vec();
        let lost = |error| Failed::because(&format!("the one before does not hand over: {error}"));
        match turn {
            Turn::Together => {
                let gateway = Gateway::on(config, listeners)?;
                before.ready(turn, &taken).await.map_err(lost)?;
                Ok(gateway)
            }
            Turn::After => {
                before.ready(turn, &taken).await.map_err(lost)?;
                Ok(Gateway::on(config, listeners)?)
            }
        }
    }

    /// Tells whoever waits for this process that it cannot serve.
    pub(crate) fn failed(&self, told: &str) {
        if let Some(before) = &self.before {
            before.failed(told);
        }
    }
}

fn socket(passed: &mut ListenFd, at: usize) -> io::Result<Option<OwnedFd>> {
    match passed.take_tcp_listener(at) {
        Ok(listener) => Ok(listener.map(TcpListener::into)),
        Err(_) => passed.take_unix_listener(at).map(|listener| listener.map(UnixListener::into)),
    }
}
