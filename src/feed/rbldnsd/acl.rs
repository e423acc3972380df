//! `acl`: which clients may ask, and what they get.
//!
//! A client's block is written as in `ip4trie` and `ip6trie`; behind it an action word after `:` or `=`, or a value as
//! an entry has it. A line without a block sets the default. Invariant: `=` is followed by an action word, `:` by one
//! or by an A value. An entry with a text after a default that is an action word has that text and an A left unsaid.

use super::super::error::{Excerpt, LineError};
use super::super::text::trim_start;
use super::super::{Action, ClientBlock, Entry, Sink};
use super::ip4::parse_block4;
use super::ip6::parse_block6;
use super::{DefaultAction, Parser, UNSAID, value};

impl Parser {
    pub(super) fn parse_default_action(
        &mut self,
        number: u64,
        line: &[u8],
        sink: &mut impl Sink,
    ) -> Result<(), LineError> {
        self.action = match keyword(line)? {
            Some(action) => DefaultAction::Keyword(action),
            None => {
                self.defaults.set(value::report_cut(value::parse_default(line)?, number, sink));
                DefaultAction::Value
            }
        };
        Ok(())
    }

    pub(super) fn parse_client(&self, number: u64, line: &[u8], sink: &mut impl Sink) -> Result<(), LineError> {
        let (block, rest) = match parse_block4(line, self.host_bits) {
            Ok((bits, length, rest)) => (ClientBlock::Ip4 { bits, length }, rest),
            Err(error @ LineError::Ip4 { .. }) => match parse_block6(line, self.host_bits) {
                Ok((bits, length, rest)) => (ClientBlock::Ip6 { bits, length }, rest),
                Err(LineError::Ip6 { .. }) if !is_like_ip6(line) => return Err(error),
                Err(error) => return Err(error),
            },
            Err(error) => return Err(error),
        };
        let action = match (trim_start(rest), self.action) {
            ([] | [b'#' | b';', ..], DefaultAction::Keyword(action)) => action,
            (rest, default) => match keyword(rest)? {
                Some(action) => action,
                None => {
                    let default = match default {
                        DefaultAction::Keyword(_) => UNSAID,
                        DefaultAction::Value => self.defaults.value(),
                    };
                    Action::Always(value::report_cut(value::parse_entry(rest, default)?, number, sink))
                }
            },
        };
        sink.entry(number, Entry::Client { block, action });
        Ok(())
    }
}

/// Whether the block that a line begins with was rather meant as one of IPv6: it has a colon, and no dot before that.
fn is_like_ip6(line: &[u8]) -> bool {
    let is_mark = |byte: &&u8| matches!(byte, b'.' | b':' | b' ' | b'\t');
    line.iter().find(is_mark) == Some(&b':')
}

/// The action word behind a `:` or `=`, if one stands there.
fn keyword(text: &[u8]) -> Result<Option<Action<'static>>, LineError> {
    let ([b':', word @ ..] | [b'=', word @ ..]) = text else { return Ok(None) };
    let end = word.iter().position(|byte| matches!(byte, b' ' | b'\t' | b':')).unwrap_or(word.len());
    let is = |keyword: &str| word[..end].eq_ignore_ascii_case(keyword.as_bytes());
    if is("ignore") || is("blackhole") {
        Ok(Some(Action::Ignore))
    } else if is("refuse") {
        Ok(Some(Action::Refuse))
    } else if is("empty") {
        Ok(Some(Action::Empty))
    } else if is("pass") {
        Ok(Some(Action::Pass))
    } else if text[0] == b':' && !word.first().is_some_and(u8::is_ascii_alphabetic) {
        Ok(None)
    } else {
        Err(LineError::InvalidAction { found: Excerpt::word(word) })
    }
}

#[cfg(test)]
mod tests {
    use crate::feed::Format;
    use crate::feed::tests::{check, check_problems};

    #[test]
    fn an_access_list_gives_clients_actions() {
        check(
            Format::Acl,
            &[
                ("192.0.2.4", "192.0.2.4/32 ignore"),
                ("192.0.2.4 # comment", "192.0.2.4/32 ignore"),
                ("192.0.2.4 :Pass ", "192.0.2.4/32 pass"),
                ("192.0.2.4:refuse", "192.0.2.4/32 refuse"),
                ("192.0.2.4 =empty", "192.0.2.4/32 empty"),
                ("192.0.2.4 :blackhole # comment", "192.0.2.4/32 ignore"),
                ("192.0.2.4 :refuse:text", "192.0.2.4/32 refuse"),
                ("10/8 :pass", "10.0.0.0/8 pass"),
                ("0/0 :refuse", "0.0.0.0/0 refuse"),
                ("192.0.2 :refuse", "192.0.2.0/24 refuse"),
                ("::1 :refuse", "::1/128 refuse"),
                ("::/0 :refuse", "::/0 refuse"),
                ("0::1 :pass", "::1/128 pass"),
                ("2001:db8 :pass", "2001:db8::/32 pass"),
                ("192.0.2.4 :3:text $", "192.0.2.4/32 127.0.0.3 \"text $\""),
                ("192.0.2.4 refuse", "192.0.2.4/32 \"refuse\""),
                ("192.0.2.4 :5", "192.0.2.4/32 127.0.0.5"),
                (":refuse\n192.0.2.4", "192.0.2.4/32 refuse"),
                ("=refuse\n192.0.2.4\n::1 :pass", "192.0.2.4/32 refuse; ::1/128 pass"),
                (
                    ":5:five\n192.0.2.4\n192.0.2.5 :6\n192.0.2.6 text",
                    "192.0.2.4/32 127.0.0.5 \"five\"; \
                    192.0.2.5/32 127.0.0.6 \"five\"; 192.0.2.6/32 127.0.0.5 \"text\"",
                ),
                // these two lines end rbldnsd itself
                (":refuse\n192.0.2.4 some text", "192.0.2.4/32 \"some text\""),
                (":refuse\n192.0.2.4 :5", "192.0.2.4/32 127.0.0.5"),
            ],
        );
        check_problems(
            Format::Acl,
            &[
                ("192.0.2.4 :refused", "invalid action `refused`"),
                ("192.0.2.4 = empty", "invalid action ``"),
                ("192.0.2.4 : empty", "invalid A value"),
                ("192.0.2.4 =text", "invalid action `text`"),
                ("192.0.2.4 =5:text", "invalid action"),
                ("192.0.2.4 :", "invalid A value"),
                ("192.0.2.4=refuse", "invalid address"),
                ("192.0.2.4-5 :refuse", "invalid address"),
                ("192.0.2.4/8 :refuse", "host bits set"),
                ("!192.0.2.4", "invalid address"),
                ("127 :refuse", "invalid address `127`: write an IPv4 address"),
                ("300.1.1.1 :refuse", "invalid address `300.1.1.1`: write an IPv4 address"),
                ("2001:db8::g :refuse", "invalid address `2001:db8::g`: write an IPv6 address"),
                ("list.example :pass", "invalid address"),
                (":bogus", "invalid action"),
                (":", "invalid A value"),
                ("=5:text", "invalid action"),
            ],
        );
    }
}
