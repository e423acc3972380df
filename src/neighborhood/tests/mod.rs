//! The judgement against a slow model that is obviously right, its properties, and scenes from the field.

mod increments;
mod naive;
mod properties;
mod scenes;

use std::sync::Arc;

use super::*;
use crate::evidence::{Collector, Evidence, Family, Source, Speech, Statement, Subject, Time};

/// A day that all cases are judged on.
const TODAY: u32 = 20_600;

/// What a case is made of.
#[derive(Clone, Debug, Default)]
struct Case {
    /// First address, length, ASN.
    routes: Vec<(u32, u8, u32)>,
    /// Address, source, day listed, day removed.
    spells: Vec<(u32, usize, u32, Option<u32>)>,
    guards: String,
}

/// The sources of all cases: two of one group, one of its own, and one that is not trusted.
fn sources() -> [Source; 4] {
    [
        Source::named("a"),
        Source { trust: 0.9, ..Source::named("b") },
        Source { group: "a".to_owned(), ..Source::named("copy") },
        Source { trust: 0.3, ..Source::named("weak") },
    ]
}

impl Case {
    fn evidence(&self) -> Evidence {
        let mut collector = Collector::default();
        let ids = sources().map(|source| collector.sources.add(source).expect("room for a source"));
        for &(bits, source, listed, removed) in &self.spells {
            collector.add(Statement {
                source: ids[source],
                family: Family::Send,
                subject: Subject::Ip4 { bits, length: 32 },
                begin: Time::end_of_day(listed),
                end: removed.map(Time::end_of_day),
                weight: 1.0,
                speech: Speech::List,
            });
        }
        collector.build()
    }

    fn routes(&self) -> Arc<Routes> {
        let line =
            |&(first, length, asn): &(u32, u8, u32)| format!("{}/{length}\t{asn}\n", std::net::Ipv4Addr::from(first));
        let mut builder = RoutesBuilder::default();
        builder.parse_bytes(self.routes.iter().map(line).collect::<String>().as_bytes()).unwrap();
        assert_eq!(builder.skipped.total, 0);
        Arc::new(builder.build())
    }

    fn guards(&self) -> Arc<Guards> {
        let mut builder = GuardsBuilder::default();
        builder.parse_bytes(self.guards.as_bytes()).unwrap();
        assert_eq!(builder.skipped.total, 0);
        Arc::new(builder.build())
    }

    fn judge(&self) -> Judgement {
        self.judge_after(Previous::default())
    }

    fn judge_after(&self, previous: Previous) -> Judgement {
        Judgement::judge(
            &self.evidence(),
            Family::Send,
            &self.routes(),
            &self.guards(),
            &Parameters::default(),
            Time::end_of_day(TODAY),
            &Arc::new(previous),
        )
    }
}

fn ip(text: &str) -> u32 {
    text.parse::<std::net::Ipv4Addr>().expect("an address").into()
}
