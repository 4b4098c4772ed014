//! Whole look-ups, several at a time: `LookupServiceBatch` without the peer's memory.
//!
//! Each question is answered as a look-up would be that is begun, asked for all its records, and ended; nothing is left
//! open between. What such a look-up would have to hold back (objects of several contexts, the provider's own name) is
//! left to it.

use arrayvec::ArrayVec;
use nmr::sync::processor;
use nsemail_contract::codes::WsaCode;
use nsemail_contract::fault::WriteError;
use nsemail_contract::flags::LookupFlags;
use nsemail_contract::queryset::QuerySet;
use nsemail_contract::wire::{self, Tier};
use nsemail_kernel::irql::Passive;
use nsemail_kernel::region::CriticalRegion;
use pool_alloc::{OutOfMemory, Vec};

use crate::binding::Binding;
use crate::lookup;
use crate::memory::Open;
use crate::store::{Filter, Folding, Prepared, Query, RecordRef};

/// So many questions are looked up together: while memory is waited for on behalf of one, others are worked on.
pub const TOGETHER: usize = 8;

/// Bytes of the longest question that is answered in this way: a name, a short context, a few filters.
pub const QUESTION: usize = 512;

/// The answer to a question: its final code, and the bytes of its records.
pub type Answer = (WsaCode, usize);

/// A look-up for each of these is to be begun.
const BEGIN: WsaCode = WsaCode::WSAEOPNOTSUPP;

/// Where one question is worked on: a copy of what a peer asks, which it cannot change any more.
#[derive(Clone, Copy)]
pub struct Place {
    bytes: [u8; QUESTION],
    length: usize,
    folding: Folding,
}

impl Place {
    /// A place without a question.
    pub const EMPTY: Self = Self {
        bytes: [0; QUESTION],
        length: 0,
        folding: Folding::NEW,
    };

    /// Where a question of so many bytes is to be copied to; `None` if it is too long, and the place stays empty.
    pub fn question(&mut self, length: usize) -> Option<&mut [u8]> {
        self.length = 0;
        let bytes = self.bytes.get_mut(..length)?;
        self.length = length;
        Some(bytes)
    }
}

/// Places for several questions that are looked up together.
///
/// # Errors
///
/// No memory.
pub fn places() -> Result<Vec<Place, Open>, OutOfMemory> {
    let mut places = Vec::new_in(Open::default());
    places.try_resize(TOGETHER, Place::EMPTY)?;
    Ok(places)
}

/// An object that is to be looked up, and what is asked of it.
struct Asked<'p> {
    object: Prepared<'p>,
    filter: Filter<'p>,
}

/// Adds what the question in a place asks for.
///
/// # Errors
///
/// Why it is not looked up.
// Never inlined: what is read here would stay on the stack while the others are.
#[inline(never)]
fn prepare<'p>(
    binding: &Binding,
    place: &'p mut Place,
    flags: LookupFlags,
    asked: &mut ArrayVec<Asked<'p>, TOGETHER>,
) -> Result<(), WsaCode> {
    let Place {
        bytes,
        length,
        folding,
    } = place;
    let bytes = bytes
        .get(..*length)
        .filter(|bytes| !bytes.is_empty())
        .ok_or(BEGIN)?;
    let mut question = QuerySet::default();
    question.read_wire(bytes).map_err(|_| WsaCode::WSAEINVAL)?;
    match &Query::from_query(&question, flags) {
        Ok(Some(query)) if !query.is_deep() => {
            let object = binding.service().finder().prepare(query.key(), folding);
            let filter = query.filter();
            // There is room for all places.
            asked.try_push(Asked { object, filter }).map_err(|_| BEGIN)
        }
        Ok(_) => Err(BEGIN),
        Err(code) => Err(*code),
    }
}

// Never inlined, so that no frame has both the questions and a place for one.
/// Answers the questions in those places, at most as many as are looked up together. Their records stand in
/// `out`, one behind the other.
#[inline(never)]
pub fn answer(
    binding: &Binding,
    passive: Passive<'_>,
    places: &mut [Place],
    flags: LookupFlags,
    out: &mut [u8],
) -> [Answer; TOGETHER] {
    let provider = binding.service().provider();
    let effective = flags.effective(flags);
    let mut written = [(BEGIN, 0); TOGETHER];
    let mut asked = ArrayVec::<_, TOGETHER>::new();
    let mut answers = ArrayVec::<_, TOGETHER>::new();
    for (place, answer) in places.iter_mut().zip(&mut written) {
        match prepare(binding, place, flags, &mut asked) {
            Ok(()) => drop(answers.try_push(answer)),
            Err(code) => answer.0 = code,
        }
    }

    let mut questions = asked.iter().zip(answers);
    let mut end = 0_usize;
    let write = move |found: Option<&[u8]>| {
        let Some((Asked { filter, .. }, answer)) = questions.next() else {
            return;
        };
        let Some(found) = found else {
            answer.0 = WsaCode::WSASERVICE_NOT_FOUND;
            return;
        };
        let view = RecordRef::read(found);
        let matching = view.as_ref().filter(|view| filter.matches(view));
        let Some(view) = matching.filter(|view| lookup::answers(view, effective)) else {
            answer.0 = WsaCode::WSANO_DATA;
            return;
        };
        let mut record = wire::Record {
            tier: Tier::Directed,
            record: view.query_set(provider),
        };
        lookup::narrow(&mut record.record, filter.protocols(), effective);
        *answer = match record.write_entry(out.get_mut(end..).unwrap_or_default()) {
            Ok(size) => {
                end = end.saturating_add(size);
                (WsaCode::NO_ERROR, size)
            }
            Err(WriteError::TooSmall { .. }) => (WsaCode::WSAEFAULT, 0),
            // Nothing that a store takes is larger than the form can say.
            Err(WriteError::TooLarge) => (WsaCode::WSA_NOT_ENOUGH_MEMORY, 0),
        };
    };
    let _region = CriticalRegion::enter(passive);
    let finder = binding.service().finder();
    finder.find_together(processor(), asked.iter().map(|asked| &asked.object), write);
    written
}
