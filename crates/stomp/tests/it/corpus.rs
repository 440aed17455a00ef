//! Streams that a decoder meets in the field, each with how many frames and lone line ends it holds.

use bytes::Bytes;
use stomp::Command;

use crate::support::decode;

pub(crate) struct Stream {
    pub(crate) name: &'static str,
    pub(crate) bytes: Bytes,
    frames: &'static [Command],
    line_ends: usize,
}

fn stream(
    name: &'static str,
    bytes: impl Into<Bytes>,
    frames: &'static [Command],
    line_ends: usize,
) -> Stream {
    Stream { name, bytes: bytes.into(), frames, line_ends }
}

const SUBSCRIPTION: &str =
    "subscription_80b5c3c7bc9f479f9ee8057fdb67a9e5_offering_5c49c601fe4d476db9c1720a99df6242_order";

/// What RabbitMQ 3.10.8 sends, over TCP: to a client of 1.2 with `ack:auto`, and to one it refuses.
pub(crate) fn rabbitmq_connected() -> String {
    "CONNECTED\nserver:RabbitMQ/3.10.8\nsession:session-lDD-DkUeSIgEEzN3m0M5Zw\nheart-beat:10000,10000\n\
     version:1.2\n\n\0\n"
        .to_owned()
}

pub(crate) fn rabbitmq_message() -> String {
    format!(
        "MESSAGE\nsubscription:{SUBSCRIPTION}\ndestination:/queue/{SUBSCRIPTION}\n\
         message-id:T_{SUBSCRIPTION}@@session-lDD-DkUeSIgEEzN3m0M5Zw@@1\nredelivered:false\npersistent:true\n\
         content-type:application/json\ncontent-length:85\n\n\
         {{\"order_uuid\": \"239be7c060824992801393d801b9bf7a\", \"order_state\": \"pending-provider\"}}\0\n"
    )
}

pub(crate) fn rabbitmq_refusal() -> String {
    "ERROR\nmessage:Bad CONNECT\ncontent-type:text/plain\nversion:1.0,1.1,1.2\ncontent-length:59\n\n\
     Access refused for user '80b5c3c7bc9f479f9ee8057fdb67a9e5'\n\0\n"
        .to_owned()
}

pub(crate) fn corpus() -> Vec<Stream> {
    use Command::{Connected, Error, Message, Receipt, Send, Stomp};
    vec![
        stream("rabbitmq connected", rabbitmq_connected(), &[Connected], 1),
        stream("rabbitmq refusal", rabbitmq_refusal(), &[Error], 1),
        stream(
            "rabbitmq session",
            rabbitmq_connected() + &rabbitmq_message() + "\n\n\n" + &rabbitmq_message(),
            &[Connected, Message, Message],
            6,
        ),
        stream("only heart-beats", "\n\r\n\n\n", &[], 4),
        stream("crlf", "\r\n\r\nRECEIPT\r\nreceipt-id:1\r\n\r\n\0\r\n", &[Receipt], 3),
        stream("no headers", "SEND\n\n\0SEND\n\nbody\0", &[Send, Send], 0),
        stream("nul in a sized body", "SEND\ncontent-length:5\n\na\0b\0\n\0\n", &[Send], 1),
        stream("line ends in a body", "\nMESSAGE\n\n\n\n\r\n\n\0\n", &[Message], 2),
        stream("a frame in a body", "SEND\ncontent-length:8\n\nSEND\n\n\0\n\0", &[Send], 0),
        stream("empty sized body", "ERROR\ncontent-length:0\n\n\0", &[Error], 0),
        stream("escapes", "SEND\na\\cb\\\\:\\n\\r\\c\\\\n\n\n\0", &[Send], 0),
        stream("not only ascii", "SEND\nnäme:wörth ∑ 🦀\n\nbödy\0", &[Send], 0),
        stream("colons in values", "STOMP\npasscode:a:b:\\x\nempty:\n\n\0", &[Stomp], 0),
    ]
}

#[test]
fn each_stream_holds_what_it_says() {
    for Stream { name, bytes, frames, line_ends } in corpus() {
        let decoded = decode(&bytes);
        assert_eq!(decoded.error, None, "{name}");
        let commands: Vec<Command> = decoded.frames().iter().map(|frame| frame.command).collect();
        assert_eq!(commands, frames, "{name}");
        assert_eq!(decoded.inputs.len() - frames.len(), line_ends, "{name}");
    }
}
