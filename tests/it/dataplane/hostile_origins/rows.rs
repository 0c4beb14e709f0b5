//! The answers, and what becomes of them.

use super::{Fate, Row, Sent, Then};

use Fate::{Cut, Passes, PassesLast, Refused};
use Then::{Closes, Resets, Stays};

const PROTOCOL: Fate = Refused("origin_protocol");
const RESET: Fate = Refused("origin_reset");

const OK: Fate = Passes("200\ncontent-length: 2\n\nok");
const OK_LAST: Fate = PassesLast("200\ncontent-length: 2\n\nok");
const CHUNKED_OK: Fate = Passes("200\n\nok");
const EMPTY: Fate = Passes("200\ncontent-length: 0");

/// The plainest answer.
const PLAIN: Sent = ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Stays, OK);
/// The plainest answer in chunks.
const CHUNKS: Sent =
    ("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", Stays, CHUNKED_OK);

pub(super) const ROWS: [Row; 76] = [
    // What is no head.
    ("no HTTP", ("GET", b"hello\r\n\r\n", Stays, PROTOCOL), PLAIN),
    ("HTTP/0.9", ("GET", b"<p>ok</p>\r\n", Closes, PROTOCOL), PLAIN),
    ("a request", ("GET", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", Stays, PROTOCOL), PLAIN),
    ("TLS", ("GET", b"\x15\x03\x01\x00\x02\x02\x0a", Stays, PROTOCOL), PLAIN),
    ("HTTP/2", ("GET", b"\x00\x00\x00\x04\x00\x00\x00\x00\x00", Stays, PROTOCOL), PLAIN),
    ("HTTP/2.0", ("GET", b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok", Stays, PROTOCOL), PLAIN),
    ("HTTP/1.2", ("GET", b"HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nok", Stays, PROTOCOL), PLAIN),
    ("another case", ("GET", b"http/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Stays, PROTOCOL), PLAIN),
    ("HTTP/1.0 keeps nothing", ("GET", b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", Stays, OK_LAST), ("GET", b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", Stays, OK)),
    // Statuses.
    ("status 099", ("GET", b"HTTP/1.1 099 Low\r\nContent-Length: 2\r\n\r\nok", Stays, PROTOCOL), PLAIN),
    ("status 1000", ("GET", b"HTTP/1.1 1000 High\r\nContent-Length: 2\r\n\r\nok", Stays, PROTOCOL), ("GET", b"HTTP/1.1 999 High\r\nContent-Length: 2\r\n\r\nok", Stays, Passes("999\ncontent-length: 2\n\nok"))),
    ("status abc", ("GET", b"HTTP/1.1 abc OK\r\nContent-Length: 2\r\n\r\nok", Stays, PROTOCOL), PLAIN),
    ("status 20", ("GET", b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok", Stays, PROTOCOL), PLAIN),
    ("status -20", ("GET", b"HTTP/1.1 -20 OK\r\nContent-Length: 2\r\n\r\nok", Stays, PROTOCOL), PLAIN),
    ("no status", ("GET", b"HTTP/1.1\r\nContent-Length: 2\r\n\r\nok", Stays, PROTOCOL), ("GET", b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", Stays, OK)),
    ("no space before the status", ("GET", b"HTTP/1.1200 OK\r\nContent-Length: 2\r\n\r\nok", Stays, PROTOCOL), PLAIN),
    ("a NUL in the phrase", ("GET", b"HTTP/1.1 200 O\0K\r\nContent-Length: 2\r\n\r\nok", Stays, PROTOCOL), PLAIN),
    ("a CR in the phrase", ("GET", b"HTTP/1.1 200 O\rK\r\nContent-Length: 2\r\n\r\nok", Stays, PROTOCOL), PLAIN),
    // Fields.
    ("a NUL in a value", ("GET", b"HTTP/1.1 200 OK\r\nA: b\0c\r\nContent-Length: 0\r\n\r\n", Stays, PROTOCOL), ("GET", b"HTTP/1.1 200 OK\r\nA: b\tc\r\nContent-Length: 0\r\n\r\n", Stays, Passes("200\na: b\tc\ncontent-length: 0"))),
    ("a CR in a value", ("GET", b"HTTP/1.1 200 OK\r\nA: b\rSet-Cookie: c=d\r\nContent-Length: 0\r\n\r\n", Stays, PROTOCOL), PLAIN),
    ("a bare LF ends a line", ("GET", b"HTTP/1.1 200 OK\nA: b\nContent-Length: 0\n\n", Stays, Passes("200\na: b\ncontent-length: 0")), PLAIN),
    ("a folded field", ("GET", b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n", Stays, PROTOCOL), PLAIN),
    ("a folded length", ("GET", b"HTTP/1.1 200 OK\r\nContent-Length:\r\n 2\r\n\r\nok", Stays, PROTOCOL), PLAIN),
    ("a space before the colon", ("GET", b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok", Stays, PROTOCOL), ("GET", b"HTTP/1.1 200 OK\r\nContent-Length:2 \r\n\r\nok", Stays, OK)),
    ("a space before the name", ("GET", b"HTTP/1.1 200 OK\r\n Content-Length: 2\r\n\r\nok", Stays, PROTOCOL), PLAIN),
    ("no name", ("GET", b"HTTP/1.1 200 OK\r\n: b\r\nContent-Length: 2\r\n\r\nok", Stays, PROTOCOL), PLAIN),
    ("no colon", ("GET", b"HTTP/1.1 200 OK\r\nContent-Length 2\r\n\r\nok", Stays, PROTOCOL), PLAIN),
    ("a name that is no token", ("GET", b"HTTP/1.1 200 OK\r\nA(b): c\r\nContent-Length: 2\r\n\r\nok", Stays, PROTOCOL), PLAIN),
    // Where the body ends.
    ("two lengths", ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok", Stays, PROTOCOL), ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", Stays, OK)),
    ("a length and none", ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: x\r\n\r\nok", Stays, PROTOCOL), PLAIN),
    ("a list of lengths", ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nok", Stays, PROTOCOL), PLAIN),
    ("a list of equal lengths", ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok", Stays, PROTOCOL), PLAIN),
    ("a length with a plus", ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok", Stays, PROTOCOL), PLAIN),
    ("a length with a minus", ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok", Stays, PROTOCOL), PLAIN),
    ("a hexadecimal length", ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\nok", Stays, PROTOCOL), PLAIN),
    ("an empty length", ("GET", b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nok", Stays, PROTOCOL), PLAIN),
    ("a length over 64 bits", ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551618\r\n\r\nok", Stays, PROTOCOL), PLAIN),
    ("length, then chunked", ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", Stays, PROTOCOL), CHUNKS),
    ("chunked, then length", ("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n2\r\nok\r\n0\r\n\r\n", Stays, PROTOCOL), CHUNKS),
    ("gzip, chunked", ("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", Stays, PROTOCOL), CHUNKS),
    ("chunked twice", ("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", Stays, PROTOCOL), CHUNKS),
    ("chunked, identity", ("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, identity\r\n\r\n2\r\nok\r\n0\r\n\r\n", Closes, PROTOCOL), CHUNKS),
    ("identity", ("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nok", Closes, PROTOCOL), ("GET", b"HTTP/1.1 200 OK\r\n\r\nok", Closes, PassesLast("200\n\nok"))),
    ("no coding that there is", ("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\nok", Closes, PROTOCOL), CHUNKS),
    ("an empty coding", ("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n\r\nok", Closes, PROTOCOL), CHUNKS),
    ("chunked in HTTP/1.0", ("GET", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", Closes, PROTOCOL), CHUNKS),
    // Bodies that break.
    ("a body that is too short", ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", Closes, Cut), PLAIN),
    ("a body that is reset", ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", Resets, Cut), PLAIN),
    ("a body until a reset", ("GET", b"HTTP/1.1 200 OK\r\n\r\nok", Resets, Cut), ("GET", b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok", Closes, PassesLast("200\n\nok"))),
    ("chunks without an end", ("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", Closes, Cut), CHUNKS),
    ("half a chunk", ("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nok", Closes, Cut), CHUNKS),
    ("half an end of chunks", ("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n", Closes, Cut), CHUNKS),
    ("a chunk size that is no number", ("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\ng\r\nok\r\n0\r\n\r\n", Stays, Cut), CHUNKS),
    ("a chunk size with a sign", ("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+2\r\nok\r\n0\r\n\r\n", Stays, Cut), CHUNKS),
    ("a chunk size over 64 bits", ("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000002\r\nok\r\n0\r\n\r\n", Stays, Cut), CHUNKS),
    ("a chunk size that ends with a bare LF", ("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\nok\r\n0\r\n\r\n", Stays, Cut), CHUNKS),
    ("a chunk that is longer than its size", ("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokok\r\n0\r\n\r\n", Stays, Cut), CHUNKS),
    ("a trailer with a CR", ("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\na: b\rc\r\n\r\n", Stays, Cut), ("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nContent-Length: 9\r\nSet-Cookie: a=b\r\n\r\n", Stays, CHUNKED_OK)),
    // What follows the answer.
    ("bytes behind a length", ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", Stays, OK_LAST), PLAIN),
    ("bytes behind chunks", ("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", Stays, PassesLast("200\n\nok")), CHUNKS),
    ("a body behind a HEAD", ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Stays, PassesLast("200\ncontent-length: 2")), ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", Stays, Passes("200\ncontent-length: 2"))),
    ("chunks behind a HEAD", ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", Stays, PassesLast("200")), ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Stays, Passes("200"))),
    ("a 204 with a body", ("GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok", Stays, PassesLast("204")), ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", Stays, Passes("204"))),
    ("a 304 with a body", ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\nok", Stays, PassesLast("304")), ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n", Stays, Passes("304"))),
    ("a 204 in chunks", ("GET", b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", Stays, PassesLast("204")), ("GET", b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n", Stays, Passes("205\ncontent-length: 0"))),
    // Interim responses.
    ("eleven interim responses", ("GET", b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Stays, PROTOCOL), ("GET", b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Stays, OK)),
    ("a 101 that nobody asked for", ("GET", b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", Stays, PROTOCOL), ("GET", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Stays, OK)),
    ("a 101 behind a 100", ("GET", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 Switching Protocols\r\n\r\nok", Stays, PROTOCOL), ("GET", b"HTTP/1.1 199 Whatever\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Stays, OK)),
    ("an interim response with a body", ("GET", b"HTTP/1.1 100 Continue\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Stays, PROTOCOL), PLAIN),
    // No answer.
    ("nothing", ("GET", b"", Closes, RESET), PLAIN),
    ("half a head", ("GET", b"HTTP/1.1 200 OK\r\nContent-Len", Closes, RESET), PLAIN),
    ("an interim response alone", ("GET", b"HTTP/1.1 100 Continue\r\n\r\n", Closes, RESET), PLAIN),
    // Fields of one connection, and ours.
    ("the connection names a field", ("GET", b"HTTP/1.1 200 OK\r\nConnection: x-mine, content-length, set-cookie\r\nX-Mine: 1\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n", Stays, Passes("200\ncontent-length: 0\nset-cookie: a=b")), ("GET", b"HTTP/1.1 200 OK\r\nX-Mine: 1\r\nContent-Length: 0\r\n\r\n", Stays, Passes("200\ncontent-length: 0\nx-mine: 1"))),
    ("the connection closes", ("GET", b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", Stays, OK_LAST), ("GET", b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", Stays, OK)),
    ("fields of one connection", ("GET", b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=60\r\nProxy-Connection: keep-alive\r\nProxy-Authenticate: Basic\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n", Stays, EMPTY), PLAIN),
    ("an error that is not ours", ("GET", b"HTTP/1.1 200 OK\r\nX-Tidegate-Error: internal\r\nContent-Length: 0\r\n\r\n", Stays, EMPTY), PLAIN),
];
