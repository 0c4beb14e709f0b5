//! What the process does with the file descriptors that it may have.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::serving::{LIMIT, Serving, wait_for};

fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it accepts");
    stream.set_read_timeout(Some(LIMIT)).expect("a limit");
    write!(stream, "GET {path} HTTP/1.1\r\nhost: nobody.example\r\nconnection: close\r\n\r\n")
        .expect("it is taken");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

fn metric(page: &str, name: &str) -> f64 {
    let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {page}"))
}

#[test]
fn the_soft_limit_is_raised_and_viewers_get_four_fifths_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let serving = Serving::under("ulimit -S -n 100; ulimit -H -n 1000", folder.path(), &[]);
    let page = get(serving.admin, "/metrics");
    assert_eq!(metric(&page, "process_max_fds"), 1000.0);
    assert_eq!(metric(&page, "tidegate_connections_max"), 800.0);
}

#[test]
fn without_descriptors_accepting_rests_and_says_so_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let flags = ["--max-connections=1000", "--workers=1", "--drain-delay=0s"];
    let serving = Serving::under("ulimit -n 64", folder.path(), &flags);
    let flood: Vec<_> =
        (0..100).map(|_| TcpStream::connect(serving.http).expect("the queue takes it")).collect();
    let told = wait_for(&serving.log, "accept.failed");
    assert!(told["error"].as_str().is_some_and(|error| error.contains("Too many open files")), "{told}");
    drop(flood);
    assert!(get(serving.http, "/").starts_with("HTTP/1.1 404 "));
    let failures = metric(&get(serving.admin, "/metrics"), "tidegate_accept_errors_total");
    // It rests for 100 ms after each: more would be spinning.
    assert!((1.0..=LIMIT.as_secs_f64() * 10.0).contains(&failures), "{failures}");
    serving.signal("TERM");
    while let Ok(line) = serving.log.recv_timeout(LIMIT) {
        assert_ne!(line["event"], "accept.failed", "it was told already");
    }
}
