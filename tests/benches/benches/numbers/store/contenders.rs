//! The store and its peers behind one interface.

use std::hash::BuildHasher;
use std::hint::black_box;
use std::sync::{Mutex, PoisonError, RwLock};

use allocator_api2::alloc::Global;
use arrayvec::ArrayVec;
use fastrand::Rng;
use nmr::sync::processor;
use nsemail_benches::names::Names;
use nsemail_contract::sockaddr::{CsAddr, SOCK_DGRAM, SOCK_STREAM, SockAddr};
use nsemail_contract::text::{Text, fold};
use nsemail_provider_core::store::record::{AddressSet, Fields, State};
use nsemail_provider_core::store::{Finder, Folding, HashKey, Key, Limits, Record, Store};
use siphasher::sip::SipHasher13;

use super::measured;

/// The secret of all contenders.
const SECRET: [u64; 2] = [0x0123_4567_89AB_CDEF, 0xFEDC_BA98_7654_3210];

/// So many names are looked up together, as the provider driver does it.
pub const TOGETHER: usize = 8;

/// What a contender does.
pub trait Map: Sync {
    /// Finds the record of a name as a caller spelled it, and copies it to the front of `out`.
    fn look_up(&self, units: &[u16], out: &mut [u8]) -> Option<usize>;
    /// The same for a few names; how many were found.
    fn look_up_together(&self, names: &[&[u16]], out: &mut [u8]) -> usize {
        let found = names.iter().filter_map(|units| self.look_up(units, out));
        found.count()
    }
    /// Registers the name with that number.
    fn register(&self, number: usize);
    /// Deletes the name with that number.
    fn delete(&self, number: usize);
    /// Whether look-ups are answered at all.
    fn answers(&self) -> bool {
        true
    }
}

/// All contenders with those names, ours first, and the bytes that each allocated.
pub fn all(names: Names) -> Vec<(&'static str, Box<dyn Map>, usize)> {
    fn one<M: Map + 'static>(
        name: &'static str,
        names: Names,
        build: impl FnOnce(Names) -> M,
    ) -> (&'static str, Box<dyn Map>, usize) {
        let (map, bytes) = measured(|| build(names));
        (name, Box::new(map), bytes)
    }
    vec![
        one("store", names, Ours::new),
        one("papaya", names, filled::<papaya::HashMap<Name, Content, Keyed>>),
        one("scc", names, filled::<scc::HashMap<Name, Content, Keyed>>),
        one("dashmap", names, filled::<dashmap::DashMap<Name, Content, Keyed>>),
        one(
            "RwLock<hashbrown>",
            names,
            filled::<RwLock<hashbrown::HashMap<Name, Content, Keyed>>>,
        ),
    ]
}

/// The bytes of name, addresses and comment that a record stands for.
pub fn raw_bytes(names: Names, number: usize) -> usize {
    let record = record(names, number);
    let view = record.view();
    let fields = view.fields();
    let texts = fields.name.len() + fields.context.len() + fields.comment.map_or(0, |comment| comment.len());
    let addresses = view
        .addresses()
        .iter()
        .map(|address| address.local.len() + address.remote.len());
    texts * 2 + addresses.sum::<usize>() + fields.blob.map_or(0, <[u8]>::len)
}

/// The record of a name: one to three addresses, to every third a comment.
pub fn record(names: Names, number: usize) -> Record<Global> {
    let mut rng = Rng::with_seed(number as u64);
    let name = names.name(number);
    let mut addresses = AddressSet::new_in(Global);
    for index in 0..=(number % 3) {
        let text = if index == 1 {
            format!("[2001:db8::{:x}]:5060", rng.u16(..))
        } else {
            format!("192.0.{}.{}:5060", rng.u8(..), rng.u8(..))
        };
        let remote = SockAddr::from_socket_addr(text.parse().expect("an address"));
        let address = CsAddr {
            local: &[],
            remote: remote.as_bytes(),
            socket_type: if index == 1 { SOCK_DGRAM } else { SOCK_STREAM },
            protocol: 0,
        };
        let address = address.normalize().expect("a valid address");
        addresses.try_insert(&address).expect("there is memory");
    }
    let fields = Fields {
        name: Text::from_str(&name).expect("a valid name"),
        context: Text::EMPTY,
        state: State::Registered,
        version: None,
        comment: (number.is_multiple_of(3)).then(|| Text::from_str("office, second floor").expect("a text")),
        blob: None,
    };
    Record::try_new_in(&fields, &addresses, Global).expect("there is memory")
}

fn copy(record: &[u8], out: &mut [u8]) -> Option<usize> {
    out.get_mut(..record.len())?.copy_from_slice(record);
    Some(record.len())
}

/// The store, as the provider driver uses it.
struct Ours {
    finder: Finder<Global>,
    /// One thread at a time changes it, which is the journal's in the driver. As there, it is elsewhere.
    store: Box<Mutex<Store<Global>>>,
    names: Names,
}

impl Ours {
    fn new(names: Names) -> Self {
        let store = Store::try_new_in(HashKey::new(SECRET), Limits::DEFAULT, Global);
        let mut store = store.expect("there is memory");
        for number in 0..names.count {
            store.load_put(record(names, number)).expect("there is memory");
        }
        assert!(store.collect(), "nobody reads");
        Self {
            finder: store.finder().clone(),
            store: Box::new(Mutex::new(store)),
            names,
        }
    }
}

impl Map for Ours {
    fn look_up(&self, units: &[u16], out: &mut [u8]) -> Option<usize> {
        let key = Key::new(Text::from_stored_units(units), Text::EMPTY);
        self.finder
            .find(processor(), &key, |record| copy(record, out))
            .flatten()
    }

    fn look_up_together(&self, names: &[&[u16]], out: &mut [u8]) -> usize {
        let mut foldings = [const { Folding::NEW }; TOGETHER];
        let objects = names.iter().zip(&mut foldings).map(|(units, folding)| {
            let key = Key::new(Text::from_stored_units(units), Text::EMPTY);
            self.finder.prepare(&key, folding)
        });
        let objects: ArrayVec<_, TOGETHER> = objects.collect();
        let mut found = 0;
        self.finder.find_together(processor(), objects.iter(), |record| {
            found += usize::from(record.and_then(|record| copy(record, out)).is_some());
        });
        found
    }

    fn register(&self, number: usize) {
        let record = record(self.names, number);
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        store.load_put(record).expect("there is memory");
    }

    fn delete(&self, number: usize) {
        let name = self.names.name(number);
        let key = Key::new(Text::from_str(&name).expect("a valid name"), Text::EMPTY);
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        store.load_remove(&key).expect("there is memory");
    }
}

/// A folded name, as a map's key.
type Name = Box<[u16]>;
/// What is copied out.
type Content = Box<[u8]>;

/// Hashes with the secret.
#[derive(Clone, Copy, Debug, Default)]
pub struct Keyed;

impl BuildHasher for Keyed {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(SECRET[0], SECRET[1])
    }
}

/// Folds a name into a buffer, as every peer needs it before it can ask.
fn folded<'b>(units: &[u16], buffer: &'b mut [u16; 320]) -> &'b [u16] {
    let place = &mut buffer[..units.len()];
    for (to, unit) in place.iter_mut().zip(units) {
        *to = fold(*unit);
    }
    place
}

/// What a map of the standard kind does.
trait Peer: Sync {
    fn with_capacity(count: usize) -> Self;
    fn copy_out(&self, name: &[u16], out: &mut [u8]) -> Option<usize>;
    fn put(&self, name: Name, content: Content);
    fn take(&self, name: &[u16]);
}

/// A peer that holds the names.
struct Filled<P> {
    map: P,
    names: Names,
}

fn filled<P: Peer>(names: Names) -> Filled<P> {
    let filled = Filled {
        map: P::with_capacity(names.count),
        names,
    };
    for number in 0..names.count {
        filled.register(number);
    }
    filled
}

impl<P: Peer> Map for Filled<P> {
    fn look_up(&self, units: &[u16], out: &mut [u8]) -> Option<usize> {
        self.map.copy_out(folded(units, &mut [0; 320]), out)
    }

    fn register(&self, number: usize) {
        let record = record(self.names, number);
        let name: Name = record.view().name().folded_units().collect();
        self.map.put(name, record.as_bytes().into());
    }

    fn delete(&self, number: usize) {
        let name: Vec<u16> = self.names.name(number).encode_utf16().collect();
        self.map.take(folded(&name, &mut [0; 320]));
    }
}

impl Peer for papaya::HashMap<Name, Content, Keyed> {
    fn with_capacity(count: usize) -> Self {
        Self::with_capacity_and_hasher(count, Keyed)
    }
    fn copy_out(&self, name: &[u16], out: &mut [u8]) -> Option<usize> {
        self.pin().get(name).and_then(|content| copy(content, out))
    }
    fn put(&self, name: Name, content: Content) {
        self.pin().insert(name, content);
    }
    fn take(&self, name: &[u16]) {
        self.pin().remove(name);
    }
}

impl Peer for scc::HashMap<Name, Content, Keyed> {
    fn with_capacity(count: usize) -> Self {
        Self::with_capacity_and_hasher(count, Keyed)
    }
    fn copy_out(&self, name: &[u16], out: &mut [u8]) -> Option<usize> {
        self.read_sync(name, |_, content| copy(content, out)).flatten()
    }
    fn put(&self, name: Name, content: Content) {
        self.upsert_sync(name, content);
    }
    fn take(&self, name: &[u16]) {
        self.remove_sync(name);
    }
}

impl Peer for dashmap::DashMap<Name, Content, Keyed> {
    fn with_capacity(count: usize) -> Self {
        Self::with_capacity_and_hasher(count, Keyed)
    }
    fn copy_out(&self, name: &[u16], out: &mut [u8]) -> Option<usize> {
        self.get(name).and_then(|content| copy(&content, out))
    }
    fn put(&self, name: Name, content: Content) {
        self.insert(name, content);
    }
    fn take(&self, name: &[u16]) {
        self.remove(name);
    }
}

impl Peer for RwLock<hashbrown::HashMap<Name, Content, Keyed>> {
    fn with_capacity(count: usize) -> Self {
        Self::new(hashbrown::HashMap::with_capacity_and_hasher(count, Keyed))
    }
    fn copy_out(&self, name: &[u16], out: &mut [u8]) -> Option<usize> {
        let map = self.read().unwrap_or_else(PoisonError::into_inner);
        map.get(name).and_then(|content| copy(content, out))
    }
    fn put(&self, name: Name, content: Content) {
        let replaced = self
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name, content);
        drop(replaced);
    }
    fn take(&self, name: &[u16]) {
        let taken = self.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        drop(taken);
    }
}

/// What cannot be undercut: folding, hashing, and one read that depends on the hash, over as much memory as all records
/// take. Changes only make the record.
pub struct Floor {
    memory: Vec<[u64; 8]>,
    names: Names,
    made: Mutex<usize>,
}

impl Floor {
    /// The floor for a store of those names.
    pub fn new(names: Names) -> Self {
        let bytes: usize = (0..1000.min(names.count))
            .map(|number| record(names, number).as_bytes().len())
            .sum();
        let lines = (bytes / 1000.min(names.count) * names.count).div_ceil(64);
        Self {
            // Not zeros, which the system would map to one page.
            memory: vec![[0x5A5A; 8]; lines],
            names,
            made: Mutex::new(0),
        }
    }
}

impl Map for Floor {
    fn look_up(&self, units: &[u16], _: &mut [u8]) -> Option<usize> {
        let mut buffer = [0; 320];
        let hash = Keyed.hash_one(folded(units, &mut buffer));
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the upper half of a product of two words"
        )]
        let index = ((u128::from(hash) * self.memory.len() as u128) >> 64) as usize;
        black_box(self.memory[index][0]);
        None
    }

    fn answers(&self) -> bool {
        false
    }

    fn register(&self, number: usize) {
        let made = record(self.names, number).as_bytes().len();
        *self.made.lock().unwrap_or_else(PoisonError::into_inner) += made;
    }

    fn delete(&self, number: usize) {
        let made = self.names.name(number).len();
        *self.made.lock().unwrap_or_else(PoisonError::into_inner) += made;
    }
}
