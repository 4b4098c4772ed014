//! Writes the corpora beside this crate: `cargo run -p fuzz-properties --example seeds`.

use std::{fs, io, path::Path};

use allocator_api2::alloc::Global;
use nsemail::{Registration, notation};
use nsemail_contract::{
    Domain, Guid, LookupFlags, Text, WriteError, blob,
    blob::Level,
    ids,
    wire::{
        BatchRequest, Counter, CounterKind, EmptyRequest, EnableRequest, ExplainRequest, InstallRequest,
        ListRequest, LookupRequest, NextRequest, OrderRequest, ReplyWriter, SetRequest, Tail,
        UninstallRequest,
    },
};
use nsemail_provider_core::{
    journal::format::{FrameBuilder, Header, Kind},
    store::{Change, Limits},
};

fn main() -> io::Result<()> {
    for (name, seeds) in [
        ("blob", blobs()),
        ("wire", messages()),
        ("inf", packages()),
        ("journal", journals()),
        ("requests", sequences(0x5EED, 12, 300)),
        ("registrar", sequences(0xC0DE, 12, 160)),
    ] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        fs::create_dir_all(&folder)?;
        for (number, seed) in seeds.iter().enumerate() {
            fs::write(folder.join(format!("seed-{number:02}")), seed)?;
        }
        println!("{name}: {} seeds", seeds.len());
    }
    Ok(())
}

fn written(write: impl Fn(&mut [u8]) -> Result<usize, WriteError>) -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    let size = write(&mut bytes).expect("a small message");
    bytes.truncate(size);
    bytes
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn blobs() -> Vec<Vec<u8>> {
    let names = ["example.com", "example.net", "Straße.example"].map(utf16);
    let domains = names
        .iter()
        .map(|name| Domain::parse(Text::from_le_bytes(name).expect("text")).expect("a domain"));
    let claims: Vec<_> = [Level::Primary, Level::Secondary, Level::None]
        .into_iter()
        .zip(domains)
        .collect();
    (0..=claims.len())
        .map(|count| written(|out| blob::write(1, count % 2 == 0, claims[..count].iter().copied(), out)))
        .collect()
}

fn messages() -> Vec<Vec<u8>> {
    let name = Registration {
        name: "alice@example.com".to_owned(),
        addresses: ["192.0.2.7:25", "[2001:db8::7]:5060/udp"]
            .map(|text| notation::parse(text).expect("an address"))
            .to_vec(),
        comment: Some("a comment".to_owned()),
        ..Registration::default()
    };
    let flags = LookupFlags::RETURN_ALL;
    let provider = ids::DEFAULT_PROVIDER;
    let blob = blobs().remove(1);
    let text = utf16("A provider");
    let mut seeds = vec![
        (0, written(|out| EmptyRequest.write(out))),
        (1, written(|out| NextRequest { lookup: 1, flags }.write(out))),
        (
            4,
            written(|out| {
                let enable = EnableRequest {
                    provider,
                    enabled: true,
                };
                enable.write(out)
            }),
        ),
        (
            7,
            written(|out| {
                let uninstall = UninstallRequest {
                    provider,
                    delete_names: true,
                };
                uninstall.write(out)
            }),
        ),
        (10, written(|out| ListRequest::all(provider, 0).write(out))),
        (
            12,
            written(|out| {
                let install = InstallRequest {
                    provider,
                    identifier: Text::from_le_bytes(&text).expect("text"),
                    blob: &blob,
                };
                install.write(out)
            }),
        ),
        (
            11,
            written(|out| {
                let name = Text::from_str("alice@example.com").expect("text");
                ExplainRequest { name }.write(out)
            }),
        ),
        (
            13,
            written(|out| OrderRequest::write(&[provider, Guid::from_u128(7)], out)),
        ),
    ];
    let about_a_name = name.with(|query| {
        let set = SetRequest {
            operation: 0,
            flags: 0,
            registration: query,
        };
        Ok([
            (8, written(|out| LookupRequest { flags, query }.write(out))),
            (9, written(|out| set.write(out))),
            (14, written(|out| BatchRequest::write(flags, [query, query], out))),
            (15, written(|out| query.write_wire(out))),
            (15, written(|out| query.write_kernel(out, 0xFFFF_9000_0000_0000))),
        ])
    });
    seeds.extend(about_a_name.expect("a name"));
    let mut reply = vec![0; 1024];
    let mut writer = ReplyWriter::new(&mut reply).expect("room for a header");
    let counter = Counter {
        kind: CounterKind::CALLS,
        code: nsemail_contract::WsaCode::NO_ERROR,
        value: 3,
    };
    counter.write(&mut writer).expect("room for a counter");
    let size = writer.finish(nsemail_contract::WsaCode::NO_ERROR, Tail::Required);
    reply.truncate(size);
    seeds.push((16, reply));
    let with_its_number = |(number, bytes): (u8, Vec<u8>)| [vec![number], bytes].concat();
    seeds.into_iter().map(with_its_number).collect()
}

fn packages() -> Vec<Vec<u8>> {
    [nsemail_embedded::PROVIDER_INF, nsemail_embedded::CLIENT_INF]
        .map(|inf| inf.as_bytes().to_vec())
        .to_vec()
}

/// Bytes by Steele, Lea and Flood's `SplitMix64`: sequences of steps are made of any bytes.
fn sequences(mut state: u64, count: usize, length: usize) -> Vec<Vec<u8>> {
    let mut next = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    };
    (1..=count)
        .map(|part| {
            (0..length * part / count)
                .map(|_| next().to_le_bytes()[0])
                .collect()
        })
        .collect()
}

/// Files as they are, with the number of the file in front; and scripts of one and of two files.
fn journals() -> Vec<Vec<u8>> {
    let names = ["alice@example.com", "bob@example.com"];
    let mut header = Header {
        generation: 1,
        salt: 42,
        provider: *b"0123456789abcdef",
    }
    .encode()
    .to_vec();
    let mut frame = FrameBuilder::try_new_in(Global).expect("memory");
    frame.try_push(Kind::SnapshotEnd, &[]).expect("memory");
    header.extend_from_slice(frame.finish(42, 1, 0, 0).expect("memory"));
    let empty = header.clone();
    for (sequence, name) in (2..).zip(names) {
        let registration = Registration {
            name: name.to_owned(),
            ..Registration::default()
        };
        let change =
            registration.with(|query| Ok(Change::from_query(0, 0, &query, &Limits::DEFAULT, Global)));
        let key = change
            .expect("a name")
            .expect("a registration")
            .try_key_record(Global);
        frame.clear();
        frame
            .try_push(Kind::Put, key.expect("memory").as_bytes())
            .expect("memory");
        header.extend_from_slice(frame.finish(42, sequence, 0, 0).expect("memory"));
    }
    let whole = header;
    let torn = whole[..whole.len() - 9].to_vec();
    let mut damaged = whole.clone();
    damaged[empty.len() + 40] ^= 1;
    let set_aside = [whole.clone(), vec![0; 100]].concat();
    let mut seeds: Vec<Vec<u8>> = [Vec::new(), vec![0; 64], empty, whole, torn, damaged, set_aside]
        .map(|file| [vec![1], file].concat())
        .to_vec();
    for (how, script) in [3, 7, 6].into_iter().cycle().zip(sequences(0x10CA1, 12, 300)) {
        seeds.push([vec![how], script].concat());
    }
    seeds
}
