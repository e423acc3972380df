//! Lists of values, as subjects have several, and the ids that they get when all are known.
//!
//! Invariant: ids follow the order of the encoded lists and not that in which they were met.

use std::borrow::Cow;
use std::collections::HashMap;

use super::{Met, TooManyValues, Values};
use crate::table::{MAX_VALUES, ValueId};

/// Interns lists of values while what is listed is resolved, and numbers them at the end.
///
/// A list of one value, as nearly all are, has that value's number and costs nothing.
#[derive(Debug, Default)]
pub struct Lists {
    /// Which values are a list by themselves.
    ones: Vec<bool>,
    ids: HashMap<Box<[Met]>, u32>,
    /// The lists of several, numbered from `FIRST_OF_MANY` on.
    many: Vec<Box<[Met]>>,
}

impl Lists {
    /// The number of a list; its order and repetitions do not matter.
    pub fn intern(&mut self, list: &mut Vec<Met>) -> ListId {
        list.sort_unstable();
        list.dedup();
        if let [one] = **list {
            return self.of_one(one);
        }
        if let Some(&id) = self.ids.get(list.as_slice()) {
            return ListId(id);
        }
        let id = FIRST_OF_MANY + self.many.len() as u32;
        self.many.push(list.as_slice().into());
        self.ids.insert(list.as_slice().into(), id);
        ListId(id)
    }

    /// The number of the list of that one value.
    #[inline]
    pub fn of_one(&mut self, met: Met) -> ListId {
        let index = met.0 as usize;
        if index >= self.ones.len() {
            self.ones.resize(index + 1, false);
        }
        self.ones[index] = true;
        ListId(met.0)
    }

    /// The value of a list of one, or the first.
    pub fn first(&self, list: ListId) -> Met {
        self.of_many(list).and_then(|list| list.first().copied()).unwrap_or(Met(list.0))
    }

    /// How many values a list has.
    pub fn values_of(&self, list: ListId) -> u64 {
        self.of_many(list).map_or(1, |list| list.len() as u64)
    }

    fn of_many(&self, list: ListId) -> Option<&[Met]> {
        self.many.get(list.0.checked_sub(FIRST_OF_MANY)? as usize).map(|list| &**list)
    }

    /// Numbers the lists by their content: the values, and which id each list has.
    ///
    /// # Errors
    ///
    /// More distinct lists than an id can name, or over 4 GiB of texts.
    pub fn finish(self, encoded: &[Box<[u8]>]) -> Result<(Values, Ids), TooManyValues> {
        let encoded_of = |met: Met| encoded.get(met.0 as usize).map_or(&[][..], |value| value);
        let mut contents: Vec<(Cow<'_, [u8]>, ListId)> = Vec::new();
        for (met, _) in (0..).zip(&self.ones).filter(|&(_, &is_list)| is_list) {
            contents.push((encoded_of(Met(met)).into(), ListId(met)));
        }
        for (id, list) in (FIRST_OF_MANY..).zip(&self.many) {
            let mut values: Vec<&[u8]> = list.iter().map(|&met| encoded_of(met)).collect();
            values.sort_unstable();
            values.dedup();
            contents.push((values.concat().into(), ListId(id)));
        }
        contents.sort_unstable();
        let mut ids = Ids {
            ones: vec![ValueId::NONE; self.ones.len()].into(),
            many: vec![ValueId::NONE; self.many.len()].into(),
        };
        let (mut ends, mut bytes) = (vec![0], Vec::new());
        let mut previous: Option<&[u8]> = None;
        for (content, list) in &contents {
            // values that differ as written can be the same once the defaults are in
            if previous != Some(&**content) {
                bytes.extend_from_slice(content);
                ends.push(u32::try_from(bytes.len()).map_err(|_| TooManyValues)?);
                previous = Some(content);
            }
            *ids.place(*list) = ValueId(ends.len() as u32 - 1);
        }
        if ends.len() - 1 > MAX_VALUES as usize {
            return Err(TooManyValues);
        }
        Ok((Values::of(ends, bytes), ids))
    }
}

/// The ids of lists.
#[derive(Debug, Default)]
pub struct Ids {
    ones: Box<[ValueId]>,
    many: Box<[ValueId]>,
}

impl Ids {
    /// The id of a list, or of nothing.
    #[inline]
    pub fn of(&self, list: Option<ListId>) -> ValueId {
        let Some(ListId(list)) = list else { return ValueId::NONE };
        let id = match list.checked_sub(FIRST_OF_MANY) {
            None => self.ones.get(list as usize),
            Some(index) => self.many.get(index as usize),
        };
        id.copied().unwrap_or_default()
    }

    fn place(&mut self, ListId(list): ListId) -> &mut ValueId {
        match list.checked_sub(FIRST_OF_MANY) {
            None => &mut self.ones[list as usize],
            Some(index) => &mut self.many[index as usize],
        }
    }
}

/// A list of values: the number of a value, or from `FIRST_OF_MANY` on the order in which a list was interned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListId(pub u32);

/// Values have numbers below.
const FIRST_OF_MANY: u32 = MAX_VALUES + 1;
