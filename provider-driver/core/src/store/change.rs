//! `SetServiceEx`: what an operation makes of an object.
//!
//! [`Change::from_query`] validates everything that a caller said, before anything happens; [`Change::apply`] then
//! maps the object as it was to the object as it will be, or to an error, and touches nothing itself. The rules are
//! the table of NSPv2's `SetServiceEx` page:
//!
//! | operation | `SERVICE_MULTIPLE` | object exists | does not exist |
//! |---|---|---|---|
//! | register | no | overwritten: the given addresses only | created |
//! | register | yes | updated: the given addresses too | created |
//! | deregister | no | kept without addresses, deregistered | `WSASERVICE_NOT_FOUND` |
//! | deregister | yes | without the given addresses; deregistered only if none is left | `WSASERVICE_NOT_FOUND` |
//! | delete | no | removed | `WSASERVICE_NOT_FOUND` |
//! | delete | yes | without the given addresses; removed only if none is left | `WSASERVICE_NOT_FOUND` |
//!
//! and, where that is silent, the numbered decisions that the tests name.

use nsemail_contract::address::{Address, AddressError};
use nsemail_contract::codes::WsaCode;
use nsemail_contract::dispatch::SetInformation;
use nsemail_contract::flags::{Operation, SetFlags};
use nsemail_contract::ids;
use nsemail_contract::queryset::{Addresses, QuerySet};
use pool_alloc::{Allocator, OutOfMemory};

use super::key::Key;
use super::limits::Limits;
use super::record::{AddressSet, EncodeError, Fields, Record, RecordRef, State};

/// An operation that is valid and owns all that it needs.
#[derive(Debug)]
pub struct Change<A: Allocator> {
    operation: Operation,
    multiple: bool,
    /// What was given, as the record that a registration without `SERVICE_MULTIPLE` makes of it; only that an empty
    /// blob, which asks for none, is still told from an absent one.
    given: Record<A>,
}

/// What becomes of the object.
#[derive(Debug)]
pub enum Effect<A: Allocator> {
    /// It stays as it is.
    Keep,
    /// It is now this.
    Put(Record<A>),
    /// It is gone.
    Remove,
}

/// The result of a change that is allowed.
#[derive(Debug)]
pub struct Outcome<A: Allocator> {
    /// What becomes of the object.
    pub effect: Effect<A>,
    /// How many addresses came and went.
    pub counts: SetInformation,
}

impl<A: Allocator + Clone> Change<A> {
    /// Validates a call.
    ///
    /// # Errors
    ///
    /// `WSAEOPNOTSUPP` for an unknown operation, `WSAEINVAL` for everything else that is wrong with the call,
    /// `WSA_NOT_ENOUGH_MEMORY`.
    pub fn from_query(
        operation: u32,
        flags: u32,
        query: &QuerySet<'_>,
        limits: &Limits,
        alloc: A,
    ) -> Result<Self, WsaCode> {
        let operation = Operation::from_u32(operation).ok_or(WsaCode::WSAEOPNOTSUPP)?;
        let flags = SetFlags::from_bits(flags).ok_or(WsaCode::WSAEINVAL)?;
        let name = query.name.ok_or(WsaCode::WSAEINVAL)?;
        Address::parse(name).map_err(AddressError::set_code)?;
        let oversize = query.over_limit().is_some()
            || query.addresses.len() > usize::from(limits.addresses)
            || query
                .blob
                .is_some_and(|blob| blob.len() as u64 > u64::from(limits.blob));
        if oversize || !matches!(query.namespace, ids::NS_ALL | ids::NS_EMAIL) {
            return Err(WsaCode::WSAEINVAL);
        }
        let mut addresses = AddressSet::new_in(alloc.clone());
        for address in query.addresses {
            let normal = address.normalize().map_err(|_| WsaCode::WSAEINVAL)?;
            addresses.try_insert(&normal).map_err(code)?;
        }
        let fields = Fields {
            name,
            context: query.context.unwrap_or_default(),
            state: State::Registered,
            version: query.version.map(|version| version.version),
            comment: query.comment,
            blob: query.blob,
        };
        let given = Record::try_new_in(&fields, &addresses, alloc).map_err(code)?;
        Ok(Self {
            operation,
            multiple: flags.contains(SetFlags::MULTIPLE),
            given,
        })
    }

    /// The object that the change is about.
    #[must_use]
    pub fn key(&self) -> Key<'_> {
        Key::of(&self.given.view())
    }

    /// The object's name and context alone, as a record.
    ///
    /// # Errors
    ///
    /// No memory.
    pub fn try_key_record(&self, alloc: A) -> Result<Record<A>, OutOfMemory> {
        let given = self.given.view().fields();
        let fields = Fields {
            version: None,
            comment: None,
            blob: None,
            ..given
        };
        Record::try_new_in(&fields, &AddressSet::new_in(alloc.clone()), alloc).map_err(|_| OutOfMemory)
    }

    /// What the change makes of the object, which is `old` now, or does not exist.
    ///
    /// # Errors
    ///
    /// `WSASERVICE_NOT_FOUND` if it has to exist; `WSA_NOT_ENOUGH_MEMORY`, also if it would get more addresses than
    /// an object may have.
    pub fn apply(
        &self,
        old: Option<RecordRef<'_>>,
        limits: &Limits,
        alloc: &A,
    ) -> Result<Outcome<A>, WsaCode> {
        match (self.operation, old) {
            (Operation::Register, Some(old)) if self.multiple => self.update(&old, limits, alloc),
            (Operation::Register, old) => self.overwrite(old.as_ref(), alloc),
            (_, None) => Err(WsaCode::WSASERVICE_NOT_FOUND),
            (operation, Some(old)) => {
                let removing = operation == Operation::Delete;
                if self.multiple {
                    self.subtract(&old, removing, alloc)
                } else {
                    Self::withdraw(&old, removing, alloc)
                }
            }
        }
    }

    /// Register: only what was given.
    fn overwrite(&self, old: Option<&RecordRef<'_>>, alloc: &A) -> Result<Outcome<A>, WsaCode> {
        let given = self.given.view();
        let before = old.map_or(Addresses::NONE, RecordRef::addresses);
        let counts = counts(before, given.addresses());
        let record = if given.fields().blob.is_some_and(<[u8]>::is_empty) {
            let fields = Fields {
                blob: None,
                ..given.fields()
            };
            let addresses = collect(given.addresses(), Addresses::NONE, alloc)?;
            Record::try_new_in(&fields, &addresses, alloc.clone()).map_err(code)?
        } else {
            self.given.clone()
        };
        let effect = if old == Some(&record.view()) {
            Effect::Keep
        } else {
            Effect::Put(record)
        };
        Ok(Outcome { effect, counts })
    }

    /// Register, `SERVICE_MULTIPLE`, object exists: what was given, added to what is there.
    fn update(&self, old: &RecordRef<'_>, limits: &Limits, alloc: &A) -> Result<Outcome<A>, WsaCode> {
        let (given, present) = (self.given.view(), old.fields());
        let mut addresses = collect(old.addresses(), Addresses::NONE, alloc)?;
        for address in given.addresses() {
            insert(&mut addresses, &address)?;
        }
        if addresses.len() > limits.addresses {
            return Err(WsaCode::WSA_NOT_ENOUGH_MEMORY);
        }
        let fields = Fields {
            state: State::Registered,
            version: given.fields().version.or(present.version),
            comment: given.fields().comment.or(present.comment),
            blob: given
                .fields()
                .blob
                .or(present.blob)
                .filter(|blob| !blob.is_empty()),
            ..present
        };
        Self::put(&fields, old, &addresses, alloc)
    }

    /// Deregister and delete without `SERVICE_MULTIPLE`: all addresses, whichever were given.
    fn withdraw(old: &RecordRef<'_>, removing: bool, alloc: &A) -> Result<Outcome<A>, WsaCode> {
        if removing {
            return Ok(Outcome {
                effect: Effect::Remove,
                counts: counts(old.addresses(), Addresses::NONE),
            });
        }
        let fields = Fields {
            state: State::Deregistered,
            ..old.fields()
        };
        Self::put(&fields, old, &AddressSet::new_in(alloc.clone()), alloc)
    }

    /// Deregister and delete with `SERVICE_MULTIPLE`: the given addresses, and the object's standing if none is left.
    fn subtract(&self, old: &RecordRef<'_>, removing: bool, alloc: &A) -> Result<Outcome<A>, WsaCode> {
        let left = collect(old.addresses(), self.given.view().addresses(), alloc)?;
        match (left.is_empty(), removing) {
            (true, true) => Ok(Outcome {
                effect: Effect::Remove,
                counts: counts(old.addresses(), Addresses::NONE),
            }),
            (true, false) => {
                let fields = Fields {
                    state: State::Deregistered,
                    ..old.fields()
                };
                Self::put(&fields, old, &left, alloc)
            }
            (false, _) => Self::put(&old.fields(), old, &left, alloc),
        }
    }

    fn put(
        fields: &Fields<'_>,
        old: &RecordRef<'_>,
        addresses: &AddressSet<A>,
        alloc: &A,
    ) -> Result<Outcome<A>, WsaCode> {
        let record = Record::try_new_in(fields, addresses, alloc.clone()).map_err(code)?;
        let effect = if record.view() == *old {
            Effect::Keep
        } else {
            Effect::Put(record)
        };
        Ok(Outcome {
            effect,
            counts: counts(old.addresses(), addresses.addresses()),
        })
    }
}

/// The addresses of `all` that are not among `without`.
fn collect<A: Allocator + Clone>(
    all: Addresses<'_>,
    without: Addresses<'_>,
    alloc: &A,
) -> Result<AddressSet<A>, WsaCode> {
    let mut set = AddressSet::new_in(alloc.clone());
    for address in all {
        if !without.iter().any(|excluded| excluded == address) {
            insert(&mut set, &address)?;
        }
    }
    Ok(set)
}

fn insert<A: Allocator>(
    set: &mut AddressSet<A>,
    address: &nsemail_contract::sockaddr::CsAddr<'_>,
) -> Result<(), WsaCode> {
    // What a record holds is in normal form, which normalising leaves as it is.
    let normal = address.normalize().map_err(|_| WsaCode::WSAEINVAL)?;
    set.try_insert(&normal).map_err(code)?;
    Ok(())
}

fn counts(before: Addresses<'_>, after: Addresses<'_>) -> SetInformation {
    let missing = |from: Addresses<'_>, other: Addresses<'_>| {
        let missing = from
            .iter()
            .filter(|address| !other.iter().any(|present| present == *address));
        u16::try_from(missing.count()).unwrap_or(u16::MAX)
    };
    SetInformation {
        added: missing(after, before),
        removed: missing(before, after),
    }
}

/// The Winsock code of a record that could not be packed.
const fn code(error: EncodeError) -> WsaCode {
    match error {
        EncodeError::TooLong => WsaCode::WSAEINVAL,
        EncodeError::OutOfMemory => WsaCode::WSA_NOT_ENOUGH_MEMORY,
    }
}
