//! What the pool of a machine knows about its blocks.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    ptr::NonNull,
    sync::{Arc, RwLock},
};

use super::{
    PoolUsage,
    block::{self, Form, Tag},
    lookaside::Lookaside,
    tally::{Tallies, Tally},
};
use crate::{
    DriverName, Machine, nmr,
    sync::StateLock,
    thread,
    verifier::{self, CallSite, Finding, Rule},
};

/// How many bytes of freed blocks are kept back.
const QUARANTINE_BYTES: usize = 8 << 20;
/// How many freed blocks are kept back.
const QUARANTINE_BLOCKS: usize = 4096;

/// What the pool knows about an address.
#[derive(Clone, Debug)]
pub enum BlockState {
    /// It lies in no block that is known.
    Unknown,
    /// It lies in a live block.
    Live {
        /// The tag of the block.
        tag: Tag,
        /// Where it was allocated.
        allocated: CallSite,
    },
    /// It lies in a block that was freed lately.
    Freed {
        /// The tag of the block.
        tag: Tag,
        /// Where it was allocated.
        allocated: CallSite,
        /// Where it was freed.
        freed: CallSite,
    },
}

/// A live block.
#[derive(Clone, Debug)]
struct Live {
    size: usize,
    tag: Tag,
    driver: Option<DriverName>,
    paged: bool,
    site: CallSite,
}

/// A freed block that is kept back.
#[derive(Clone, Debug)]
struct Freed {
    address: usize,
    live: Live,
    site: CallSite,
    by: Option<(DriverName, &'static str)>,
    /// What it was to the registrar, if it was anything.
    past: Option<nmr::Past>,
    reported: bool,
}

#[derive(Debug, Default)]
struct Blocks {
    live: BTreeMap<usize, Live>,
    quarantine: VecDeque<Freed>,
    quarantined: usize,
}

/// The pool of a machine.
#[derive(Debug)]
pub(crate) struct State {
    verifier: bool,
    /// With guards, freed blocks are kept back as well.
    form: Form,
    tallies: Tallies,
    blocks: StateLock<Blocks>,
    drivers: RwLock<Vec<([u8; 3], DriverName)>>,
}

/// What the pool keeps for a thread of its machine.
#[derive(Debug)]
pub(crate) struct OfThread {
    tally: Arc<Tally>,
    lookaside: Lookaside,
}

impl OfThread {
    /// Allocates a block that the thread has freed, if there is one.
    #[inline]
    pub(crate) fn reuse(&self, size: usize, tag: u32, zero: bool) -> Option<NonNull<u8>> {
        let user = self.lookaside.take(size)?;
        // SAFETY: the block has room for as many bytes, and nobody else has it.
        unsafe { block::begin(user, size, tag, zero) };
        self.tally.allocated(size);
        Some(user)
    }
}

/// Why a block is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub(super) size: usize,
    pub(super) tag: u32,
    pub(super) zero: bool,
    pub(super) paged: bool,
}

impl State {
    pub(crate) fn new(verifier: bool, sanitizer: bool) -> Self {
        Self {
            verifier,
            form: match (sanitizer, verifier) {
                (true, _) => Form::Exact,
                (false, true) => Form::Guarded,
                (false, false) => Form::Rounded,
            },
            tallies: Tallies::default(),
            blocks: StateLock::default(),
            drivers: RwLock::default(),
        }
    }

    /// Attributes pool under tags of a prefix to a driver.
    pub(crate) fn add_driver(&self, prefix: [u8; 3], driver: DriverName) {
        let mut drivers = self
            .drivers
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        drivers.retain(|(known, _)| *known != prefix);
        drivers.push((prefix, driver));
    }

    fn driver_of(&self, tag: u32) -> Option<DriverName> {
        let [a, b, c, _] = Tag(tag).characters();
        let drivers = self
            .drivers
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        drivers
            .iter()
            .find(|(prefix, _)| *prefix == [a, b, c])
            .map(|(_, driver)| driver.clone())
    }

    pub(super) fn usage(&self) -> PoolUsage {
        self.tallies.usage()
    }

    /// A thread comes to the machine.
    pub(crate) fn begin_thread(&self) -> OfThread {
        OfThread {
            tally: self.tallies.begin(),
            lookaside: Lookaside::new(self.form),
        }
    }

    /// Such a thread goes.
    pub(crate) fn end_thread(&self, thread: &OfThread) {
        self.tallies.end(&thread.tally);
    }

    /// Tells whether rules are checked.
    pub(super) const fn is_verified(&self) -> bool {
        self.verifier
    }

    /// Allocates a block for a thread.
    pub(super) fn allocate(&self, thread: &OfThread, request: Request) -> Option<NonNull<u8>> {
        let Request { size, tag, zero, .. } = request;
        let user = block::take(size, tag, zero, self.form)?;
        thread.tally.allocated(size);
        if self.verifier {
            self.remember(user, request);
        }
        Some(user)
    }

    #[cold]
    fn remember(&self, user: NonNull<u8>, request: Request) {
        let live = Live {
            size: request.size,
            tag: Tag(request.tag),
            driver: self.driver_of(request.tag).or_else(thread::current_driver),
            paged: request.paged,
            site: CallSite::here(),
        };
        self.blocks
            .with(|blocks| blocks.live.insert(user.as_ptr().addr(), live));
    }

    /// Tells whether a live block came from paged pool, if rules are checked.
    pub(super) fn is_paged(&self, user: NonNull<u8>) -> bool {
        self.blocks.with(|blocks| {
            blocks
                .live
                .get(&user.as_ptr().addr())
                .is_some_and(|live| live.paged)
        })
    }

    /// Frees a block for a thread, while no rules are checked.
    ///
    /// # Safety
    ///
    /// `user` came from [`State::allocate`] and was not freed, and nobody uses it afterwards.
    #[inline]
    pub(super) unsafe fn free(&self, call: &'static str, thread: &OfThread, user: NonNull<u8>) {
        // SAFETY: the caller vouches for the block.
        let header = unsafe { block::header(user) };
        if !header.is_sound() {
            no_live_block(call, user);
        }
        thread.tally.freed(header.size);
        // SAFETY: as above; where blocks are not of the form that lists are for, there are no lists.
        if !unsafe { thread.lookaside.keep(user, header.size) } {
            // SAFETY: as above; the size is that of the allocation, or rounded to the same.
            unsafe { block::give_back(user, header.size, self.form) };
        }
    }

    /// Frees a block while rules are checked, so that any address will do; `tag` is zero if the caller does not name
    /// one.
    pub(super) fn free_checked(&self, call: &'static str, thread: &OfThread, user: NonNull<u8>, tag: u32) {
        let address = user.as_ptr().addr();
        let Some(live) = self.blocks.with(|blocks| blocks.live.remove(&address)) else {
            self.report_bad_free(call, address);
            return;
        };
        thread.tally.freed(live.size);
        let past = Machine::try_current().and_then(|machine| nmr::freed(&machine, call, address, live.size));
        if tag != 0 && Tag(tag) != live.tag {
            verifier::report(
                Rule::PoolWrongTag,
                Some(call),
                format!(
                    "{} bytes allocated under the tag {} were freed under the tag {}",
                    live.size,
                    live.tag,
                    Tag(tag)
                ),
                "free a block under the tag under which it was allocated",
            );
        }
        if self.form != Form::Guarded {
            // SAFETY: the block was live until this thread took it off the list.
            unsafe { block::give_back(user, live.size, self.form) };
            return;
        }
        // SAFETY: the block was live, with a guard, until this thread took it off the list.
        if !unsafe { block::guard_is_whole(user, live.size) } {
            report_overrun(call, address, &live);
        }
        // SAFETY: the block is no longer live, and its size is that of the allocation.
        unsafe { block::poison(user, live.size) };
        let by = thread::current_frame().map(|frame| (frame.driver, frame.callback));
        let freed = Freed {
            address,
            live,
            site: CallSite::here(),
            by,
            past,
            reported: false,
        };
        let evicted = self.blocks.with(|blocks| {
            blocks.quarantined += freed.live.size;
            blocks.quarantine.push_back(freed);
            let mut evicted = Vec::new();
            while blocks.quarantine.len() > QUARANTINE_BLOCKS || blocks.quarantined > QUARANTINE_BYTES {
                let Some(oldest) = blocks.quarantine.pop_front() else {
                    break;
                };
                blocks.quarantined -= oldest.live.size;
                evicted.push(oldest);
            }
            evicted
        });
        for block in evicted {
            if let Some(machine) = Machine::try_current()
                && let Some(finding) = written_after_free(&machine, &block)
            {
                verifier::report_finding(&machine, finding);
            }
            release(&block);
        }
    }

    fn report_bad_free(&self, call: &'static str, address: usize) {
        let earlier = self.blocks.with(|blocks| {
            blocks
                .quarantine
                .iter()
                .rev()
                .find(|freed| freed.address == address)
                .cloned()
        });
        match earlier {
            Some(freed) => verifier::report(
                Rule::PoolDoubleFree,
                Some(call),
                format!(
                    "{call} was called again for the {} bytes under the tag {} at {address:#x}, \
                     allocated at {} and freed before at {}",
                    freed.live.size,
                    freed.live.tag,
                    first_line(&freed.live.site),
                    first_line(&freed.site)
                ),
                "give each block one owner that frees it once",
            ),
            None => verifier::report(
                Rule::PoolMisuse,
                Some(call),
                format!("{call} was called with {address:#x}, where no pool block begins"),
                "pass the address that ExAllocatePool2 returned, unchanged",
            ),
        }
    }

    /// Tells of the live block that an address lies in, if it lies in one, whether it is paged.
    pub(crate) fn live_at(&self, address: usize) -> Option<bool> {
        self.blocks.with(|blocks| {
            let (start, live) = blocks.live.range(..=address).next_back()?;
            (address < start + live.size.max(1)).then_some(live.paged)
        })
    }

    pub(super) fn block_at(&self, address: usize) -> BlockState {
        self.blocks.with(|blocks| {
            let below = blocks.live.range(..=address).next_back();
            if let Some((start, live)) = below
                && address < start + live.size.max(1)
            {
                return BlockState::Live {
                    tag: live.tag,
                    allocated: live.site.clone(),
                };
            }
            blocks
                .quarantine
                .iter()
                .rev()
                .find(|freed| (freed.address..freed.address + freed.live.size.max(1)).contains(&address))
                .map_or(BlockState::Unknown, |freed| BlockState::Freed {
                    tag: freed.live.tag,
                    allocated: freed.live.site.clone(),
                    freed: freed.site.clone(),
                })
        })
    }

    /// Looks through the freed blocks that are still kept back.
    pub(crate) fn check_quarantine(&self, machine: &Machine) {
        let findings: Vec<Finding> = self.blocks.with(|blocks| {
            blocks
                .quarantine
                .iter_mut()
                .filter(|freed| !freed.reported)
                .filter_map(|freed| {
                    let finding = written_after_free(machine, freed)?;
                    freed.reported = true;
                    Some(finding)
                })
                .collect()
        });
        for finding in findings {
            verifier::report_finding(machine, finding);
        }
    }

    /// Reports what a driver that was unloaded did not free, by tag and call site.
    pub(crate) fn check_unloaded(&self, machine: &Machine, driver: &DriverName) {
        self.check_quarantine(machine);
        let leaked: Vec<(usize, Live)> = self.blocks.with(|blocks| {
            blocks
                .live
                .iter()
                .filter(|(_, live)| live.driver.as_ref() == Some(driver))
                .map(|(address, live)| (*address, live.clone()))
                .collect()
        });
        let mut groups: HashMap<(Tag, CallSite), (usize, usize)> = HashMap::new();
        for (address, live) in leaked {
            let group = groups.entry((live.tag, live.site.clone())).or_insert((0, 0));
            group.0 += 1;
            group.1 += live.size;
            // A leak is reported once, not again at the next unload of the same driver.
            self.blocks.with(|blocks| {
                if let Some(live) = blocks.live.get_mut(&address) {
                    live.driver = None;
                }
            });
        }
        let mut groups: Vec<_> = groups.into_iter().collect();
        groups.sort_by(|(a, _), (b, _)| a.cmp(b));
        for ((tag, site), (blocks, bytes)) in groups {
            verifier::report_finding(
                machine,
                Finding {
                    driver: Some(driver.clone()),
                    callback: Some("unload"),
                    thread: thread::current_thread(),
                    call: Some("ExAllocatePool2"),
                    site: Some(site),
                    ..Finding::new(
                        Rule::PoolLeak,
                        format!(
                            "{blocks} pool block(s), {bytes} bytes, under the tag {tag} were not freed; \
                         all were allocated at the place below"
                        ),
                        "free all pool before the unload routine, or an entry point that fails, \
                             returns"
                            .to_owned(),
                    )
                },
            );
        }
    }
}

#[cold]
fn no_live_block(call: &str, user: NonNull<u8>) -> ! {
    panic!("{call} was called with {user:p}, which is no live pool block")
}

impl Drop for State {
    fn drop(&mut self) {
        self.blocks.with(|blocks| {
            for freed in blocks.quarantine.drain(..) {
                release(&freed);
            }
            // What drivers did not free goes with the machine.
            for (address, live) in std::mem::take(&mut blocks.live) {
                if let Some(user) = at(address) {
                    // SAFETY: the block comes from `take`, as it was asked for here; nothing runs on the machine
                    // any more that could use it.
                    unsafe { block::give_back(user, live.size, self.form) };
                }
            }
        });
    }
}

fn first_line(site: &CallSite) -> String {
    site.lines()
        .into_iter()
        .next()
        .unwrap_or_else(|| "an unknown place".to_owned())
}

const fn at(address: usize) -> Option<NonNull<u8>> {
    NonNull::new(std::ptr::with_exposed_provenance_mut(address))
}

/// Gives a block that was kept back to the host.
fn release(freed: &Freed) {
    if let Some(user) = at(freed.address) {
        // SAFETY: the block was taken off the list of freed blocks, and comes from `take`, with a guard.
        unsafe { block::give_back(user, freed.live.size, Form::Guarded) };
    }
}

fn report_overrun(call: &'static str, address: usize, live: &Live) {
    verifier::report(
        Rule::PoolOverrun,
        Some(call),
        format!(
            "bytes behind the {} bytes under the tag {} at {address:#x} were overwritten; the block \
             was allocated at {}",
            live.size,
            live.tag,
            first_line(&live.site)
        ),
        "write no more than was allocated",
    );
}

fn written_after_free(machine: &Machine, freed: &Freed) -> Option<Finding> {
    let user = at(freed.address)?;
    // SAFETY: a block that is kept back was poisoned and is still allocated from the host.
    let offset = unsafe { block::first_written(user, freed.live.size) }?;
    let message = format!(
        "byte {offset} of {} bytes under the tag {} at {:#x} was written after the block was freed at the \
         place below; it was allocated at {}",
        freed.live.size,
        freed.live.tag,
        freed.address,
        first_line(&freed.live.site)
    );
    if let Some(past) = &freed.past {
        return Some(past.written(machine, &message, &freed.site));
    }
    let remedy = "free a block when the last user is done with it: count references, or wait for those who \
                  may still use it";
    Some(Finding {
        driver: freed.live.driver.clone(),
        callback: freed.by.as_ref().map(|(_, callback)| *callback),
        site: Some(freed.site.clone()),
        ..Finding::new(Rule::PoolWriteAfterFree, message, remedy)
    })
}
