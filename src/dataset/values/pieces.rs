//! A text as it is written in a list becomes a template: pieces of text with the subject between them.
//!
//! Invariant: as many pieces as one byte counts, each as long as one byte tells.

use super::{Defaults, MAX_TEXT};

/// A template while its holes are looked for.
pub(super) struct Pieces {
    done: Vec<Vec<u8>>,
    open: Vec<u8>,
}

impl From<&[u8]> for Pieces {
    /// A text without holes.
    fn from(text: &[u8]) -> Self {
        Self { done: Vec::new(), open: text.into() }
    }
}

impl Pieces {
    /// Applies the base template, of which a leading `=` opts out, and puts in the variables; none if nothing is left.
    ///
    /// An entry without a text still has the base template's, with the subject for `$=`.
    pub(super) fn of(text: &[u8], defaults: &Defaults) -> Option<Self> {
        let mut pieces = Self { done: Vec::new(), open: Vec::new() };
        let own = text.strip_prefix(b"=");
        match &defaults.base {
            Some(base) if own.is_none() => pieces.expand(base, defaults, text),
            _ => pieces.expand(own.unwrap_or(text), defaults, own.unwrap_or(text)),
        }
        (!pieces.done.is_empty() || !pieces.open.is_empty()).then_some(pieces)
    }

    /// `$=` in the template is the text as it is, also where that is the template itself.
    fn expand(&mut self, template: &[u8], defaults: &Defaults, text: &[u8]) {
        let mut rest = template;
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            if byte != b'$' {
                self.open.push(byte);
                continue;
            }
            match after.first() {
                Some(b'$') => {
                    self.open.push(b'$');
                    rest = &after[1..];
                }
                Some(&digit @ b'0'..=b'9') => {
                    rest = &after[1..];
                    match &defaults.variables[usize::from(digit - b'0')] {
                        Some(text) => self.open.extend_from_slice(text),
                        None => self.open.extend_from_slice(&[b'$', digit]),
                    }
                }
                Some(b'=') => {
                    rest = &after[1..];
                    match text {
                        [] => self.hole(),
                        text => self.open.extend_from_slice(text),
                    }
                }
                _ => self.hole(),
            }
        }
    }

    fn hole(&mut self) {
        self.done.push(std::mem::take(&mut self.open));
    }

    pub(super) fn write(mut self, out: &mut Vec<u8>) {
        self.hole();
        // what cannot be within the first 255 bytes whatever the subject is, is never seen
        self.done.truncate(MAX_PIECES);
        out.push(self.done.len() as u8);
        for piece in &self.done {
            let length = piece.len().min(MAX_TEXT);
            out.push(length as u8);
            out.extend_from_slice(&piece[..length]);
        }
    }
}

/// The most pieces that one count byte numbers, and more than 255 bytes of `$` can need.
const MAX_PIECES: usize = 255;
