//! Templates, and numbers that do not depend on an order.

use super::*;
use crate::feed;

fn rendered(text: &[u8], defaults: &Defaults) -> String {
    let mut collected = Collected::default();
    let value = feed::Value { a: None, text: feed::Text::Template(text) };
    let met = collected.intern(value).unwrap();
    let mut lists = Lists::default();
    let list = lists.intern(&mut vec![met]);
    let (values, ids) = lists.finish(&collected.encode(defaults)).unwrap();
    let value = values.list(ids.of(Some(list))).next().unwrap();
    let mut out = ArrayVec::new();
    value.text.unwrap().render(b"192.0.2.1", &mut out);
    String::from_utf8(out.to_vec()).unwrap()
}

#[test]
fn templates_are_filled_in() {
    let mut defaults = Defaults::default();
    defaults.variables[1] = Some(b"one $".as_slice().into());
    assert_eq!(rendered(b"see http://ex/?$", &defaults), "see http://ex/?192.0.2.1");
    assert_eq!(rendered(b"$ and $", &defaults), "192.0.2.1 and 192.0.2.1");
    assert_eq!(rendered(b"$1 $9 $$", &defaults), "one $ $9 $");
    assert_eq!(rendered(&b"$ ".repeat(150), &defaults).len(), 255);
    assert_eq!(rendered(&[b'x'; 300], &defaults).len(), 255);
}

#[test]
fn the_base_template_surrounds_the_text() {
    let defaults = Defaults { base: Some(b"See $= ($)".as_slice().into()), ..Defaults::default() };
    assert_eq!(rendered(b"why $", &defaults), "See why $ (192.0.2.1)");
    assert_eq!(rendered(b"=own $", &defaults), "own 192.0.2.1");
    assert_eq!(rendered(b"", &defaults), "See 192.0.2.1 (192.0.2.1)");
}

#[test]
fn an_equals_sign_alone_is_no_text() {
    let mut collected = Collected::default();
    collected.intern(feed::Value { a: None, text: feed::Text::Template(b"=") }).unwrap();
    let encoded = collected.encode(&Defaults::default());
    assert!(Encoded { rest: &encoded[0] }.all(|value| value.text.is_none()));
}

#[test]
fn equal_content_has_equal_ids_in_any_order() {
    let build = |texts: &[&[u8]]| {
        let mut collected = Collected::default();
        let mut lists = Lists::default();
        for text in texts {
            let met = collected.intern(feed::Value { a: None, text: feed::Text::Template(text) }).unwrap();
            lists.of_one(met);
        }
        let (values, ids) = lists.finish(&collected.encode(&Defaults::default())).unwrap();
        (values, (0..3).map(|met| ids.of(Some(ListId(met)))).collect::<Vec<_>>())
    };
    let (forward, ids) = build(&[b"a", b"b", b"c"]);
    let (backward, reversed) = build(&[b"c", b"b", b"a"]);
    assert_eq!(forward, backward);
    assert!(ids.iter().rev().eq(&reversed));
    assert_eq!(forward.list(ValueId::NONE).count(), 0);
}
