//! The address that has metrics and nothing else.

use super::*;

fn ask(site: &Site, request: &str) -> Answered {
    let stream = TcpStream::connect(site.running.metrics_addresses()[0]).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    Answered::read(stream, &format!("{request}\r\nConnection: close\r\n\r\n"))
}

#[test]
fn whoever_can_connect_reads_metrics_under_any_name() {
    let site = Site::new();
    for host in ["127.0.0.1:9153", "dns1.example:9153", "x"] {
        let answer = ask(&site, &format!("GET /metrics HTTP/1.1\r\nHost: {host}"));
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
        assert_eq!(answer.body, "# TYPE infamy_generation gauge\ninfamy_generation 3\n");
    }
    assert_eq!(ask(&site, "HEAD /metrics HTTP/1.1\r\nHost: x").body, "");
}

#[test]
fn there_is_nothing_but_metrics() {
    let site = Site::new();
    for path in ["/", "/v1/status", "/v1/traffic", "/openapi.json", "/metrics/", "/metrics/x"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}");
        assert_eq!(ask(&site, &request).status, 404, "{path}");
    }
    let change =
        "POST /v1/changes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    assert_eq!(ask(&site, change).status, 404);
    assert_eq!(ask(&site, "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0").status, 405);
    let page = "GET /metrics HTTP/1.1\r\nHost: x\r\nOrigin: https://evil.example";
    assert_eq!(ask(&site, page).status, 403);
    site.is_well();
}

#[test]
fn elsewhere_metrics_are_for_those_who_may_ask() {
    let site = Site::new();
    assert!(site.ask("GET /metrics HTTP/1.1", "").body.starts_with("# TYPE"));
    let request = "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
    assert_eq!(site.ask_tcp(request).status, 401);
}
