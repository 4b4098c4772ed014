//! The name service as plainly as it can be said: maps, vectors and strings. Tests compare with it what the provider's
//! store does, and what a program sees through both drivers.
//!
//! It knows nothing of the implementation. [`contract`] says the same calls in the contract's types, and [`strategy`]
//! makes calls at random.

pub mod contract;
pub mod strategy;

use std::collections::BTreeMap;
use std::net::SocketAddr;

/// A Winsock code.
pub type Code = u32;

/// No such object.
pub const SERVICE_NOT_FOUND: Code = 10_108;
/// The object exists, and nothing of it matches.
pub const NO_DATA: Code = 11_004;

/// What a change does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Registers.
    Register,
    /// Takes out of service.
    Deregister,
    /// Removes.
    Delete,
}

/// A network address, over TCP or UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// Where.
    pub socket: SocketAddr,
    /// UDP.
    pub datagram: bool,
}

/// A change.
#[derive(Clone, Debug)]
pub struct Call {
    /// What it does.
    pub operation: Operation,
    /// `SERVICE_MULTIPLE`.
    pub multiple: bool,
    /// The mail address.
    pub name: String,
    /// The context.
    pub context: String,
    /// The version, if one is given.
    pub version: Option<u32>,
    /// The comment, if one is given.
    pub comment: Option<String>,
    /// The blob, if one is given.
    pub blob: Option<Vec<u8>>,
    /// The addresses.
    pub addresses: Vec<Address>,
    /// The protocols are left open: each socket type stands for its own.
    pub any_protocol: bool,
    /// The provider that it is for, by its number; none for those that are responsible.
    pub provider: Option<usize>,
}

/// A question.
#[derive(Clone, Debug)]
pub struct Question {
    /// The mail address.
    pub name: String,
    /// The context.
    pub context: String,
    /// `LUP_DEEP`.
    pub deep: bool,
    /// Which members are asked for: `LUP_RETURN_*`.
    pub members: u32,
    /// A version, and whether later ones do as well.
    pub version: Option<(u32, bool)>,
    /// Family and protocol of the addresses that are wanted, 0 for any.
    pub protocols: Vec<(i32, i32)>,
    /// `LUP_NON_AUTHORITATIVE`.
    pub non_authoritative: bool,
    /// The provider to ask, by its number; none for those that are responsible.
    pub provider: Option<usize>,
}

/// An object, or what a look-up shows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// The mail address as it was registered; empty if it was not asked for.
    pub name: String,
    /// The context as it was registered.
    pub context: String,
    /// Look-ups find it.
    pub registered: bool,
    /// Its version.
    pub version: Option<u32>,
    /// Its comment.
    pub comment: Option<String>,
    /// Its blob.
    pub blob: Option<Vec<u8>>,
    /// Its addresses, in the order in which they came.
    pub addresses: Vec<Address>,
}

/// How many addresses came and went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Came.
    pub added: u32,
    /// Went.
    pub removed: u32,
}

/// The objects of a provider, by name and context without regard to case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Store(BTreeMap<(String, String), Object>);

/// A name as names are compared.
fn fold(name: &str) -> String {
    name.trim_end_matches('.').to_uppercase()
}

fn key(name: &str, context: &str) -> (String, String) {
    (fold(name), context.to_uppercase())
}

/// The domain of a name, as domains are compared.
#[must_use]
pub fn domain(name: &str) -> String {
    let name = fold(name);
    name.rsplit_once('@')
        .map(|(_, domain)| domain.to_owned())
        .unwrap_or_default()
}

impl Store {
    /// All objects, by folded name and context.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.0.values()
    }

    /// Number of objects.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Makes a change.
    ///
    /// # Errors
    /// The code; nothing has changed.
    pub fn set(&mut self, call: &Call) -> Result<Counts, Code> {
        let key = key(&call.name, &call.context);
        let old = self.0.get(&key).cloned();
        let before = old.as_ref().map(|old| old.addresses.clone()).unwrap_or_default();
        let new = match (call.operation, old) {
            (Operation::Register, Some(old)) if call.multiple => Some(update(old, call)),
            (Operation::Register, _) => Some(overwrite(call)),
            (_, None) => return Err(SERVICE_NOT_FOUND),
            (operation, Some(mut object)) => {
                object
                    .addresses
                    .retain(|address| call.multiple && !call.addresses.contains(address));
                let none_left = object.addresses.is_empty();
                object.registered &= !none_left;
                (operation == Operation::Deregister || !none_left).then_some(object)
            }
        };
        let after = new.as_ref().map(|new| new.addresses.clone()).unwrap_or_default();
        match new {
            Some(new) => self.0.insert(key, new),
            None => self.0.remove(&key),
        };
        Ok(Counts {
            added: missing(&after, &before),
            removed: missing(&before, &after),
        })
    }

    /// Answers a question.
    ///
    /// # Errors
    /// The code that the first call for a record gets.
    pub fn look_up(&self, asked: &Question) -> Result<Vec<Object>, Code> {
        let (name, context) = key(&asked.name, &asked.context);
        // Nothing here ever has a service class, an alias or an unparsed rest.
        if asked.members != 0 && asked.members & ANSWERABLE == 0 {
            return Err(SERVICE_NOT_FOUND);
        }
        let all_contexts = asked.deep && context.is_empty();
        let known: Vec<&Object> = (self.0.iter())
            .filter(|(key, _)| key.0 == name && (all_contexts || key.1 == context))
            .map(|(_, object)| object)
            .collect();
        if known.is_empty() {
            return Err(SERVICE_NOT_FOUND);
        }
        let found: Vec<Object> = (known.into_iter())
            .filter(|object| asked.matches(object))
            .map(|object| asked.shown(object))
            .collect();
        if found.is_empty() { Err(NO_DATA) } else { Ok(found) }
    }
}

fn overwrite(call: &Call) -> Object {
    let mut object = Object {
        name: call.name.clone(),
        context: call.context.clone(),
        registered: true,
        version: call.version,
        comment: call.comment.clone(),
        blob: call.blob.clone().filter(|blob| !blob.is_empty()),
        addresses: Vec::new(),
    };
    add(&mut object.addresses, &call.addresses);
    object
}

fn update(mut object: Object, call: &Call) -> Object {
    object.registered = true;
    object.version = call.version.or(object.version);
    object.comment = call.comment.clone().or(object.comment);
    object.blob = call.blob.clone().or(object.blob).filter(|blob| !blob.is_empty());
    add(&mut object.addresses, &call.addresses);
    object
}

fn add(addresses: &mut Vec<Address>, given: &[Address]) {
    for address in given {
        if !addresses.contains(address) {
            addresses.push(*address);
        }
    }
}

fn missing(from: &[Address], other: &[Address]) -> u32 {
    let missing = from.iter().filter(|address| !other.contains(address)).count();
    u32::try_from(missing).unwrap_or(u32::MAX)
}

const NAME: u32 = 0x10;
const VERSION: u32 = 0x40;
const COMMENT: u32 = 0x80;
const ADDRESSES: u32 = 0x100;
const BLOB: u32 = 0x200;
const ANSWERABLE: u32 = NAME | VERSION | COMMENT | ADDRESSES | BLOB;

impl Question {
    fn accepts(&self, address: &Address) -> bool {
        let family = if address.socket.is_ipv4() { 2 } else { 23 };
        let protocol = if address.datagram { 17 } else { 6 };
        let fits = |asked: i32, has: i32| asked == 0 || asked == has;
        self.protocols.is_empty()
            || (self.protocols.iter()).any(|asked| fits(asked.0, family) && fits(asked.1, protocol))
    }

    fn matches(&self, object: &Object) -> bool {
        let version = object.version.unwrap_or(0);
        let wanted_version = match self.version {
            None => true,
            Some((asked, true)) => version >= asked,
            Some((asked, false)) => version == asked,
        };
        let any_address = object.addresses.iter().any(|address| self.accepts(address));
        object.registered
            && wanted_version
            && (self.protocols.is_empty() || any_address)
            // Whoever asks for addresses only is not told of an object that has none.
            && (self.members & ANSWERABLE != ADDRESSES || !object.addresses.is_empty())
    }

    fn shown(&self, object: &Object) -> Object {
        let asked = |member: u32| self.members & member != 0;
        let addresses = object
            .addresses
            .iter()
            .filter(|address| asked(ADDRESSES) && self.accepts(address));
        Object {
            name: if asked(NAME) {
                object.name.clone()
            } else {
                String::new()
            },
            context: object.context.clone(),
            registered: true,
            version: object.version.filter(|_| asked(VERSION)),
            comment: object.comment.clone().filter(|_| asked(COMMENT)),
            blob: object.blob.clone().filter(|_| asked(BLOB)),
            addresses: addresses.copied().collect(),
        }
    }
}

/// A namespace provider: what it claims, and what it has stored.
#[derive(Clone, Debug, Default)]
pub struct Provider {
    /// The domains that it is primary for, folded.
    pub primary: Vec<String>,
    /// The domains that it is secondary for, folded.
    pub secondary: Vec<String>,
    /// It takes names of all other domains too.
    pub wildcard: bool,
    /// Its objects.
    pub store: Store,
}

/// The providers of a machine, in the order of the catalogue; all of them are enabled and there.
#[derive(Clone, Debug, Default)]
pub struct World(pub Vec<Provider>);

/// What a change that succeeded did, over all providers that made it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// How many providers made it.
    pub providers: u32,
    /// How many addresses came and went at all of them.
    pub counts: Counts,
}

impl World {
    /// The providers that are asked about a name, in that order.
    fn chain(&self, name: &str, directed: Option<usize>) -> Vec<usize> {
        if let Some(provider) = directed {
            return vec![provider];
        }
        let domain = domain(name);
        let claims = |domains: &Vec<String>| domains.contains(&domain);
        let of = |wanted: &dyn Fn(&Provider) -> bool| -> Vec<usize> {
            (0..self.0.len())
                .filter(|&number| wanted(&self.0[number]))
                .collect()
        };
        let primary = of(&|provider| claims(&provider.primary)).into_iter().take(1);
        let secondary = of(&|provider| claims(&provider.secondary));
        let mut chain: Vec<usize> = primary.chain(secondary).collect();
        for number in of(&|provider| provider.wildcard) {
            if !chain.contains(&number) {
                chain.push(number);
            }
        }
        chain
    }

    /// Makes a change.
    ///
    /// # Errors
    /// The code; nothing has changed.
    pub fn set(&mut self, call: &Call) -> Result<Done, Code> {
        let mut done = Done::default();
        for number in self.chain(&call.name, call.provider) {
            let Ok(counts) = self.0[number].store.set(call) else {
                continue;
            };
            done.providers += 1;
            done.counts.added += counts.added;
            done.counts.removed += counts.removed;
            // A registration is made once; a removal sweeps all copies.
            if call.operation == Operation::Register {
                break;
            }
        }
        if done.providers == 0 {
            Err(SERVICE_NOT_FOUND)
        } else {
            Ok(done)
        }
    }

    /// Answers a question: records with the number of the provider that each is from.
    ///
    /// # Errors
    /// The code of a look-up that finds nothing.
    pub fn look_up(&self, asked: &Question) -> Result<Vec<(usize, Object)>, Code> {
        let mut found = Vec::new();
        let mut code = SERVICE_NOT_FOUND;
        for number in self.chain(&asked.name, asked.provider) {
            match self.0[number].store.look_up(asked) {
                Ok(objects) => {
                    found.extend(objects.into_iter().map(|object| (number, object)));
                    if !asked.non_authoritative {
                        break;
                    }
                }
                // That the name is known says more than that it is not.
                Err(NO_DATA) => code = NO_DATA,
                Err(_) => {}
            }
        }
        if found.is_empty() { Err(code) } else { Ok(found) }
    }
}
