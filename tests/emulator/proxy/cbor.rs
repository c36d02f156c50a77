//! What CloudWatch speaks: JSON in bytes, but for times.

use aws_smithy_cbor::data::Type;
use aws_smithy_cbor::{Decoder, Encoder};
use aws_smithy_types::DateTime;
use serde_json::{Map, Value, json};

/// The member by which a value of ours says that it is a time, in seconds.
const TIME: &str = "__time";

pub fn time(seconds: i64) -> Value {
    json!({TIME: seconds})
}

/// Times come as numbers of seconds.
pub fn decode(bytes: &[u8]) -> Value {
    value(&mut Decoder::new(bytes))
}

fn value(decoder: &mut Decoder<'_>) -> Value {
    match decoder.datatype().unwrap() {
        Type::Map | Type::MapIndef => {
            let length = decoder.map().unwrap();
            let mut map = Map::new();
            while goes_on(decoder, length, map.len()) {
                let key = decoder.string().unwrap();
                let value = value(decoder);
                map.insert(key, value);
            }
            map.into()
        }
        Type::Array | Type::ArrayIndef => {
            let length = decoder.list().unwrap();
            let mut list = Vec::new();
            while goes_on(decoder, length, list.len()) {
                list.push(value(decoder));
            }
            list.into()
        }
        Type::String | Type::StringIndef => decoder.string().unwrap().into(),
        Type::Bool => decoder.boolean().unwrap().into(),
        Type::F16 | Type::F32 | Type::F64 => decoder.double().unwrap().into(),
        Type::Tag => decoder.timestamp().unwrap().secs().into(),
        Type::Null => {
            decoder.null().unwrap();
            Value::Null
        }
        _ => decoder.long().unwrap().into(),
    }
}

fn goes_on(decoder: &mut Decoder<'_>, length: Option<u64>, read: usize) -> bool {
    match length {
        Some(length) => (read as u64) < length,
        None if decoder.datatype().unwrap() == Type::Break => {
            decoder.skip().unwrap();
            false
        }
        None => true,
    }
}

pub fn encode(value: &Value) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new());
    write(&mut encoder, value);
    encoder.into_writer()
}

fn write(encoder: &mut Encoder, value: &Value) {
    match value {
        Value::Object(map) if map.contains_key(TIME) => {
            encoder.timestamp(&DateTime::from_secs(map[TIME].as_i64().unwrap()));
        }
        Value::Object(map) => {
            encoder.map(map.len());
            for (key, value) in map {
                encoder.str(key);
                write(encoder, value);
            }
        }
        Value::Array(list) => {
            encoder.array(list.len());
            list.iter().for_each(|value| write(encoder, value));
        }
        Value::String(text) => drop(encoder.str(text)),
        Value::Bool(on) => drop(encoder.boolean(*on)),
        Value::Null => drop(encoder.null()),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => drop(encoder.long(whole)),
            None => drop(encoder.double(number.as_f64().unwrap())),
        },
    }
}

#[test]
fn what_is_written_is_read() {
    let text = json!({"a": ["b", 1, -70_000, 1.5, true, null], "at": time(1_700_000_000), "c": {}});
    let mut expected = text.clone();
    expected["at"] = 1_700_000_000.into();
    assert_eq!(decode(&encode(&text)), expected);
}
