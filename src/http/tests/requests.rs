//! What is asked, and what becomes of it.

use std::collections::BTreeSet;

use serde_json::json;

use super::*;

const CHANGE: &str = "POST /v1/changes HTTP/1.1\r\nContent-Type: application/json";

#[test]
fn routes_and_document_name_the_same() {
    let routed: BTreeSet<(String, String)> =
        routes::routes().iter().map(|(method, path, _)| (path.to_string(), method.to_string())).collect();
    let site = Site::new();
    let document = site.ask("GET /openapi.json HTTP/1.1", "").json();
    let mut told = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        told.extend(methods.as_object().unwrap().keys().map(|method| (path.clone(), method.clone())));
    }
    assert_eq!(routed, told);
    // and they are where the document says: an unknown path is 404, another method 405
    for (path, method) in &told {
        let path = path.replace("{name}", "x").replace("{number}", "1");
        let answer = site.ask(&format!("{} {path} HTTP/1.1", method.to_uppercase()), "");
        assert!(answer.status != 405 && answer.detail_unless_done() != NO_PATH, "{method} {path}: {answer:?}");
    }
}

const NO_PATH: &str = "there is no such path: see /openapi.json";

impl Answered {
    fn detail_unless_done(&self) -> String {
        if self.status == 200 { String::new() } else { self.detail() }
    }
}

/// The keys that the document gives to an object, and those that must be there.
fn keys(schema: &Value) -> (BTreeSet<String>, BTreeSet<String>) {
    let names = schema["properties"].as_object().unwrap().keys().cloned().collect();
    let required = schema["required"].as_array().unwrap().iter().map(|key| key.as_str().unwrap().to_owned()).collect();
    (names, required)
}

#[test]
fn the_document_has_the_keys_of_the_types() {
    let document: Value = serde_json::from_str(include_str!("../openapi.json")).unwrap();
    let schemas = &document["components"]["schemas"];
    let at = At(Time(0));
    let record = ChangeRecord {
        number: 1,
        at,
        who: String::new(),
        action: Action::Add,
        dataset: String::new(),
        subject: String::new(),
        value: None,
        text: None,
        ttl: None,
        expires: None,
        withdrawn: None,
        reason: None,
    };
    let dataset = DatasetStatus {
        name: String::new(),
        entries: 0,
        loaded: None,
        as_of: None,
        changes: 0,
        next_expiry: None,
        failures: 0,
        error: None,
    };
    let counts = DatasetCounts { name: String::new(), before: 0, after: 0, entered: None, left: None, changed: None };
    let failure = Failure { dataset: String::new(), reason: String::new() };
    let entry =
        DiffEntry { generation: 1, dataset: String::new(), change: Movement::Left, subject: String::new(), why: None };
    let generation = GenerationRecord { number: 1, at, cause: String::new(), who: None, datasets: Vec::new() };
    let seen = EvidenceRecord {
        time: at,
        source: String::new(),
        subject: String::new(),
        category: String::new(),
        weight: 1.0,
    };
    let properties = |name: &str, key: &str| schemas[name]["properties"][key].clone();
    let of_optional = |schema: Value| schema["oneOf"][0].clone();
    let loading = Loading { dataset: String::new(), since: at, bytes: 0, of_bytes: None, lines: 0 };
    let certificate = CertificateStatus { door: String::new(), expires: None, failures: 0, error: None };
    let store = StoreStatus { path: String::new(), waiting: 0, error: None };
    let count =
        QueryCount { zone: None, transport: String::new(), qtype: String::new(), result: String::new(), count: 0 };
    let durations = Durations { transport: String::new(), seconds: 0.0, buckets: Vec::new() };
    let all = [
        (schemas["Status"].clone(), serde_json::to_value(Kept::default().status())),
        (of_optional(properties("Status", "loading")), serde_json::to_value(loading)),
        (properties("Status", "datasets")["items"].clone(), serde_json::to_value(dataset)),
        (
            properties("Status", "zones")["items"].clone(),
            serde_json::to_value(ZoneStatus { apex: String::new(), serial: 0 }),
        ),
        (properties("Status", "certificates")["items"].clone(), serde_json::to_value(certificate)),
        (properties("Status", "held"), serde_json::to_value(Held::default())),
        (of_optional(properties("Status", "store")), serde_json::to_value(store)),
        (schemas["Traffic"].clone(), serde_json::to_value(Traffic::default())),
        (properties("Traffic", "queries")["items"].clone(), serde_json::to_value(count)),
        (properties("Traffic", "durations")["items"].clone(), serde_json::to_value(durations)),
        (
            properties("Traffic", "durations")["items"]["properties"]["buckets"]["items"].clone(),
            serde_json::to_value(Bucket { up_to: None, count: 0 }),
        ),
        (schemas["Changed"].clone(), serde_json::to_value(Changed { numbers: Vec::new(), served: true })),
        (schemas["ChangeRecord"].clone(), serde_json::to_value(record)),
        (schemas["Reported"].clone(), serde_json::to_value(Reported::default())),
        (schemas["LineProblem"].clone(), serde_json::to_value(LineProblem { line: 1, reason: String::new() })),
        (
            schemas["Reloaded"].clone(),
            serde_json::to_value(Reloaded {
                done: true,
                generation: 1,
                configuration: None,
                failures: Vec::new(),
                certificates: Vec::new(),
                restart: Vec::new(),
            }),
        ),
        (
            properties("Reloaded", "certificates")["items"].clone(),
            serde_json::to_value(CertificateFailure { door: String::new(), reason: String::new() }),
        ),
        (properties("Reloaded", "failures")["items"].clone(), serde_json::to_value(failure)),
        (
            schemas["Diff"].clone(),
            serde_json::to_value(Diff { from: 0, to: 1, generations: vec![], entries: vec![], truncated: false }),
        ),
        (properties("Diff", "generations")["items"].clone(), serde_json::to_value(generation)),
        (
            properties("Diff", "generations")["items"]["properties"]["datasets"]["items"].clone(),
            serde_json::to_value(counts),
        ),
        (properties("Diff", "entries")["items"].clone(), serde_json::to_value(entry)),
        (
            schemas["Evidence"].clone(),
            serde_json::to_value(Evidence { reports: vec![], changes: vec![], truncated: false }),
        ),
        (properties("Evidence", "reports")["items"].clone(), serde_json::to_value(seen)),
    ];
    for (schema, value) in all {
        let written: BTreeSet<String> = value.unwrap().as_object().unwrap().keys().cloned().collect();
        let (names, required) = keys(&schema);
        assert_eq!((&names, &required), (&written, &written));
    }
    // a request leaves out what is not given
    let whole = json!({ "action": "add", "dataset": "d", "subjects": ["a"], "value": "127.0.0.2", "text": "t", "ttl": 1,
        "expires": 1, "lifetime": 1, "reason": "r" });
    let written: BTreeSet<String> = whole.as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys(&schemas["Change"]).0, written);
    serde_json::from_value::<ChangeRequest>(whole).unwrap();
}

#[test]
fn a_change_is_handed_on_and_told_when_it_is_durable() {
    let site = Site::new();
    let before = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as u32;
    let body =
        r#"{"action":"add","dataset":"drop","subjects":["192.0.2.1","192.0.2.0/24"],"lifetime":60,"reason":"ü"}"#;
    let answer = site.ask(CHANGE, body);
    assert_eq!((answer.status, answer.json()), (200, json!({ "numbers": [0, 1], "served": false })), "{answer:?}");
    let answer = site.ask(&CHANGE.replace("changes", "changes?wait=true"), &body.replace("add", "remove"));
    assert_eq!(answer.json()["served"], true);
    let state = site.kept.state();
    let (who, change, key, wanted) = &state.changes[0];
    assert_eq!(who.0, format!("uid:{}", nix::unistd::getuid()));
    assert_eq!((change.reason.as_deref(), key.as_deref(), *wanted), (Some("ü"), None, Until::Durable));
    let expires = change.expires.unwrap().0.0;
    assert!((before + 60..before + 120).contains(&expires) && change.lifetime.is_none());
    assert_eq!(state.changes[1].3, Until::Served);
}

#[test]
fn the_same_key_is_the_same_request_of_one_user() {
    let site = Site::new();
    let body = r#"{"action":"add","dataset":"drop","subjects":["192.0.2.1"]}"#;
    let head = format!("{CHANGE}\r\nIdempotency-Key: 1f");
    let first = site.ask(&head, body).json();
    assert_eq!(site.ask(&head, body).json(), first);
    let other = site.ask(&head, &body.replace("192.0.2.1", "192.0.2.2"));
    assert_eq!(other.status, 409);
    assert!(other.detail().contains("take a new one"));
    // somebody else's key of the same name is another
    let length = body.len();
    let request = format!(
        "{head}\r\nHost: [::1]:8053\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    assert_eq!(site.ask_tcp(&request).json(), json!({ "numbers": [1000], "served": false }));
    let state = site.kept.state();
    assert_eq!(state.changes.len(), 2);
    assert_eq!(state.changes[1].0, Who("mail".to_owned()));
}

#[test]
fn what_cannot_be_meant_is_told() {
    let site = Site::new();
    let whole = r#"{"action":"add","dataset":"drop","subjects":["192.0.2.1"],"expires":"2100-01-01"}"#;
    let many = format!(r#"["{}"]"#, vec!["192.0.2.1"; 1001].join("\",\""));
    for (from, to, status, detail) in [
        ("\"add\"", "\"hide\"", 400, "unknown variant `hide`, expected `add` or `remove`"),
        ("dataset", "datasets", 400, "unknown field `datasets`"),
        ("\"drop\"", "\"\"", 422, "dataset: 1 to 255 bytes are possible"),
        ("drop", "dr\\u000aop", 422, "dataset: has a control character"),
        ("[\"192.0.2.1\"]", "[]", 422, "subjects: a change has 1 to 1000"),
        ("[\"192.0.2.1\"]", &many, 422, "subjects: a change has 1 to 1000"),
        ("2100", "1999", 422, "expires: is past"),
        ("2100-01-01", "soon", 400, "invalid value: string \"soon\", expected a time"),
        ("\"expires\"", "\"lifetime\":5,\"expires\"", 422, "expires, lifetime: write one of them"),
        ("\"expires\":\"2100-01-01\"", "\"lifetime\":0", 422, "lifetime: is 0"),
        ("\"add\"", "\"remove\",\"ttl\":5", 422, "value, text, ttl: what is removed has none"),
        ("\"add\"", "\"add\",\"value\":\"::1\"", 400, "invalid IPv4 address"),
        ("}", "", 400, "EOF while parsing"),
    ] {
        let body = whole.replace(from, to);
        let answer = site.ask(CHANGE, &body);
        assert_eq!(answer.status, status, "{body}");
        assert!(answer.detail().contains(detail), "{body}: {}", answer.detail());
    }
    for (head, status, detail) in [
        ("POST /v1/changes HTTP/1.1", 415, "Content-Type: write application/json"),
        ("POST /v1/changes HTTP/1.1\r\nContent-Type: text/plain", 415, "Content-Type: write application/json"),
        (&*format!("{CHANGE}\r\nContent-Encoding: gzip"), 415, "compressed bodies are not taken"),
        (&*format!("{CHANGE}\r\nIdempotency-Key: "), 400, "Idempotency-Key: one of 1 to 64 visible characters"),
        (&*format!("{CHANGE}\r\nIdempotency-Key: a b"), 400, "Idempotency-Key: one of"),
        (&*format!("{CHANGE}\r\nIdempotency-Key: a\r\nIdempotency-Key: b"), 400, "Idempotency-Key: one of"),
        (&*format!("{CHANGE}\r\nIdempotency-Key: {}", "a".repeat(65)), 400, "Idempotency-Key: one of"),
        (&*CHANGE.replace("changes", "changes?wait=maybe"), 400, "Failed to deserialize query string"),
        (&*CHANGE.replace("changes", "changes?wiat=true"), 400, "unknown field `wiat`"),
        ("GET /v1/evidence HTTP/1.1", 400, "missing field `subject`"),
        ("GET /v1/evidence?subject=%0d%0a HTTP/1.1", 422, "subject: 1 to 2048 bytes are possible"),
        ("GET /v1/lookup?subject=a%00 HTTP/1.1", 422, "subject: has a control character"),
        ("DELETE /v1/changes/x HTTP/1.1", 400, "a change has a number"),
        ("GET /v1/diff HTTP/1.1", 503, "the server is ending"),
        ("GET /v1 HTTP/1.1", 404, "there is no such path"),
        ("GET /v1/status/ HTTP/1.1", 404, "there is no such path"),
    ] {
        let answer = site.ask(head, whole);
        assert_eq!(answer.status, status, "{head}: {answer:?}");
        assert!(answer.detail().contains(detail), "{head}: {}", answer.detail());
    }
    site.is_well();
}

#[test]
fn the_other_paths_ask_what_they_are_for() {
    let site = Site::new();
    assert_eq!(site.ask("POST /v1/reload HTTP/1.1", "").json()["done"], false);
    assert_eq!(site.ask("POST /v1/reload?wait=true HTTP/1.1", "").json()["done"], true);
    assert_eq!(site.ask("POST /v1/datasets/drop/accept HTTP/1.1", "").json()["generation"], 5);
    let missing = site.ask("POST /v1/datasets/d%72op%2f/accept HTTP/1.1", "");
    assert_eq!((missing.status, &*missing.detail()), (404, "dataset drop/: there is none"));
    assert_eq!(site.ask("DELETE /v1/changes/17 HTTP/1.1", "").json()["numbers"], json!([17]));
    assert_eq!(site.ask("GET /v1/changes?all=true&limit=5 HTTP/1.1", "").json(), json!([]));
    site.ask("GET /v1/evidence?subject=192.0.2.0%2F24&limit=99999999 HTTP/1.1", "");
    let url = site.ask("GET /v1/lookup?subject=http%3A%2F%2Fa.example%2Fb+c HTTP/1.1", "");
    assert_eq!(url.json()["subject"], "http://a.example/b c");
    let state = site.kept.state();
    assert_eq!(state.withdrawn, [17]);
    assert!(state.asked.iter().any(|asked| asked.contains("192.0.2.0/24") && asked.contains("limit: Some(10000)")));
}

#[test]
fn another_method_is_told_which_there_are() {
    let site = Site::new();
    let answer = site.ask("PUT /v1/changes HTTP/1.1", "");
    assert_eq!((answer.status, &*answer.detail()), (405, "the path has other methods"));
    assert!(matches!(answer.header("allow"), Some("POST,GET,HEAD" | "GET,HEAD,POST")), "{}", answer.head);
    let head = site.ask("HEAD /v1/status HTTP/1.1", "");
    assert_eq!((head.status, &*head.body), (200, ""));
}
