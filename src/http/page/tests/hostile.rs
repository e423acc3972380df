//! Visitors who mean no good, and proxies.

use std::io::ErrorKind;
use std::time::Instant;

use proptest::prelude::*;

use super::*;

#[test]
fn a_network_that_asks_too_often_waits_and_others_do_not() {
    let proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let site = Site::with(Listen { requests: 3, proxies, ..Listen::default() }, Vec::new());
    let ask = |forwarded: &str| site.get_with("/", &format!("X-Forwarded-For: {forwarded}\r\n"));
    for _ in 0..3 {
        assert_eq!(ask("192.0.2.1").status, 200);
    }
    let often = ask("192.0.2.1");
    assert_eq!(often.status, 429);
    assert!(often.header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().unwrap() <= 21), "{often:?}");
    // what a client says itself stands before what the proxy adds
    assert_eq!(ask("198.51.100.9, 192.0.2.1").status, 429);
    assert_eq!(ask("192.0.2.2").status, 200);
    assert_eq!(ask("2001:db8::1").status, 200);
}

#[test]
fn nobody_but_a_proxy_is_believed() {
    let listen = Listen { proxies: vec!["127.0.0.1/32".parse().unwrap()], ..Listen::default() };
    let of = |caller: &str, said: &[&str]| listen.client(caller.parse().unwrap(), said).to_string();
    assert_eq!(of("192.0.2.1", &["198.51.100.1"]), "192.0.2.1");
    assert_eq!(of("127.0.0.1", &["198.51.100.1"]), "198.51.100.1");
    assert_eq!(of("127.0.0.1", &["203.0.113.1, 198.51.100.1"]), "198.51.100.1");
    assert_eq!(of("127.0.0.1", &["203.0.113.1", "198.51.100.1, 127.0.0.1"]), "198.51.100.1");
    assert_eq!(of("127.0.0.1", &["unknown"]), "127.0.0.1");
    assert_eq!(of("127.0.0.1", &[]), "127.0.0.1");
    assert_eq!(of("127.0.0.1", &["203.0.113.60:4711"]), "203.0.113.60");
    assert_eq!(of("127.0.0.1", &["198.51.100.1, [2001:db8::9]:443 "]), "2001:db8::9");
    assert_eq!(of("127.0.0.1", &["[2001:db8::9]"]), "2001:db8::9");
    assert_eq!(of("127.0.0.1", &["203.0.113.60:x"]), "127.0.0.1");
    assert_eq!(of("127.0.0.1", &["::ffff:192.0.2.1"]), "192.0.2.1");
}

#[test]
fn a_client_has_its_share_of_connections() {
    let site = Site::with(Listen { connections_per_client: 2, ..Listen::default() }, Vec::new());
    let held: Vec<TcpStream> = (0..2).map(|_| site.connect()).collect();
    let end = Instant::now() + PATIENCE;
    // the thread has to have accepted both first
    loop {
        let mut third = site.connect();
        let _ = third.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        match third.read(&mut [0; 16]) {
            Ok(0) => break,
            Err(why) if why.kind() == ErrorKind::ConnectionReset => break,
            _ => {}
        }
        assert!(Instant::now() < end, "a third connection is never refused");
    }
    drop(held);
    while site.get("/").status != 200 {
        assert!(Instant::now() < end, "a place never becomes free");
    }
}

#[test]
fn other_methods_and_forms_of_requests_are_refused() {
    let site = Site::new();
    for (method, status) in [("PUT", 405), ("DELETE", 405), ("OPTIONS", 405), ("TRACE", 405), ("POST", 405)] {
        let request = format!("{method} / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let answer = site.raw(request.as_bytes());
        assert_eq!((answer.status, answer.header("allow")), (status, Some("GET, HEAD")), "{method}");
    }
    assert_ne!(site.raw(b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n").status, 200);
    // a head without an end, and one that is too long
    assert_eq!(site.raw(b"GET / HTTP/1.1\r\nHost: x").status, 0);
    let long = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "a".repeat(64 * 1024));
    assert_eq!(site.raw(long.as_bytes()).status, 431);
    let smuggled =
        b"POST /q/192.0.2.7 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert!(site.raw(smuggled).status >= 400);
    assert_eq!(site.get("/").status, 200);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_comes_the_page_goes_on(bytes in proptest::collection::vec(any::<u8>(), 0..200), path in "/[ -~]{0,40}") {
        let site = Site::new();
        site.raw(&bytes);
        let answer = site.get(&path.replace(' ', "+"));
        prop_assert!([200, 303, 400, 404].contains(&answer.status), "{path} {answer:?}");
        prop_assert!(!answer.body.contains("<script"));
        prop_assert_eq!(site.get("/").status, 200);
    }
}
