//! One connection: drives a STOMP session between its socket and the broker's state.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use stomp::{ConnectRequest, ErrorReply, ReceiptId, Request, ServerEvent, ServerSession};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::session::Session;
use super::transport::Transport;

/// Errors of the queues behind the adapter: over WebSocket RabbitMQ closes before the ERROR frame leaves.
const CHANNEL_ERRORS: [&str; 3] = ["not_found", "access_refused", "precondition_failed"];

/// Serves one client until either side ends it; what it did not acknowledge goes back.
pub(super) async fn serve(
    transport: Transport,
    kind: &'static str,
    shared: Arc<Shared>,
    stop: CancellationToken,
) {
    let mut connection = Connection {
        session: ServerSession::new(shared.session_options(), Duration::ZERO),
        frozen: shared.frozen.subscribe(),
        wake: Arc::new(Notify::new()),
        reset: CancellationToken::new(),
        started: Instant::now(),
        number: None,
        kind,
        is_mute: false,
        shared,
        transport,
    };
    let end = connection.run(&stop).await;
    if let Some(number) = connection.number {
        connection.shared.change(|state| state.close(number));
    }
    match end {
        End::Closed => connection.transport.close().await,
        End::Reset => connection.transport.reset(),
    }
}

enum End {
    Closed,
    Reset,
}

struct Connection {
    session: ServerSession,
    transport: Transport,
    shared: Arc<Shared>,
    frozen: watch::Receiver<bool>,
    /// Something is in the outbox, or the connection is to end.
    wake: Arc<Notify>,
    reset: CancellationToken,
    started: Instant,
    /// Of the session in the broker's state, once logged in.
    number: Option<u64>,
    kind: &'static str,
    /// The connection is to be closed and what would be said is not.
    is_mute: bool,
}

impl Connection {
    async fn run(&mut self, stop: &CancellationToken) -> End {
        let (stop, reset) = (stop.clone(), self.reset.clone());
        tokio::select! {
            // A broker that goes down says nothing to its clients.
            () = stop.cancelled() => End::Reset,
            () = reset.cancelled() => End::Reset,
            ended = self.converse() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "STOMP connection ended");
                }
                End::Closed
            }
        }
    }

    async fn converse(&mut self) -> io::Result<()> {
        let mut arrived = BytesMut::new();
        loop {
            // While frozen nothing is read, sent or timed: to the client it is a process that was stopped.
            if self.frozen.wait_for(|frozen| !frozen).await.is_err() {
                return Ok(());
            }
            self.fill();
            if self.is_mute {
                return Ok(());
            }
            while let Some(chunk) = self.session.poll_transmit(self.started.elapsed()) {
                self.transport.send(chunk).await?;
            }
            if self.session.is_closed() {
                return Ok(());
            }
            let due = self.session.poll_timeout();
            tokio::select! {
                more = self.transport.receive(&mut arrived) => {
                    if !more? {
                        return Ok(());
                    }
                    self.session.receive(self.started.elapsed(), &arrived);
                    arrived.clear();
                }
                () = self.wake.notified() => {}
                _ = self.frozen.changed() => {}
                () = sleep_until(self.started, due) => self.session.handle_timeout(self.started.elapsed()),
            }
            self.listen();
        }
    }

    /// Works on what the client asked.
    fn listen(&mut self) {
        loop {
            match self.session.poll_event() {
                Ok(Some(ServerEvent::Connect(request))) => self.connect(&request),
                Ok(Some(ServerEvent::Request { request, receipt })) => self.work(request, receipt),
                Ok(Some(ServerEvent::HeartBeatLost { silent_for })) => {
                    tracing::debug!(?silent_for, "a STOMP client is silent");
                    self.shared.change(|state| state.silent_clients += 1);
                }
                // The session has queued an ERROR frame that says so.
                Err(error) => tracing::debug!(%error, "a STOMP client broke the protocol"),
                Ok(None) => return,
            }
        }
    }

    fn work(&mut self, request: Request, receipt: Option<ReceiptId>) {
        let Some(number) = self.number else { return };
        let is_farewell = request == Request::Disconnect;
        let done = self.shared.change(|state| {
            if is_farewell {
                // What is not acknowledged by now is back in its queue before the receipt says so.
                state.close(number);
            }
            state.handle(number, request)
        });
        let answered = match (done, receipt) {
            // RabbitMQ's web adapter closes without it.
            (Ok(()), Some(_)) if is_farewell && self.is_web() => Ok(()),
            (Ok(()), Some(receipt)) => self.session.receipt(&receipt),
            (Ok(()), None) => Ok(()),
            (Err(reply), receipt) => {
                self.is_mute = self.is_web() && CHANNEL_ERRORS.contains(&reply.message.as_str());
                self.session.error(ErrorReply { receipt, ..reply })
            }
        };
        if let Err(error) = answered {
            tracing::debug!(%error, "a STOMP client got no answer");
        }
    }

    fn is_web(&self) -> bool {
        matches!(self.transport, Transport::WebSocket(_))
    }

    fn connect(&mut self, request: &ConnectRequest) {
        let answered = match self.shared.change(|state| state.log_in(request, super::DEFAULT_VHOST)) {
            Err(reply) => self.session.error(reply),
            Ok(logged_in) => {
                let name = format!("session-{}", self.shared.number_of_session());
                let session = Session {
                    name: name.clone(),
                    transport: self.kind,
                    vhost: logged_in.vhost,
                    login: logged_in.login,
                    version: request.version,
                    consumers: BTreeMap::new(),
                    outbox: VecDeque::new(),
                    transactions: BTreeMap::new(),
                    wake: Arc::clone(&self.wake),
                    closing: None,
                    reset: self.reset.clone(),
                    tags: 0,
                };
                self.number = Some(self.shared.change(|state| state.open(session)));
                self.session.accept(&name, self.started.elapsed())
            }
        };
        if let Err(error) = answered {
            tracing::debug!(%error, "a STOMP client got no answer to its login");
        }
    }

    /// Moves what is out for delivery into the session.
    fn fill(&mut self) {
        let Some(number) = self.number else { return };
        let (outbox, closing) = self.shared.look(|state| {
            let known = state.sessions.get_mut(&number);
            known.map_or_else(Default::default, |known| {
                (std::mem::take(&mut known.outbox), known.closing.take())
            })
        });
        let delivered = outbox.into_iter().try_for_each(|delivery| self.session.message(delivery));
        let answered = match (delivered, closing) {
            // RabbitMQ's web adapter sends no frame any more.
            (Ok(()), Some(_)) if self.is_web() => {
                self.is_mute = true;
                Ok(())
            }
            (Ok(()), Some(reason)) => {
                let detail = format!(
                    "Reason: {{shutdown,{{connection_closing,{{server_initiated_close,320,<<\"{reason}\">>}}}}}}"
                );
                self.session.error(ErrorReply {
                    message: "AMQP channel died".to_owned(),
                    detail,
                    receipt: None,
                })
            }
            (answered, _) => answered,
        };
        if let Err(error) = answered {
            tracing::debug!(%error, "a message could not be written to a STOMP client");
        }
    }
}

async fn sleep_until(started: Instant, due: Option<Duration>) {
    match due {
        Some(due) => tokio::time::sleep_until((started + due).into()).await,
        None => std::future::pending().await,
    }
}
