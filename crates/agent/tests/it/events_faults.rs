//! Events when something goes wrong: nothing is lost, and nothing has to be started again by hand.

use std::time::{Duration, Instant};

use agent::settings::Mode;
use serde_json::json;
use simulator::faults::{Fault, PathMatch, Rule, When};
use simulator::simulation::{PLAIN_PASSCODE, PLAIN_USER, SimulationOptions};
use simulator::waldur::{Generation, OrderState};

use crate::listening::Listening;
use crate::members::{Log, access};
use crate::site::{Site, limits, options, within};

/// The request by which a quota comes to be.
const QUOTA: &str = "/api/v1/namespaces/*/resourcequotas/waldur-quota";

#[tokio::test]
async fn a_message_is_acknowledged_after_the_work_and_not_before() {
    let site = Site::start().await;
    let agent = site.listening(&site.by_events()).await;
    let stalled = site.sim.okd_server.faults.add(Rule::path(QUOTA, Fault::Stall).when(When::First(1)));
    let (order, _) = site.order("Shop", limits());
    let reached = site.comes("the quota is asked for", || {
        site.okd_requests().iter().any(|request| request.contains("resourcequotas/waldur-quota"))
    });
    reached.await;
    assert_eq!(site.order_state(order), OrderState::Executing);
    assert!(site.broker().total().unacked >= 1, "{:?}", site.broker().total());
    let _ = stalled;
    // The stalled request ends with the agent; what it leaves goes back to the queue.
    agent.task.abort();
}

#[tokio::test]
async fn an_agent_that_is_killed_in_the_middle_is_followed_by_one_that_gets_the_message_again() {
    let site = Site::start().await;
    let process = site.process(&site.by_events(), "event_process");
    site.settles().await;
    site.sim.okd_server.faults.add(Rule::path(QUOTA, Fault::Stall).when(When::First(1)));
    let (order, _) = site.order("Shop", limits());
    site.comes("the work has begun", || site.order_state(order) == OrderState::Executing).await;
    site.comes("it hangs", || {
        site.okd_requests().iter().any(|request| request.contains("resourcequotas/waldur-quota"))
    })
    .await;
    process.signal("KILL");
    process.end().await;
    let waits = site.broker().wait_until(|broker| broker.total().ready > 0 && broker.total().unacked == 0);
    within("the message is back in the queue", waits).await;
    let second = site.process(&site.by_events(), "event_process");
    site.ends(order, OrderState::Done).await;
    site.all_acknowledged().await;
    assert!(site.broker().total().redelivered > 0);
    second.signal("TERM");
    assert_eq!(second.end().await.code(), Some(0));
}

#[tokio::test]
async fn a_failing_key_keeps_its_message_and_delays_no_other() {
    let site = Site::start().await;
    let agent = site.listening(&site.by_events()).await;
    let path = PathMatch::Contains("waldur-alloc-bad-1/resourcequotas".to_owned());
    let rule = site.sim.okd_server.faults.add(Rule { path, ..Rule::all(Fault::Status(500)) });
    let (bad, _) = site.order("bad", limits());
    site.comes("the bad one has begun", || site.order_state(bad) == OrderState::Executing).await;
    for name in ["Shop", "Blog"] {
        let (order, _) = site.order(name, limits());
        site.ends(order, OrderState::Done).await;
    }
    let one_left =
        site.broker().wait_until(|broker| broker.total().unacked == 1 && broker.total().ready == 0);
    within("only the failing one is not acknowledged", one_left).await;
    site.sim.okd_server.faults.remove(rule);
    site.ends(bad, OrderState::Done).await;
    site.all_acknowledged().await;
    agent.stop().await;
}

#[tokio::test]
async fn messages_that_can_never_be_worked_are_dropped_with_a_line_and_stop_nothing() {
    let site = Site::start().await;
    let log = Log::start();
    let agent = site.listening(&site.by_events()).await;
    site.publish("this is not JSON\u{7}");
    site.publish(r#"{"object_type": "order", "order_uuid": 7}"#);
    for _ in 0..3 {
        site.publish(r#"{"object_type": "novelty", "novelty_uuid": "x"}"#);
    }
    site.publish(r#"{"object_type": "user_ssh_key"}"#);
    let (order, _) = site.order("Shop", limits());
    site.ends(order, OrderState::Done).await;
    site.all_acknowledged().await;
    assert_eq!(log.count("cannot be worked and is dropped"), 2, "{}", log.text());
    log.has("it begins with `this is not JSON");
    log.has("count=2");
    assert_eq!(log.count("unknown type `novelty`"), 1, "{}", log.text());
    agent.stop().await;
}

#[tokio::test]
async fn a_connection_that_breaks_is_made_again_and_what_was_missed_is_caught_up_with() {
    let site = Site::start().await;
    let agent = site.listening(&site.by_events()).await;
    for (number, name) in ["Shop", "Blog", "Wiki"].into_iter().enumerate() {
        site.subscribed(1).await;
        match number {
            0 => assert_eq!(site.broker().reset_connections(), 1),
            1 => assert_eq!(site.broker().close_connections("CONNECTION_FORCED"), 1),
            // What is published while it is away is lost.
            _ => site.broker().stop().await,
        }
        let (order, _) = site.order(name, limits());
        if number == 2 {
            site.broker().restart().await.unwrap();
        }
        site.ends(order, OrderState::Done).await;
    }
    site.all_acknowledged().await;
    agent.stop().await;
}

#[tokio::test]
async fn a_silent_broker_is_noticed_by_its_heart_beats() {
    let site = Site::start().await;
    site.broker().declare_queue("/", "events", Default::default());
    let mut config = site.by_events();
    config.services = format!(
        "order_processing_backend: okd\nevent_processing:\n  stomp_host: localhost\n  stomp_port: {}\n  \
         stomp_username: {PLAIN_USER}\n  stomp_password: {PLAIN_PASSCODE}\n  stomp_destination: /queue/events\n  \
         stomp_ssl: false\n  stomp_heartbeat: 500\n",
        site.broker().ports().tcp
    );
    let log = Log::start();
    let agent = Listening::start(&config, Mode::EventProcess);
    site.settles().await;
    let begun = Instant::now();
    site.broker().freeze();
    site.comes("the silence is noticed", || log.count("has been silent for") > 0).await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    site.broker().thaw();
    site.subscribed(1).await;
    agent.stop().await;
}

#[tokio::test]
async fn refused_credentials_are_read_again_and_the_queue_registered_anew() {
    let site = Site::start().await;
    let token = site.folder.path().join("token");
    std::fs::write(&token, "agent-token\n").unwrap();
    let mut config = site.by_events();
    config.waldur_token = format!("waldur_api_token_file: {}\n", token.display());
    let agent = site.listening(&config).await;
    // The broker forgets the passcode, as after a restart with another token.
    let login = site.broker().connections().remove(0).login;
    site.broker().add_user(&login, ["another"]);
    let refused = site.broker().counts().refused_logins;
    site.broker().reset_connections();
    within("it is refused", site.broker().wait_until(|broker| broker.counts().refused_logins > refused))
        .await;
    site.subscribed(1).await;
    let (order, _) = site.order("Shop", limits());
    site.ends(order, OrderState::Done).await;
    // The queue is gone with what was in it.
    let listener = site.sim.waldur.listeners().remove(0);
    site.broker().remove_queue(&listener.vhost, &listener.queue);
    site.broker().reset_connections();
    site.subscribed(1).await;
    let (order, _) = site.order("Blog", limits());
    site.ends(order, OrderState::Done).await;
    agent.stop().await;
}

#[tokio::test]
async fn a_server_without_unified_queues_is_subscribed_to_type_by_type() {
    let site = Site::start().await;
    let path = "/api/marketplace-site-agent-identities/*/register_queue/";
    site.sim.waldur_server.faults.add(Rule::path(path, Fault::Html(404)));
    site.planted("shop");
    let agent = Listening::start(&site.by_events(), Mode::EventProcess);
    // A login for each of order, user_role, resource, service_account, course_account, offering_user and
    // offering_resources_sync.
    site.subscribed(7).await;
    site.is_quiet().await;
    let (order, _) = site.order("Blog", limits());
    site.ends(order, OrderState::Done).await;
    let mia = site.user("mia.member");
    site.sim.waldur.add_member(site.project, mia, "PROJECT.MANAGER");
    let both = access(&[("edit", &["max.manager", "mia.member"]), ("view", &["mia.member"])]);
    site.comes("the role is given", || site.access("shop") == both).await;
    site.all_acknowledged().await;
    agent.stop().await;
}

#[tokio::test]
async fn a_server_of_2024_has_no_events_and_is_polled() {
    let site = Site::with(SimulationOptions { generation: Generation::October2024, ..options() }).await;
    let log = Log::start();
    let config = site.by_events().with_global("polling_interval: 1\n");
    let agent = Listening::start(&config, Mode::EventProcess);
    site.comes("it is said", || log.count("this server has no events") == 1).await;
    let (order, _) = site.order("Shop", limits());
    site.ends(order, OrderState::Done).await;
    agent.stop().await;
    assert_eq!(log.count("this server has no events"), 1);
}

#[tokio::test]
async fn a_broker_that_is_not_there_keeps_nobody_from_working() {
    let site = Site::start().await;
    site.broker().stop().await;
    let (order, _) = site.order("Shop", limits());
    let agent = Listening::start(&site.by_events(), Mode::EventProcess);
    site.ends(order, OrderState::Done).await;
    site.broker().restart().await.unwrap();
    site.subscribed(1).await;
    agent.stop().await;
}

#[tokio::test]
async fn a_stop_finishes_what_is_in_flight_and_leaves_the_rest_to_the_next_one() {
    let site = Site::start().await;
    let agent = site.listening(&site.by_events()).await;
    let late = Fault::Latency { fixed: Duration::from_millis(400), jitter: Duration::ZERO };
    site.sim.okd_server.faults.add(Rule::path(QUOTA, late));
    let (order, _) = site.order("Shop", limits());
    site.comes("the work has begun", || site.order_state(order) == OrderState::Executing).await;
    agent.stop().await;
    assert_eq!(site.order_state(order), OrderState::Done);
    assert_eq!(site.broker().total().unacked, 0);
    assert!(site.broker().connections().is_empty());
    let (order, _) = site.order("Blog", limits());
    assert!(site.broker().total().ready > 0, "the queue stays");
    let agent = Listening::start(&site.by_events(), Mode::EventProcess);
    site.ends(order, OrderState::Done).await;
    agent.stop().await;
}

#[tokio::test]
async fn a_hand_edit_is_put_back_also_when_it_comes_while_the_key_is_worked() {
    let site = Site::start().await;
    let resource = site.planted("shop");
    let agent = site.listening(&site.by_events()).await;
    let log = Log::start();
    let lift = || {
        site.edit("shop", "ResourceQuota", "waldur-quota", |quota| {
            quota["spec"]["hard"]["pods"] = json!("999")
        })
    };
    lift();
    site.comes("it is put back", || site.hard("shop")["pods"] == "50").await;
    log.has("was changed by");
    site.is_quiet().await;
    // Waldur takes its time over the facts of the key, and the edit comes meanwhile.
    let late = Fault::Latency { fixed: Duration::from_millis(500), jitter: Duration::ZERO };
    let path = PathMatch::Contains("refresh_last_sync".to_owned());
    let slow = site.sim.waldur_server.faults.add(Rule { path, ..Rule::all(late) });
    site.sim.waldur.set_flags(resource, false, true, false);
    site.comes("it is held", || site.hard("shop")["pods"] == "1").await;
    lift();
    site.comes("it is put back again", || site.hard("shop")["pods"] == "1").await;
    site.sim.waldur_server.faults.remove(slow);
    // And the agent does not wake itself for ever.
    site.is_quiet().await;
    agent.stop().await;
}
