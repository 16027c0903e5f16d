//! Stories of the JSON that JavaScript would make of a body.

#![allow(clippy::unwrap_used, clippy::allow_attributes)]
use super::*;
use proptest::prelude::*;
use std::time::{Duration, Instant};

fn canonical(body: &[u8]) -> String {
    parse(body).unwrap().canonical()
}

/// What Node and Express made of each body.
fn vectors() -> Vec<serde_json::Value> {
    serde_json::from_str(include_str!("../../../tests/fixtures/vectors/json_stringify.json")).unwrap()
}

#[test]
fn every_vector_of_node_is_read_and_written_alike() {
    let mut seen = [0; 3];
    for vector in vectors() {
        let name = vector["name"].as_str().unwrap();
        let body = hex::decode(vector["input_hex"].as_str().unwrap()).unwrap();
        match vector["class"].as_str().unwrap() {
            "accept" => {
                assert_eq!(canonical(&body), vector["stringified"].as_str().unwrap(), "{name}");
                seen[0] += 1;
            }
            "express_empty_body" => {
                assert_eq!(canonical(&body), vector["express_stringified"].as_str().unwrap(), "{name}");
                seen[1] += 1;
            }
            "reject" | "express_strict_reject" => {
                assert!(parse(&body).is_err(), "{name}");
                seen[2] += 1;
            }
            class => panic!("{name} is of the unknown class {class}"),
        }
    }
    assert_eq!(seen, [165, 2, 55]);
}

#[test]
fn a_thousand_levels_are_read_and_one_more_is_refused_however_deep_it_goes() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    // Worker threads have 2 MiB of stack, and an unoptimised build takes the most of it.
    let stack = std::thread::Builder::new().stack_size(1_536 * 1_024);
    let read_and_write = move || {
        let body = format!("{}{}", "{\"a\":[".repeat(500), "]}".repeat(500));
        let deepest = parse(body.as_bytes()).unwrap();
        assert_eq!(deepest.canonical(), body);
        assert_eq!(deepest.clone(), deepest);
        assert_eq!(deepest.to_json().to_string(), body);
        assert!(parse(nested(1_000).as_bytes()).is_ok());
    };
    stack.spawn(read_and_write).unwrap().join().unwrap();
    for body in [nested(1_001), nested(10_000), "[".repeat(1_000_000), "{\"a\":".repeat(1_000_000)] {
        assert!(parse(body.as_bytes()).unwrap_err().to_string().starts_with("more than 1,000 levels at byte "));
    }
}

#[test]
fn a_body_that_is_made_to_fill_the_memory_is_refused() {
    let error = parse(format!("[{}0]", "0,".repeat(4_000_000)).as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "more than 4,000,000 values at byte 7999999");
}

#[test]
fn keys_come_as_in_javascript_in_small_objects_and_in_large_ones() {
    assert_eq!(canonical(br#"{"b":1,"2":2,"a":3,"1":4,"b":5,"01":6,"\u0031":7}"#), r#"{"1":7,"2":2,"b":5,"a":3,"01":6}"#);
    assert_eq!(
        canonical(br#"{"4294967295":1,"4294967294":2,"-1":3,"+1":4,"0":5}"#),
        r#"{"0":5,"4294967294":2,"4294967295":1,"-1":3,"+1":4}"#
    );
    let twice: Vec<String> = (0..200).map(|n| format!("\"k{}\":{n}", n % 100)).collect();
    let once: Vec<String> = (100..200).map(|n| format!("\"k{}\":{n}", n % 100)).collect();
    assert_eq!(canonical(format!("{{{}}}", twice.join(",")).as_bytes()), format!("{{{}}}", once.join(",")));
}

#[test]
fn a_repeated_key_counts_once_on_either_side_of_the_switch_to_hashing() {
    for keys in 1..40 {
        let mut body: Vec<String> = (0..keys).map(|n| format!("\"k{n}\":0")).collect();
        body.extend(["\"k0\":1".to_owned(), "\"k0\":2".to_owned()]);
        let value = parse(format!("{{{}}}", body.join(",")).as_bytes()).unwrap();
        assert_eq!(value.as_object().unwrap().len(), keys);
        assert_eq!(value.get("k0"), Some(&Value::Number(2.0)));
    }
}

#[test]
fn halves_of_surrogate_pairs_meet_only_as_neighbours() {
    assert_eq!(canonical(br#"["\ud83d\ude00"]"#), "[\"😀\"]");
    assert_eq!(canonical(br#"["\ud83d\ud83d\ude00\ude00"]"#), "[\"\\ud83d😀\\ude00\"]");
    assert_eq!(canonical(br#"["\ud83d\n\ude00","\ud83dx\ude00"]"#), "[\"\\ud83d\\n\\ude00\",\"\\ud83dx\\ude00\"]");
    assert!(parse(br#"["\ud83d\u00"]"#).is_err());
}

#[test]
fn the_rest_of_the_program_gets_plain_json() {
    let value =
        parse(br#"{"b":31305,"a":-0,"x":1.5,"big":9007199254740992,"far":1e300,"inf":1e400,"s":"\ud800!","n":null,"l":[true]}"#).unwrap();
    let json = r#"{"b":31305,"a":0,"x":1.5,"big":9007199254740992,"far":1e+300,"inf":null,"s":"�!","n":null,"l":[true]}"#;
    assert_eq!(value.to_json().to_string(), json);
}

#[test]
fn a_large_body_takes_a_moment_whatever_its_shape() {
    let list = |megabytes: usize, item: &dyn Fn(usize) -> String, open: &str, close: &str| {
        let mut body = open.to_owned();
        for n in 0.. {
            body.push_str(&item(n));
            if body.len() > megabytes * 1_000_000 {
                break;
            }
            body.push(',');
        }
        body + close
    };
    let chat =
        list(20, &|n| format!(r#"{{"Type":"User","Content":"line {n}\nand \u00e9 more of what people say"}}"#), r#"{"Messages":["#, "]}");
    let keys = list(5, &|n| format!("\"key {n}\":1"), "{", "}");
    let repeated = list(5, &|n| format!("\"key {}\":1", n % 1_000), "{", "}");
    let indexes = list(5, &|n| format!("\"{}\":1", 4_000_000_000 - n), "{", "}");
    let escapes = list(5, &|_| r#""\ud800\n\ud83d\ude00""#.to_owned(), "[", "]");
    let digits = format!("[{}]", "7".repeat(20_000_000));
    for body in [chat, keys, repeated, indexes, escapes, digits] {
        let started = Instant::now();
        canonical(body.as_bytes());
        // Anything that is not linear takes hours, so an unoptimised build on a busy machine passes as well.
        assert!(started.elapsed() < Duration::from_secs(60), "{:.40} took {:?}", body, started.elapsed());
    }
}

fn any_value() -> impl Strategy<Value = String> {
    let string = "(\\\\u[dD][89a-fA-F][0-9a-f]{2}|\\\\u00[0-9a-f]{2}|\\\\[nrtbf/\"\\\\]|[ a-c0-9é😀\u{2028}]){0,6}"
        .prop_map(|text| format!("\"{text}\""));
    let key = prop_oneof![2 => string.clone(), 1 => "\"[0-3]{1,2}\"", 1 => "\"(429496729[3-6]|a|\\\\u0061)\""];
    let number = prop_oneof![
        "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,24})?([eE][+-]?[0-9]{1,3})?",
        any::<f64>().prop_filter_map("is no number", |n| n.is_finite().then(|| n.to_string()))
    ];
    let leaf = prop_oneof!["null|true|false", number, string];
    leaf.prop_recursive(5, 60, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(|items| format!("[ {}\n]", items.join(" ,"))),
            prop::collection::vec((key.clone(), inner), 0..24).prop_map(|entries| format!(
                "{{{}}}",
                entries.iter().map(|(key, value)| format!("\t{key} :{value}")).collect::<Vec<_>>().join(",")
            )),
        ]
    })
}

proptest! {
    #[test]
    fn the_canonical_text_of_a_canonical_text_is_itself(value in any_value()) {
        let value = parse(format!("[{value}]").as_bytes()).unwrap();
        let text = value.canonical();
        let again = parse(text.as_bytes()).unwrap();
        prop_assert_eq!(again.canonical(), text);
    }

    #[test]
    fn any_bytes_are_read_without_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&body);
    }

    /// Pieces of JSON in any order: what another parser takes is taken, and nothing else.
    #[test]
    fn the_grammar_is_the_one_of_rfc_8259(pieces in prop::collection::vec(prop::sample::select(vec![
        "{", "}", "[", "]", ",", ":", "\"", "\"a\"", "1", "0", "-", ".", "5", "e", "+",
        "true", "null", " ", "\n", "\u{b}", "\\", "\\u00e9", "\\n", "é",
    ]), 0..12)) {
        let body = format!("[{}]", pieces.concat());
        let other = serde_json::from_str::<serde_json::Value>(&body);
        prop_assert_eq!(parse(body.as_bytes()).is_ok(), other.is_ok(), "{}", body);
    }
}
