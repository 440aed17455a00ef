//! The header, the agreement and the timer.

use std::time::Duration;

use stomp::{AgreedHeartBeat, HeartBeat, HeartBeatTimer};

use crate::support::secs;

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn agreed(text: &str) -> AgreedHeartBeat {
    let (ours, theirs) = text.split_once(" / ").unwrap();
    ours.parse::<HeartBeat>().unwrap().agree(theirs.parse().unwrap())
}

#[test]
fn headers() {
    for (text, send_ms, receive_ms) in [
        ("0,0", 0, 0),
        ("10000,5000", 10_000, 5_000),
        ("1, 2", 1, 2),
        ("0,18446744073709551615", 0, u64::MAX),
    ] {
        assert_eq!(text.parse(), Ok(HeartBeat { send_ms, receive_ms }));
    }
    assert_eq!(HeartBeat { send_ms: 7, receive_ms: 8 }.to_string(), "7,8");
    for text in
        ["", "1", "1,", ",1", "1,2,3", "-1,0", "+1,0", "a,b", "1.5,0", "18446744073709551616,0", "1;2"]
    {
        let error = text.parse::<HeartBeat>().unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("heart-beat is not two numbers of milliseconds separated by a comma: `{text}`")
        );
    }
}

#[test]
fn agreement() {
    for (headers, send, receive) in [
        ("10000,10000 / 10000,10000", Some(10_000), Some(10_000)),
        ("10000,20000 / 30000,5000", Some(10_000), Some(30_000)),
        ("4000,20000 / 10000,30000", Some(30_000), Some(20_000)),
        ("0,10000 / 10000,10000", None, Some(10_000)),
        ("10000,0 / 10000,10000", Some(10_000), None),
        ("10000,10000 / 0,10000", Some(10_000), None),
        ("10000,10000 / 10000,0", None, Some(10_000)),
        ("10000,10000 / 0,0", None, None),
    ] {
        assert_eq!(
            agreed(headers),
            AgreedHeartBeat { send: send.map(ms), receive: receive.map(ms) },
            "{headers}"
        );
    }
}

#[test]
fn nothing_is_due_without_agreement() {
    let timer = HeartBeatTimer::new(150, secs(0));
    assert_eq!((timer.send_at(), timer.dead_at()), (None, None));
    assert!(!timer.send_due(Duration::MAX) && timer.silent_for(Duration::MAX).is_none());
}

#[test]
fn sends_before_the_interval_ends_and_any_octet_postpones_it() {
    let mut timer = HeartBeatTimer::new(150, secs(100));
    timer.agree(agreed("10000,0 / 0,10000"));
    assert_eq!(timer.send_at(), Some(ms(107_500)));
    assert!(!timer.send_due(ms(107_499)) && timer.send_due(ms(107_500)));
    timer.sent(secs(105));
    assert_eq!(timer.send_at(), Some(ms(112_500)));
}

#[test]
fn a_peer_is_dead_after_the_tolerated_silence() {
    for (tolerance, dead_at) in [(150, 115_000), (200, 120_000), (100, 110_000), (0, 110_000)] {
        let mut timer = HeartBeatTimer::new(tolerance, secs(50));
        timer.agree(agreed("0,10000 / 10000,0"));
        timer.received(secs(100));
        assert_eq!(timer.dead_at(), Some(ms(dead_at)), "{tolerance} %");
        assert_eq!(timer.silent_for(ms(dead_at - 1)), None);
        assert_eq!(timer.silent_for(ms(dead_at)), Some(ms(dead_at - 100_000)));
    }
}

#[test]
fn time_that_goes_back_and_endless_intervals_do_no_harm() {
    let mut timer = HeartBeatTimer::new(u32::MAX, secs(100));
    timer.agree(agreed(
        "18446744073709551615,18446744073709551615 / 18446744073709551615,18446744073709551615",
    ));
    timer.sent(secs(1));
    timer.received(secs(1));
    assert!(timer.send_at() > Some(secs(100)) && timer.dead_at() > Some(secs(100)));
    assert!(!timer.send_due(secs(0)) && timer.silent_for(secs(0)).is_none());
}
