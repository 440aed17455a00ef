//! STOMP 1.1 and 1.2 without I/O.
