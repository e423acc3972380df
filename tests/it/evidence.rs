//! Evidence in the store: it counts as evidence in files does, and `infamy evidence` finds it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use infamy::evidence::store::{Action, Event, EvidenceLog, Report, SqliteLog, StoredChange, What};
use infamy::evidence::{Time, Written};
use infamy::neighborhood::{Previous, Survey, SurveyPlan};

fn time(text: &str) -> Time {
    Written::parse(text.as_bytes()).unwrap().end()
}

fn event(at: Time, what: What) -> Event {
    Event { key: None, at: i64::from(at.0), who: "uid:0".to_owned(), what }
}

/// The reports of a CSV file as events.
fn reports(csv: &str) -> Vec<Event> {
    let report = |line: &str| {
        let columns: Vec<&str> = line.split(',').collect();
        let at = time(columns[0]);
        let report = Report {
            time: at,
            source: columns[1].to_owned(),
            subject: columns[2].to_owned(),
            category: columns[3].to_owned(),
            weight: columns[4].parse().unwrap_or(1.0),
            text: None,
        };
        event(at, What::Report(report))
    };
    csv.lines().skip(1).map(report).collect()
}

/// Reports of a busy neighborhood, of names, of both families and of a time that is yet to come.
fn csv() -> String {
    let mut csv = "time,source,subject,category,weight\n".to_owned();
    for day in 1..=28 {
        for host in 0..day % 9 {
            let (source, weight) = (["trap", "isp", "honeypot"][host % 3], ["", "0.5"][host % 2]);
            csv += &format!("2026-06-{day:02}T0{host}:00:00Z,{source},192.0.2.{},spam,{weight}\n", day * 7 % 40 + host);
            csv += &format!("2026-06-{day:02}T0{host}:30:00Z,{source},2001:db8:{host}::{day},scan,{weight}\n");
            csv += &format!("2026-06-{day:02}T0{host}:40:00Z,{source},http://w{host}.bad.example/{day},phishing,\n");
        }
    }
    csv + "2027-01-01,trap,198.51.100.1,spam,\n"
}

#[test]
fn reports_count_the_same_in_a_file_and_in_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let in_folder = |name: &str| folder.path().join(name);
    fs::write(in_folder("routes.tsv"), "10.0.0.0/8\t64497\n192.0.2.0/24\t64496\n2001:db8::/32\t64496\n").unwrap();
    fs::write(in_folder("reports.csv"), csv()).unwrap();
    let mut log = SqliteLog::open(&in_folder("evidence.db")).unwrap();
    log.append(&[&reports(&csv())]).unwrap();

    let routes = vec![in_folder("routes.tsv")];
    let by_file =
        SurveyPlan { routes: routes.clone(), reports: vec![in_folder("reports.csv")], ..SurveyPlan::default() };
    let by_store = SurveyPlan { routes, store: Some(in_folder("evidence.db")), ..SurveyPlan::default() };
    let take =
        |plan: &SurveyPlan| Survey::take(plan, time("2026-06-30"), [(); 2].map(|()| Arc::new(Previous::default())));
    let (by_file, by_store) = (take(&by_file).unwrap(), take(&by_store).unwrap());
    assert!(!by_file.exact4.is_empty() && !by_file.exact6.is_empty() && !by_file.runs[0].is_empty());
    assert_eq!(by_file.evidence.ip4, by_store.evidence.ip4);
    assert_eq!(by_file.evidence.ip6, by_store.evidence.ip6);
    assert_eq!(by_file.evidence.names, by_store.evidence.names);
    assert_eq!(format!("{:?}", by_file.runs), format!("{:?}", by_store.runs));
    assert_eq!(format!("{:?}", by_file.exact4), format!("{:?}", by_store.exact4));
    assert_eq!(format!("{:?}", by_file.names), format!("{:?}", by_store.names));
}

#[test]
fn a_store_that_nobody_has_made_has_no_evidence() {
    let folder = tempfile::tempdir().unwrap();
    let plan = SurveyPlan { store: Some(folder.path().join("evidence.db")), ..SurveyPlan::default() };
    let previous = [(); 2].map(|()| Arc::new(Previous::default()));
    assert!(Survey::take(&plan, time("2026-06-30"), previous).unwrap().evidence.ip4.is_empty());
    assert!(!folder.path().join("evidence.db").exists());
}

/// Runs `infamy evidence` with a configuration in a folder.
fn ask(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_infamy"));
    command.arg("evidence").args(arguments).arg("--config").arg(folder.join("infamy.toml"));
    command.output().unwrap()
}

fn printed(output: &Output) -> (i32, Vec<String>) {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    (output.status.code().unwrap(), text.lines().map(str::to_owned).collect())
}

#[test]
fn evidence_says_who_said_what_from_store_and_files() {
    let folder = tempfile::tempdir().unwrap();
    let config = "version = 1\n[control]\nstore = \"evidence.db\"\n[evidence]\nreports = \"reports.csv\"\n\
                  [[evidence.source]]\nname = \"list\"\nfile = \"list.tsv\"\n";
    fs::write(folder.path().join("infamy.toml"), config).unwrap();
    let file = "time,source,subject,category\n2026-06-01T00:00:00Z,isp,192.0.2.1,spam\n\
                2026-06-02T00:00:00Z,isp,192.0.2.1,spam\n2026-06-02,isp,198.51.100.1,spam\n";
    fs::write(folder.path().join("reports.csv"), file).unwrap();
    fs::write(folder.path().join("list.tsv"), "192.0.2.0/24\t2026-05-01\t2026-05-10\n").unwrap();
    assert_eq!(printed(&ask(folder.path(), &["203.0.113.1"])), (1, vec![]));

    let mut log = SqliteLog::open(&folder.path().join("evidence.db")).unwrap();
    let mut said = reports("\n2026-06-03T10:00:00Z,trap,192.0.2.1,scan,\n2026-06-04T10:00:00Z,trap,192.0.2.9,scan,\n");
    if let What::Report(report) = &mut said[0].what {
        report.text = Some("port 22\nport 23\x1b[2J".to_owned());
    }
    let change = |at: &str, action, expires| {
        let (dataset, subject) = ("traps".to_owned(), "192.0.2.1".to_owned());
        let reason = Some("as he said".to_owned());
        event(time(at), What::Change(StoredChange { dataset, subject, action, expires, reason }))
    };
    let add = Action::Add { a: None, text: None, ttl: None };
    said.push(change("2026-06-05T00:00:00Z", add, Some(i64::from(time("2026-06-06T00:00:00Z").0))));
    said.push(change("2026-06-05T01:00:00Z", Action::Withdraw { number: 3 }, None));
    log.append(&[&said]).unwrap();

    // the server has it open
    let (code, lines) = printed(&ask(folder.path(), &["192.0.2.1"]));
    let expected = [
        "#time\tuntil\tkind\twho\tsubject\twhat\ttext",
        "2026-05-01T23:59:59Z\t2026-05-10T23:59:59Z\tlisted\tlist\t192.0.2.0/24\tsend\t",
        "2026-06-01T00:00:00Z\t2026-06-02T00:00:00Z\tnamed\tisp\t192.0.2.1\tsend\t",
        "2026-06-03T10:00:00Z\t-\treport\ttrap\t192.0.2.1\tscan\tport 22 port 23 [2J",
        "2026-06-05T00:00:00Z\t2026-06-06T00:00:00Z\tadd\tuid:0\t192.0.2.1\ttraps\tas he said; withdrawn by event 4",
    ];
    assert_eq!((code, lines), (0, expected.map(str::to_owned).to_vec()));
    let (_, lines) = printed(&ask(folder.path(), &["192.0.2.0/24", "--since", "2026-06-03", "--json"]));
    let objects: Vec<serde_json::Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(objects.iter().map(|object| &object["number"]).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!((&objects[0]["kind"], &objects[2]["withdrawn_by"]), (&"report".into(), &4.into()));
    let cut = ask(folder.path(), &["192.0.2.0/24", "--limit", "1"]);
    assert_eq!(printed(&cut).1.len(), 2);
    assert!(String::from_utf8(cut.stderr).unwrap().contains("there is more before this"));

    let wrong = ask(folder.path(), &["a word"]);
    assert_eq!(wrong.status.code(), Some(2));
    drop(log);
    fs::write(folder.path().join("evidence.db"), "no store").unwrap();
    let broken = ask(folder.path(), &["192.0.2.1"]);
    assert_eq!(broken.status.code(), Some(2));
    assert!(String::from_utf8(broken.stderr).unwrap().contains("evidence.db: is no evidence store of infamy"));
}
