//! SpamAssassin: check_rbl and check_rbl_sub, urirhssub, hashbl.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use super::Lists;
use crate::snippet::snippet;

#[test]
#[ignore = "needs spamassassin, and root for port 53"]
fn spamassassin_marks_what_is_listed() {
    let lists = Lists::serve();
    let spamassassin = SpamAssassin::new(&lists);
    let cases = [
        ("a listed relay", mail("192.0.2.2", "", ""), "RCVD_IN_BL,RCVD_IN_BL_TRAP"),
        ("a relay of the policy list", mail("192.0.2.11", "", ""), "RCVD_IN_BL,RCVD_IN_BL_POLICY"),
        ("a listed IPv6 relay", mail("IPv6:2001:db8:bad::25", "", ""), "RCVD_IN_BL,RCVD_IN_BL_TRAP"),
        ("a URL", mail("192.0.2.77", "", "http://www.spam-example.org/x"), "URIBL_DBL_SPAM"),
        ("another URL", mail("192.0.2.77", "", "https://phishing-example.org/login"), "URIBL_DBL_PHISH"),
        ("an e-mail address", mail("192.0.2.77", "Fraud@mailbox-example.org", ""), "EBL_FRAUD"),
        ("nothing listed", mail("192.0.2.77", "", "http://www.example.net/"), "none"),
    ];
    for (what, mail, expected) in cases {
        let tests = spamassassin.tests(&mail);
        let asked = lists.tell(&format!("spamassassin, {what}"), &format!("tests={tests}"));
        assert_eq!(tests, expected, "{what}");
        assert!(asked.len() <= 8, "{asked:?}");
    }
}

/// A mail that an own server took from a relay.
fn mail(relay: &str, reply_to: &str, url: &str) -> String {
    let reply_to = if reply_to.is_empty() { "somebody@example.net" } else { reply_to };
    format!(
        "Received: from mail.example.net (mail.example.net [{relay}])
\tby mail.lab.example (Postfix) with ESMTP id 4DNSBL
\tfor <somebody@mail.lab.example>; Fri, 10 Jul 2026 09:00:00 +0000 (UTC)
From: Somebody <somebody@example.net>
Reply-To: <{reply_to}>
To: <somebody@mail.lab.example>
Subject: an offer
Date: Fri, 10 Jul 2026 09:00:00 +0000
Message-ID: <1@mail.example.net>

Look at this: {url}
"
    )
}

/// The program with rules of its own and no others.
struct SpamAssassin<'l> {
    lists: &'l Lists,
}

impl<'l> SpamAssassin<'l> {
    fn new(lists: &'l Lists) -> Self {
        let rules = lists.path().join("rules");
        fs::create_dir(&rules).unwrap();
        let plugins = ["Check", "DNSEval", "URIDNSBL", "HashBL"];
        let plugins = plugins.map(|name| format!("loadplugin Mail::SpamAssassin::Plugin::{name}\n"));
        fs::write(rules.join("init.pre"), plugins.concat()).unwrap();
        let relay = lists.relay.address();
        let text =
            format!("dns_server [{}]:{}\n{FRAME}{}", relay.ip(), relay.port(), snippet("clients.md", "spamassassin"));
        fs::write(rules.join("local.cf"), text).unwrap();
        Self { lists }
    }

    /// The rules that a mail hits, `none` if there are none.
    fn tests(&self, mail: &str) -> String {
        let rules = self.lists.path().join("rules");
        let mut command = Command::new("spamassassin");
        command.args(["-t", "-x", "-p", "/dev/null", "-C"]).arg(&rules);
        command.arg(format!("--siteconfigpath={}", rules.display())).env("HOME", self.lists.path());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(mail.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let tests = text.lines().find_map(|line| line.strip_prefix("X-Spam-Tests: "));
        tests.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr))).to_owned()
    }
}

/// What the rules and lists of an installation would say besides.
const FRAME: &str = "dns_available yes
use_bayes 0
util_rb_tld net org example
fold_headers 0
add_header all Tests _TESTS_
";
