//! Names that somebody chose to make look-ups slow. Counted, not timed: what a look-up of a name that is there, and of
//! one that is not, has to look at.
//!
//! The secret is known here, so the numbers are the same in every run. An attacker does not know it, and so can
//! choose names that are alike, or that collide under another secret, but not names that collide under this one.

use std::format;

use super::*;

const NAMES: usize = 1024;
const SECRET: HashKey = HashKey::new([0x5EED, 0xF00D]);

/// Names of a store, and as many of the same kind that are not in it.
struct Family {
    present: Vec<String>,
    absent: Vec<String>,
}

fn family(name: impl Fn(usize) -> String) -> Family {
    Family {
        present: (0..NAMES).map(&name).collect(),
        absent: (NAMES..2 * NAMES).map(&name).collect(),
    }
}

/// Letters that differ from their neighbours' in every place: what nobody has chosen.
fn letters(seed: usize, length: usize) -> String {
    let mut state = seed as u64;
    (0..length)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            char::from(b'a' + u8::try_from((state >> 33) % 26).unwrap())
        })
        .collect()
}

fn ordinary() -> Family {
    family(|number| format!("{}@{}.example", letters(number, 12), letters(number / 16, 8)))
}

/// Names whose hashes share their last bits, or their first, under a secret that is not the store's.
fn colliding_under_another_secret() -> Family {
    let other = HashKey::new([0, 0]);
    let mut names = (0..)
        .map(|number| format!("{number}@example.com"))
        .filter(|name| {
            let hash = Key::new(Text::from_str(name).unwrap(), Text::EMPTY).hash(&other);
            hash.trailing_zeros() >= 5 || hash >> 25 == 0
        });
    Family {
        present: names.by_ref().take(NAMES).collect(),
        absent: names.take(NAMES).collect(),
    }
}

fn families() -> [(&'static str, Family); 7] {
    let smiles = |mut number: usize| {
        let mut text = String::new();
        for _ in 0..8 {
            text.push(char::from_u32(0x1F600 + u32::try_from(number % 64).unwrap()).unwrap());
            number /= 64;
        }
        text
    };
    [
        (
            "differ only in their last letters",
            family(|number| format!("{}@{}.{number:05}", letters(0, 64), letters(0, 60))),
        ),
        (
            "differ only in their first letters",
            family(|number| format!("{number:05}{}@{}.com", letters(0, 59), letters(0, 60))),
        ),
        (
            "differ only in the middle",
            family(|number| format!("{}{number:05}@{}", letters(0, 30), letters(1, 60))),
        ),
        (
            "differ only in one bit of a letter",
            family(|number| {
                // Which of two letters stands where, one bit of the number each.
                let bits: String = (0..13)
                    .map(|bit| if number >> bit & 1 == 1 { 'b' } else { 'c' })
                    .collect();
                format!("{bits}@example.com")
            }),
        ),
        (
            "are outside of the basic plane",
            family(|number| format!("{}@{}.example", smiles(number), smiles(7))),
        ),
        (
            "have spellings that only look alike",
            family(|number| {
                let alike: String = (0..13)
                    .map(|bit| if number >> bit & 1 == 1 { 's' } else { '\u{17f}' })
                    .collect();
                format!("{alike}@example.com")
            }),
        ),
        ("collide under another secret", colliding_under_another_secret()),
    ]
}

fn store_of(names: &[String]) -> Fixture {
    let mut fixture = Fixture {
        store: Store::try_new_in(SECRET, Limits::DEFAULT, Global).unwrap(),
        batch: Batch::new_in(Global),
    };
    for name in names {
        fixture
            .set(&Call {
                name: name.clone(),
                ..call(REGISTER, 0, &[])
            })
            .unwrap();
    }
    fixture
}

/// What looking a name up takes.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    /// Records whose fingerprint agrees, and which are therefore read.
    records: usize,
    /// Of these, records whose hash agrees.
    agree: usize,
}

fn cost(store: &Store<Global>, name: &str) -> Cost {
    let key = Key::new(Text::from_str(name).unwrap(), Text::EMPTY);
    let hash = key.hash(&store.key);
    Cost {
        records: store.table.candidates(hash).count(),
        agree: store
            .table
            .candidates(hash)
            .filter(|entry| Packed::hash(*entry) == hash)
            .count(),
    }
}

/// The cost of all together, and the highest of one.
fn costs(store: &Store<Global>, names: &[String]) -> (Cost, Cost) {
    let mut all = (Cost::default(), Cost::default());
    for name in names {
        let one = cost(store, name);
        all.0.records += one.records;
        all.0.agree += one.agree;
        all.1.records = all.1.records.max(one.records);
        all.1.agree = all.1.agree.max(one.agree);
    }
    all
}

#[test]
fn names_chosen_to_collide_cost_at_most_twice_what_others_do() {
    let names = ordinary();
    let fixture = store_of(&names.present);
    let (found, found_most) = costs(&fixture.store, &names.present);
    let (missed, missed_most) = costs(&fixture.store, &names.absent);
    assert_eq!((found.agree, missed.agree), (NAMES, 0));
    for (what, names) in families() {
        let fixture = store_of(&names.present);
        assert_eq!(fixture.store.len(), NAMES, "names that {what} are all different");
        let (all, most) = costs(&fixture.store, &names.present);
        assert_eq!(
            (all.agree, most.agree),
            (NAMES, 1),
            "no record has a hash but its own: {what}"
        );
        assert!(
            all.records <= 2 * found.records && most.records <= 2 * found_most.records,
            "names that {what}: {all:?}, at most {most:?}, against {found:?} and {found_most:?}"
        );
        let (all, most) = costs(&fixture.store, &names.absent);
        assert_eq!(
            all.agree, 0,
            "a name that is not there has no record's hash: {what}"
        );
        assert!(
            all.records <= 2 * missed.records && most.records <= 2 * missed_most.records,
            "absent names that {what}: {all:?}, at most {most:?}, against {missed:?} and {missed_most:?}"
        );
    }
}

#[test]
fn spelling_a_name_otherwise_costs_nothing() {
    let names = ordinary();
    let fixture = store_of(&names.present);
    for name in &names.present {
        let (plain, shouted) = (
            cost(&fixture.store, name),
            cost(&fixture.store, &name.to_uppercase()),
        );
        assert_eq!((plain.records, plain.agree), (shouted.records, shouted.agree));
    }
}

#[test]
fn the_contexts_of_a_name_are_a_limited_number_and_cost_no_other_name_anything() {
    let mut names = ordinary();
    let victim = names.present[0].clone();
    let mut fixture = store_of(&names.present);
    let before = costs(&fixture.store, &names.present[1..]);
    let in_context = |number: u32| Call {
        name: victim.clone(),
        context: Some(format!("context {number}")),
        ..call(REGISTER, 0, &[])
    };
    let contexts = (0..=Limits::DEFAULT.contexts)
        .take_while(|number| fixture.set(&in_context(*number)).is_ok())
        .count();
    assert_eq!(
        contexts,
        Limits::DEFAULT.contexts as usize - 1,
        "the empty context is one"
    );
    assert_eq!(
        fixture.set(&in_context(u32::MAX)),
        Err(WsaCode::WSA_NOT_ENOUGH_MEMORY)
    );
    assert!(cost(&fixture.store, &victim).agree <= Limits::DEFAULT.contexts as usize);
    names.present.remove(0);
    let after = costs(&fixture.store, &names.present);
    assert_eq!(after.0.agree, before.0.agree);
    assert!(after.0.records <= 2 * before.0.records);
}

#[test]
fn listing_a_domain_looks_at_its_own_names_however_many_others_there_are() {
    let names = ordinary();
    let mut all = names.present;
    all.extend(["a@small.example".to_string(), "b@Small.Example.".to_string()]);
    let fixture = store_of(&all);
    let small = Domain::parse(Text::from_str("SMALL.example").unwrap()).unwrap();
    let records = fixture
        .store
        .domains
        .objects(fixture.store.key.domain(small))
        .len();
    assert_eq!(records, 2);
    let mut shown = 0;
    let listed = fixture.store.snapshot_domain(small, |_| {
        shown += 1;
        true
    });
    assert_eq!((listed.unwrap().len(), shown), (2, 2));
    let nowhere = Domain::parse(Text::from_str("nowhere.example").unwrap()).unwrap();
    assert!(
        fixture
            .store
            .domains
            .objects(fixture.store.key.domain(nowhere))
            .is_empty()
    );
}
