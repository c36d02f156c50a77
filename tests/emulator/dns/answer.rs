//! What Route 53's name servers would say to a question, by the records of a zone. Decides only.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use hickory_server::proto::op::ResponseCode;
use hickory_server::proto::rr::rdata::{A, AAAA, CNAME, NS, SOA};
use hickory_server::proto::rr::{Name, RData, RecordType};

use super::route53::{Leads, Record, canonical};

/// Names that lead to names are followed so far.
const CHAIN: usize = 8;

/// What is answered with.
#[derive(Debug)]
pub struct World<'a> {
    pub records: &'a [Record],
    /// With a dot at its end.
    pub zone: &'a str,
    /// Balancers' own names, and the address that stands for each.
    pub balancers: &'a BTreeMap<String, Ipv4Addr>,
    /// Of an answer by an alias, and of a balancer's own name: AWS has 60.
    pub alias_ttl: u32,
}

type Answers = Vec<hickory_server::proto::rr::Record>;

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub code: ResponseCode,
    pub answers: Answers,
    /// The SOA record, where there is nothing to answer with.
    pub authority: Answers,
}

impl World<'_> {
    /// `pick`: a number below another one, each as likely.
    pub fn reply(&self, name: &str, kind: RecordType, pick: &mut dyn FnMut(u32) -> u32) -> Reply {
        let mut answers = Vec::new();
        let code = self.collect(&canonical(name), kind, pick, &mut answers, CHAIN);
        let authority = match answers.as_slice() {
            [] if code != ResponseCode::Refused => self.soa(),
            _ => Vec::new(),
        };
        Reply { code, answers, authority }
    }

    fn collect(
        &self,
        name: &str,
        kind: RecordType,
        pick: &mut dyn FnMut(u32) -> u32,
        answers: &mut Answers,
        left: usize,
    ) -> ResponseCode {
        if let Some(address) = self.balancers.get(name) {
            if kind == RecordType::A {
                answers.push(record(name, self.alias_ttl, RData::A(A(*address))));
            }
            return ResponseCode::NoError;
        }
        if name != self.zone && !name.ends_with(&format!(".{}", self.zone)) {
            // Somebody else's; where it is the end of a chain, the resolver goes on there.
            return if answers.is_empty() { ResponseCode::Refused } else { ResponseCode::NoError };
        }
        let of = |kind: &str| -> Vec<&Record> {
            self.records.iter().filter(|record| record.name == name && record.kind == kind).collect()
        };
        if let Some(chosen) = choose(&of(&kind.to_string()), pick) {
            self.say(chosen, kind, answers);
            return ResponseCode::NoError;
        }
        if let Some(Record { leads: Leads::Values { ttl, values }, .. }) = choose(&of("CNAME"), pick) {
            let target = canonical(&values[0]);
            answers.push(record(name, *ttl, RData::CNAME(CNAME(parsed(&target)))));
            return match left {
                0 => ResponseCode::ServFail,
                left => self.collect(&target, kind, pick, answers, left - 1),
            };
        }
        let is_there = |record: &Record| record.name == name || record.name.ends_with(&format!(".{name}"));
        if self.records.iter().any(is_there) { ResponseCode::NoError } else { ResponseCode::NXDomain }
    }

    fn say(&self, chosen: &Record, kind: RecordType, answers: &mut Answers) {
        match &chosen.leads {
            Leads::Alias { dns_name, .. } => {
                let address = self.balancers.get(dns_name).filter(|_| kind == RecordType::A);
                let data = address.map(|address| RData::A(A(*address)));
                answers.extend(data.map(|data| record(&chosen.name, self.alias_ttl, data)));
            }
            Leads::Values { ttl, values } => {
                let data = values.iter().filter_map(|value| data(kind, value));
                answers.extend(data.map(|data| record(&chosen.name, *ttl, data)));
            }
        }
    }

    fn soa(&self) -> Answers {
        let mut answers = Vec::new();
        let own = self.records.iter().find(|record| record.name == self.zone && record.kind == "SOA");
        own.into_iter().for_each(|own| self.say(own, RecordType::SOA, &mut answers));
        answers
    }
}

/// One of several by their weights; with nothing but zeros each is as likely, as in Route 53.
fn choose<'a>(records: &[&'a Record], pick: &mut dyn FnMut(u32) -> u32) -> Option<&'a Record> {
    let weight = |record: &Record| record.weighted.as_ref().map_or(1, |(_, weight)| *weight);
    let total: u32 = records.iter().map(|record| weight(record)).sum();
    if total == 0 {
        let number = u32::try_from(records.len()).unwrap();
        return (number > 0).then(|| records[pick(number) as usize]);
    }
    let mut left = pick(total);
    records.iter().copied().find(|record| match left.checked_sub(weight(record)) {
        Some(rest) => {
            left = rest;
            false
        }
        None => true,
    })
}

fn parsed(name: &str) -> Name {
    Name::from_ascii(canonical(name)).unwrap()
}

fn record(name: &str, ttl: u32, data: RData) -> hickory_server::proto::rr::Record {
    hickory_server::proto::rr::Record::from_rdata(parsed(name), ttl, data)
}

/// None: a kind that nobody asks for here.
fn data(kind: RecordType, value: &str) -> Option<RData> {
    Some(match kind {
        RecordType::A => RData::A(A(value.parse().unwrap())),
        RecordType::AAAA => RData::AAAA(AAAA(value.parse().unwrap())),
        RecordType::CNAME => RData::CNAME(CNAME(parsed(value))),
        RecordType::NS => RData::NS(NS(parsed(value))),
        RecordType::SOA => {
            let words: Vec<&str> = value.split_whitespace().collect();
            let number = |at: usize| words[at].parse::<i32>().unwrap();
            let (serial, minimum) = (words[2].parse().unwrap(), words[6].parse().unwrap());
            let soa = SOA::new(
                parsed(words[0]),
                parsed(words[1]),
                serial,
                number(3),
                number(4),
                number(5),
                minimum,
            );
            RData::SOA(soa)
        }
        _ => return None,
    })
}

mod tests {
    use super::*;

    const BLUE: &str = "blue-1.eu-central-1.elb.amazonaws.com.";
    const GREEN: &str = "green-1.eu-central-1.elb.amazonaws.com.";

    fn set(name: &str, kind: &str, weighted: Option<(&str, u32)>, leads: Leads) -> Record {
        let weighted = weighted.map(|(identifier, weight)| (identifier.to_owned(), weight));
        Record { name: name.into(), kind: kind.into(), weighted, leads }
    }

    fn alias(dns_name: &str) -> Leads {
        Leads::Alias { dns_name: dns_name.into(), hosted_zone: "Z".into() }
    }

    fn values(ttl: u32, values: &[&str]) -> Leads {
        Leads::Values { ttl, values: values.iter().map(|value| (*value).to_owned()).collect() }
    }

    fn records(blue: u32, green: u32) -> Vec<Record> {
        vec![
            set("example.org.", "NS", None, values(172_800, &["ns-1.awsdns-01.com", "ns-2.awsdns-02.net"])),
            set(
                "example.org.",
                "SOA",
                None,
                values(900, &["ns-1.awsdns-01.com. x.example.com. 1 7200 900 1209600 86400"]),
            ),
            set("shop.example.org.", "A", Some(("blue", blue)), alias(BLUE)),
            set("shop.example.org.", "A", Some(("green", green)), alias(GREEN)),
            set("www.example.org.", "CNAME", Some(("blue", blue)), values(5, &[BLUE])),
            set("www.example.org.", "CNAME", Some(("green", green)), values(5, &["Shop.example.org"])),
            set("far.example.org.", "CNAME", None, values(5, &["elsewhere.example.net"])),
            set("loop.example.org.", "CNAME", None, values(5, &["loop.example.org"])),
            set("a.deep.example.org.", "A", None, values(30, &["192.0.2.1", "192.0.2.2"])),
        ]
    }

    /// The answer by a number between zero and the sum of the weights.
    fn told(
        records: &[Record],
        name: &str,
        kind: RecordType,
        number: u32,
    ) -> (ResponseCode, Vec<String>, usize) {
        let addresses = [(BLUE, [192, 0, 2, 10]), (GREEN, [192, 0, 2, 20])];
        let balancers = addresses.map(|(name, address)| (name.to_owned(), Ipv4Addr::from(address))).into();
        let world = World { records, zone: "example.org.", balancers: &balancers, alias_ttl: 60 };
        let reply = world.reply(name, kind, &mut |below| number % below);
        let line = |record: &hickory_server::proto::rr::Record| {
            format!("{} {} {} {}", record.name, record.ttl, record.record_type(), record.data)
        };
        (reply.code, reply.answers.iter().map(line).collect(), reply.authority.len())
    }

    #[test]
    fn one_of_the_weighted_records_is_chosen_by_its_share_and_an_alias_answers_with_its_balancers_address() {
        let records = records(3, 1);
        let answers: Vec<String> = (0..4)
            .map(|number| told(&records, "SHOP.example.org", RecordType::A, number).1.concat())
            .collect();
        let (blue, green) = ("shop.example.org. 60 A 192.0.2.10", "shop.example.org. 60 A 192.0.2.20");
        assert_eq!(answers, [blue, blue, blue, green]);
    }

    #[test]
    fn a_weight_of_zero_is_never_chosen_but_nothing_but_zeros_is() {
        for number in 0..10 {
            let of = |blue, green| told(&records(blue, green), "shop.example.org", RecordType::A, number).1;
            assert_eq!(of(0, 7), ["shop.example.org. 60 A 192.0.2.20"]);
            assert_eq!(of(7, 0), ["shop.example.org. 60 A 192.0.2.10"]);
            assert_eq!(of(0, 0), [format!("shop.example.org. 60 A 192.0.2.{}0", number % 2 + 1)]);
        }
    }

    #[test]
    fn names_that_lead_to_names_are_followed_within_the_zone_and_to_balancers() {
        let records = records(1, 1);
        assert_eq!(
            told(&records, "www.example.org", RecordType::A, 0).1,
            [format!("www.example.org. 5 CNAME {BLUE}"), format!("{BLUE} 60 A 192.0.2.10")]
        );
        assert_eq!(
            told(&records, "www.example.org", RecordType::A, 1).1,
            ["www.example.org. 5 CNAME shop.example.org.", "shop.example.org. 60 A 192.0.2.20"]
        );
        let far = "far.example.org. 5 CNAME elsewhere.example.net.".to_owned();
        assert_eq!(
            told(&records, "far.example.org", RecordType::A, 0),
            (ResponseCode::NoError, vec![far], 0)
        );
        assert_eq!(told(&records, "loop.example.org", RecordType::A, 0).0, ResponseCode::ServFail);
        assert_eq!(told(&records, BLUE, RecordType::A, 0).1, [format!("{BLUE} 60 A 192.0.2.10")]);
    }

    #[test]
    fn what_is_not_there_is_said_with_the_zones_soa() {
        let records = records(1, 1);
        for (name, kind, expected) in [
            ("none.example.org", RecordType::A, (ResponseCode::NXDomain, vec![], 1)),
            ("deep.example.org", RecordType::A, (ResponseCode::NoError, vec![], 1)),
            ("shop.example.org", RecordType::AAAA, (ResponseCode::NoError, vec![], 1)),
            (BLUE, RecordType::AAAA, (ResponseCode::NoError, vec![], 1)),
            ("example.net", RecordType::A, (ResponseCode::Refused, vec![], 0)),
            ("notexample.org", RecordType::A, (ResponseCode::Refused, vec![], 0)),
        ] {
            assert_eq!(told(&records, name, kind, 0), expected, "{name}");
        }
    }

    #[test]
    fn the_zone_knows_its_servers_and_its_soa() {
        let records = records(1, 1);
        assert_eq!(
            told(&records, "example.org", RecordType::NS, 0).1,
            ["example.org. 172800 NS ns-1.awsdns-01.com.", "example.org. 172800 NS ns-2.awsdns-02.net."]
        );
        assert_eq!(told(&records, "example.org", RecordType::SOA, 0).1.len(), 1);
        assert_eq!(told(&records, "a.deep.example.org", RecordType::A, 0).1.len(), 2);
    }
}
