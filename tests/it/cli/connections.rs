//! `tidegate connections` as people and scripts meet it: a table, and one sentence where there is none to be had.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, ChildStdout, Command, Stdio};

use super::ending::folder;
use super::serving::Serving;
use super::{assert_fails, tidegate};
use crate::websocket::peers::{EchoSocket, echo, open_on};

fn table(arguments: &[&str]) -> Vec<String> {
    let output = tidegate(&[&["connections"], arguments].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_websockets_stand_in_a_table_that_can_be_watched() {
    let origin = EchoSocket::start().await;
    let folder = folder(origin.address);
    let serving = Serving::start(folder.path(), &[]);
    let admin = format!("http://{}", serving.admin);
    assert_eq!(table(&["--admin", &admin]), ["No WebSocket is open."]);

    let stream = tokio::net::TcpStream::connect(serving.http).await.expect("it accepts");
    let viewer = stream.local_addr().expect("its address").to_string();
    let mut socket = open_on("example.com", stream).await;
    echo(&mut socket, &"x".repeat(4090)).await;
    let lines = table(&["--admin", &admin, "--distribution", "shop/web"]);
    let [heads, row, empty, count] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!((empty.as_str(), count.as_str()), ("", "1 WebSocket is open."));
    for (head, cell) in
        [("DISTRIBUTION", "shop/web"), ("ENDPOINT", &origin.address.to_string()), ("VIEWER", &viewer)]
    {
        assert_eq!(heads.find(head), row.find(cell), "{head} stands over {cell}: {lines:?}");
    }
    assert!(row.contains("  4.0 KiB  4.0 KiB        1         1"), "{row}");
    assert_eq!(table(&["--admin", &admin, "--distribution", "shop/other"]), ["No WebSocket is open."]);

    let (mut watching, watched) = watch(&admin);
    let (mut unread, mut until_seen) = watch(&admin);
    let mut counts = watched.lines().map_while(Result::ok).filter(|line| line.ends_with("open."));
    assert_eq!(counts.next().as_deref(), Some("1 WebSocket is open."));
    until_seen.read_line(&mut String::new()).expect("a line");
    drop(until_seen);
    assert_eq!(unread.wait().expect("an end").code(), Some(0), "as `head` ends it");
    drop(socket);
    assert!(counts.any(|line| line == "No WebSocket is open."), "it looks again");
    let interrupt = Command::new("kill").args(["-INT", &watching.id().to_string()]).status();
    assert!(interrupt.expect("kill starts").success());
    assert_eq!(watching.wait().expect("an end").code(), Some(0));
}

fn watch(admin: &str) -> (Child, BufReader<ChildStdout>) {
    let mut watching = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["connections", "--watch", "--admin", admin])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let watched = BufReader::new(watching.stdout.take().expect("a pipe"));
    (watching, watched)
}

#[test]
fn an_admin_that_cannot_be_asked_is_told_in_one_sentence() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let sentence =
        format!("error: {url} cannot be asked: Connection refused (os error 111); name the admin address");
    assert_fails(&["connections", "--admin", &url], 1, &sentence);
    assert_fails(&["connections", "--watch", "--admin", &url], 1, &sentence);
    assert_fails(&["connections", "--admin", "https://x"], 2, "write http://HOST:PORT");
    assert_fails(&["connections", "--distribution", "web"], 2, "`web` is not NAMESPACE/NAME");
}

#[test]
fn who_may_not_see_the_debug_pages_is_told_who_may() {
    let folder = tempfile::tempdir().expect("a folder");
    let serving = Serving::start(folder.path(), &["--debug-from=192.0.2.0/24"]);
    let admin = format!("http://{}", serving.admin);
    assert_fails(&["connections", "--admin", &admin], 1, "it answers 403: debug pages answer only");
}
