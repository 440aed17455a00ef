//! Both roles against each other over a network made of numbers: latency, pieces of any size, several frames
//! in one piece, and a cut, all in virtual time.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use stomp::{
    AckMode, AckTarget, AckToken, ClientEvent, ClientSession, ConnectOptions, Delivery, Headers, HeartBeat,
    Request, ServerEvent, ServerOptions, ServerSession, Subscription, Version,
};

/// One direction of the network. What arrives together is joined and then cut anew.
struct Pipe {
    latency: Duration,
    pieces: VecDeque<usize>,
    in_flight: VecDeque<(Duration, Bytes)>,
}

impl Pipe {
    fn new(latency: Duration, pieces: &[usize]) -> Self {
        Self { latency, pieces: pieces.iter().copied().collect(), in_flight: VecDeque::new() }
    }

    fn put(&mut self, now: Duration, bytes: Bytes) {
        self.in_flight.push_back((now + self.latency, bytes));
    }

    fn arrives_at(&self) -> Option<Duration> {
        self.in_flight.front().map(|(at, _)| *at)
    }

    fn take(&mut self, now: Duration) -> Vec<Vec<u8>> {
        let mut joined = Vec::new();
        while self.in_flight.front().is_some_and(|(at, _)| *at <= now) {
            joined.extend(self.in_flight.pop_front().unwrap().1);
        }
        let mut pieces = Vec::new();
        while !joined.is_empty() {
            self.pieces.rotate_left(1);
            let rest = joined.split_off(joined.len().min(self.pieces[0]));
            pieces.push(std::mem::replace(&mut joined, rest));
        }
        pieces
    }
}

#[derive(Debug, Clone)]
struct Setting {
    version: Version,
    ack: AckMode,
    client_beat: HeartBeat,
    server_beat: HeartBeat,
    latency: [Duration; 2],
    pieces: [Vec<usize>; 2],
    bodies: Vec<Vec<u8>>,
    prefetch: u16,
}

/// A queue with its bodies, a client that acknowledges each after a while, and what came of it.
struct World {
    now: Duration,
    client: ClientSession,
    server: ServerSession,
    to_server: Pipe,
    to_client: Pipe,
    bodies: VecDeque<Vec<u8>>,
    unacknowledged: VecDeque<u32>,
    delivered: u32,
    prefetch: usize,
    ack: AckMode,
    held: VecDeque<(Duration, AckToken)>,
    received: Vec<Vec<u8>>,
    acknowledged: u32,
    client_lost: Option<Duration>,
    server_lost: Option<Duration>,
    disconnected: bool,
}

const HANDLING: Duration = Duration::from_millis(300);

impl World {
    fn new(setting: &Setting) -> Self {
        let now = Duration::from_secs(1_000);
        let options = ConnectOptions {
            versions: vec![setting.version],
            heart_beat: setting.client_beat,
            ..ConnectOptions::new("host")
        };
        let server = ServerOptions { heart_beat: setting.server_beat, ..ServerOptions::default() };
        Self {
            now,
            client: ClientSession::new(options, now).unwrap(),
            server: ServerSession::new(server, now),
            to_server: Pipe::new(setting.latency[0], &setting.pieces[0]),
            to_client: Pipe::new(setting.latency[1], &setting.pieces[1]),
            bodies: setting.bodies.iter().cloned().collect(),
            unacknowledged: VecDeque::new(),
            delivered: 0,
            prefetch: setting.prefetch.into(),
            ack: setting.ack,
            held: VecDeque::new(),
            received: Vec::new(),
            acknowledged: 0,
            client_lost: None,
            server_lost: None,
            disconnected: false,
        }
    }

    /// Lets everything happen that happens up to `end`.
    fn run_until(&mut self, end: Duration) {
        loop {
            self.exchange();
            let next = [
                self.to_server.arrives_at(),
                self.to_client.arrives_at(),
                self.client.poll_timeout(),
                self.server.poll_timeout(),
                self.held.front().map(|(at, _)| *at),
            ];
            let next = next.into_iter().flatten().min().unwrap_or(end);
            if next >= end {
                self.now = end;
                return;
            }
            self.now = self.now.max(next);
        }
    }

    fn exchange(&mut self) {
        let now = self.now;
        for piece in self.to_client.take(now) {
            self.client.receive(now, &piece);
            self.client_events();
        }
        for piece in self.to_server.take(now) {
            self.server.receive(now, &piece);
            self.server_events();
        }
        self.client.handle_timeout(now);
        self.server.handle_timeout(now);
        self.client_events();
        self.server_events();
        while self.held.front().is_some_and(|(at, _)| *at <= now) {
            let (_, token) = self.held.pop_front().unwrap();
            if !self.client.is_closed() {
                self.client.ack(token, None).unwrap();
            }
        }
        while let Some(bytes) = self.client.poll_transmit(now) {
            self.to_server.put(now, bytes);
        }
        while let Some(bytes) = self.server.poll_transmit(now) {
            self.to_client.put(now, bytes);
        }
    }

    fn client_events(&mut self) {
        while let Some(event) = self.client.poll_event().unwrap() {
            match event {
                ClientEvent::Connected(_) => {
                    let subscription = Subscription {
                        ack: self.ack,
                        prefetch: Some(20),
                        ..Subscription::new("s", "/queue/q")
                    };
                    self.client.subscribe(subscription).unwrap();
                }
                ClientEvent::Message(message) => {
                    self.received.push(message.body.to_vec());
                    self.held.extend(message.ack.map(|token| (self.now + HANDLING, token)));
                }
                ClientEvent::HeartBeatLost { .. } => self.client_lost = Some(self.now),
                ClientEvent::Disconnected => self.disconnected = true,
                other => panic!("unexpected {other:?}"),
            }
        }
    }

    fn server_events(&mut self) {
        while let Some(event) = self.server.poll_event().unwrap() {
            match event {
                ServerEvent::Connect(_) => self.server.accept("session", self.now).unwrap(),
                ServerEvent::Request { request, receipt } => {
                    match request {
                        Request::Subscribe { .. } => self.deliver(),
                        Request::Ack { target, .. } => {
                            self.acknowledge(&target);
                            self.deliver();
                        }
                        Request::Disconnect => {}
                        other => panic!("unexpected {other:?}"),
                    }
                    if let Some(receipt) = receipt {
                        self.server.receipt(&receipt).unwrap();
                    }
                }
                ServerEvent::HeartBeatLost { .. } => self.server_lost = Some(self.now),
            }
        }
    }

    fn acknowledge(&mut self, target: &AckTarget) {
        let number = match target {
            AckTarget::Id(id) => id.strip_prefix("a:"),
            AckTarget::Message { message_id, subscription } => {
                assert_eq!(subscription, "s");
                message_id.strip_prefix("m:")
            }
        };
        let number: u32 = number.unwrap().parse().unwrap();
        assert_eq!(self.unacknowledged.pop_front(), Some(number), "each message once, in order");
        self.acknowledged += 1;
    }

    fn deliver(&mut self) {
        while self.unacknowledged.len() < self.prefetch {
            let Some(body) = self.bodies.pop_front() else { return };
            self.delivered += 1;
            let number = self.delivered;
            let delivery = Delivery {
                subscription: "s".into(),
                destination: "/queue/q".into(),
                message_id: format!("m:{number}"),
                ack_id: format!("a:{number}"),
                headers: Headers::new(),
                body: body.into(),
            };
            self.server.message(delivery).unwrap();
            if self.ack != AckMode::Auto {
                self.unacknowledged.push_back(number);
            }
        }
    }
}

fn settings() -> impl Strategy<Value = Setting> {
    let beat = || {
        (1_000_u64..20_000, 1_000_u64..20_000)
            .prop_map(|(send_ms, receive_ms)| HeartBeat { send_ms, receive_ms })
    };
    // A round trip stays below the shortest tolerated silence: a client cannot keep what it has not yet heard.
    let latency = || (0_u64..700).prop_map(Duration::from_millis);
    (
        prop::sample::select(Version::ALL.to_vec()),
        prop::sample::select(vec![AckMode::Auto, AckMode::ClientIndividual]),
        (beat(), beat()),
        [latency(), latency()],
        [vec(1_usize..400, 1..4), vec(1_usize..400, 1..4)],
        vec(vec(any::<u8>(), 0..300), 0..12),
        1_u16..5,
    )
        .prop_map(|(version, ack, (client_beat, server_beat), latency, pieces, bodies, prefetch)| {
            Setting { version, ack, client_beat, server_beat, latency, pieces, bodies, prefetch }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_message_arrives_once_in_order_and_a_quiet_connection_lives(setting in settings()) {
        let mut world = World::new(&setting);
        let start = world.now;
        world.run_until(start + Duration::from_secs(900));
        prop_assert_eq!(&world.received, &setting.bodies);
        let expected = if setting.ack == AckMode::Auto { 0 } else { setting.bodies.len() };
        prop_assert_eq!(world.acknowledged as usize, expected);
        prop_assert_eq!((world.client_lost, world.server_lost), (None, None));

        world.client.disconnect().unwrap();
        world.run_until(start + Duration::from_secs(910));
        prop_assert!(world.disconnected && world.client.is_closed() && world.server.is_closed());
    }

    #[test]
    fn a_cut_is_noticed_by_both_sides_within_two_intervals(setting in settings(), quiet_ms in 10_000_u64..60_000) {
        let mut world = World::new(&setting);
        world.run_until(world.now + Duration::from_millis(quiet_ms));
        let cut_at = world.now;
        // Nothing that is sent from here on ever arrives; the end of the test is far behind both losses.
        for pipe in [&mut world.to_server, &mut world.to_client] {
            pipe.in_flight.clear();
            pipe.latency = Duration::from_secs(1 << 30);
        }
        world.run_until(cut_at + Duration::from_secs(100));

        let agreed = setting.client_beat.agree(setting.server_beat);
        let noticed = |lost: Option<Duration>| lost.expect("noticed").checked_sub(cut_at).expect("after the cut");
        prop_assert!(noticed(world.client_lost) <= agreed.receive.unwrap() * 2);
        prop_assert!(noticed(world.server_lost) <= agreed.send.unwrap() * 2);
        prop_assert!(world.client.is_closed() && world.server.is_closed());
    }
}
