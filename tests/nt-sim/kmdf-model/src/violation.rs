//! Rules of the framework that a driver broke.

use core::fmt;

use crate::{DriverId, handle::Kind};

/// A rule that a driver broke, and in which call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Whose fault it is, as far as can be told.
    pub driver: Option<DriverId>,
    /// The function that was called, or the event in which the model found it.
    pub call: &'static str,
    /// Which rule.
    pub rule: Rule,
}

/// The rules that the model watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rule {
    /// The function may not be called at this IRQL.
    IrqlTooHigh {
        /// The level of the call.
        irql: u8,
        /// The highest level that its documentation allows.
        highest: u8,
    },
    /// This was never a handle of the framework.
    UnknownHandle {
        /// The value that was passed.
        handle: usize,
    },
    /// The handle names an object of another type.
    WrongHandleType {
        /// The value that was passed.
        handle: usize,
        /// What the object is.
        found: Kind,
        /// What the function takes.
        expected: Kind,
    },
    /// The object that the handle named is gone.
    UseAfterDestroy {
        /// The value that was passed.
        handle: usize,
        /// What the object was.
        kind: Kind,
    },
    /// A parameter that must not be null is.
    NullParameter {
        /// Which one.
        parameter: &'static str,
    },
    /// The `Size` member of a structure is not that of KMDF 1.31.
    WrongSize {
        /// Which structure.
        structure: &'static str,
        /// What the driver says.
        size: usize,
        /// What it is.
        expected: usize,
    },
    /// The driver asks for something that is part of KMDF, but not of this model.
    Unsupported {
        /// What it asks for.
        feature: &'static str,
    },
    /// A value or combination that the documentation excludes.
    InvalidParameter {
        /// What is wrong.
        reason: &'static str,
    },
    /// The request was completed before.
    CompletedTwice {
        /// The request's handle.
        request: usize,
    },
    /// The request was used after it was completed.
    UsedAfterCompletion {
        /// The request's handle.
        request: usize,
    },
    /// The request was completed while it was marked cancelable, outside its cancel callback.
    CompletedWhileCancelable {
        /// The request's handle.
        request: usize,
    },
    /// The request was completed after the framework had decided to call its cancel callback, but
    /// before it was called.
    CompletedBeforeCancelCallback {
        /// The request's handle.
        request: usize,
    },
    /// The request is in a queue, and not the driver's.
    NotOwned {
        /// The request's handle.
        request: usize,
    },
    /// The request was completed with `STATUS_PENDING`.
    CompletedPending {
        /// The request's handle.
        request: usize,
    },
    /// More bytes were reported than the output buffer holds.
    InformationTooLarge {
        /// What the driver said.
        information: usize,
        /// What the buffer holds.
        output_length: usize,
    },
    /// The object may not be deleted by the driver, or is being deleted already.
    CannotDelete {
        /// The object's handle.
        handle: usize,
        /// What the object is.
        kind: Kind,
    },
    /// More references were given back than taken.
    TooManyDereferences {
        /// The object's handle.
        handle: usize,
    },
    /// The lock is not held, or is held by another thread.
    LockNotHeld {
        /// The lock's handle.
        lock: usize,
    },
    /// The driver is gone, and the object still has references.
    ReferenceLeaked {
        /// The object's handle.
        handle: usize,
        /// What the object is.
        kind: Kind,
        /// How many references are left.
        references: u32,
    },
    /// The driver is gone, and a device-initialising structure was neither used nor freed.
    DeviceInitLeaked,
    /// The driver is gone, and has not completed a request.
    RequestLeaked {
        /// The request's handle.
        request: usize,
    },
    /// The driver is gone, and a file of its device is still open.
    FileOpenAtUnload {
        /// The file object's handle.
        file: usize,
    },
    /// The I/O manager closed a file that still has requests under way.
    FileClosedWithRequests {
        /// The file object's handle.
        file: usize,
    },
}

impl Violation {
    /// Tells whether the real framework would stop the machine (bug check `WDF_VIOLATION`), or the
    /// machine would be likely to fail on its own.
    #[must_use]
    pub const fn is_fatal(&self) -> bool {
        !matches!(
            self.rule,
            Rule::WrongSize { .. }
                | Rule::Unsupported { .. }
                | Rule::InvalidParameter { .. }
                | Rule::ReferenceLeaked { .. }
                | Rule::DeviceInitLeaked
        )
    }
}

impl Rule {
    /// Says what the driver is to do instead.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::IrqlTooHigh { .. } => {
                "call it where the IRQL is low enough: before a spin lock is taken, or from a thread \
                 of the driver"
            }
            Self::UnknownHandle { .. } | Self::WrongHandleType { .. } => {
                "pass the handle that the framework gave, to the functions of its type"
            }
            Self::UseAfterDestroy { .. } => {
                "keep a reference for as long as the handle is kept, or forget the handle when the \
                 object is deleted"
            }
            Self::NullParameter { .. } => "pass what the documentation of the function asks for",
            Self::WrongSize { .. } => "set Size to the size of the structure",
            Self::Unsupported { .. } => "do without it, or teach it to the model",
            Self::InvalidParameter { .. } => "keep to the documentation of the function",
            Self::CompletedTwice { .. } | Self::UsedAfterCompletion { .. } | Self::NotOwned { .. } => {
                "let one owner of the request complete it, and forget its handle before"
            }
            Self::CompletedWhileCancelable { .. } => {
                "complete the request only if WdfRequestUnmarkCancelable returned STATUS_SUCCESS"
            }
            Self::CompletedBeforeCancelCallback { .. } => {
                "when WdfRequestUnmarkCancelable returned STATUS_CANCELLED, leave the completion to \
                 EvtRequestCancel"
            }
            Self::CompletedPending { .. } => "complete requests with a final status",
            Self::InformationTooLarge { .. } => {
                "report at most the length that WdfRequestRetrieveOutputBuffer gave"
            }
            Self::CannotDelete { .. } => "leave the deletion to the framework",
            Self::TooManyDereferences { .. } | Self::ReferenceLeaked { .. } => {
                "match every WdfObjectReference with one WdfObjectDereference"
            }
            Self::LockNotHeld { .. } => "release the lock on the thread that acquired it, once",
            Self::DeviceInitLeaked => "call WdfDeviceInitFree when WdfDeviceCreate was not reached or failed",
            Self::RequestLeaked { .. } => "complete every request that the driver was given",
            Self::FileOpenAtUnload { .. } => "do not delete a device while a file of it is open",
            Self::FileClosedWithRequests { .. } => "close a file when its requests are completed",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.call, self.rule)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IrqlTooHigh { irql, highest } => write!(
                f,
                "called at IRQL {irql}, but the highest level that it allows is {highest}"
            ),
            Self::UnknownHandle { handle } => {
                write!(f, "{handle:#x} is not a handle of the framework")
            }
            Self::WrongHandleType {
                handle,
                found,
                expected,
            } => {
                write!(f, "{handle:#x} is a {found}, and a {expected} is needed")
            }
            Self::UseAfterDestroy { handle, kind } => {
                write!(f, "{kind} {handle:#x} does not exist any more")
            }
            Self::NullParameter { parameter } => write!(f, "{parameter} must not be null"),
            Self::WrongSize {
                structure,
                size,
                expected,
            } => write!(
                f,
                "the Size member of {structure} is {size}, and should be {expected}"
            ),
            Self::Unsupported { feature } => {
                write!(f, "the model of KMDF does not support {feature}")
            }
            Self::InvalidParameter { reason } => f.write_str(reason),
            Self::CompletedTwice { request } => {
                write!(f, "request {request:#x} was completed before")
            }
            Self::UsedAfterCompletion { request } => {
                write!(f, "request {request:#x} is used after its completion")
            }
            Self::CompletedWhileCancelable { request } => write!(
                f,
                "request {request:#x} is completed while it is marked cancelable; \
                 WdfRequestUnmarkCancelable must have succeeded first"
            ),
            Self::CompletedBeforeCancelCallback { request } => write!(
                f,
                "request {request:#x} is completed although it was cancelled and its \
                 EvtRequestCancel is yet to be called"
            ),
            Self::NotOwned { request } => {
                write!(f, "request {request:#x} does not belong to the driver")
            }
            Self::CompletedPending { request } => {
                write!(f, "request {request:#x} is completed with STATUS_PENDING")
            }
            Self::InformationTooLarge {
                information,
                output_length,
            } => write!(
                f,
                "{information} bytes are reported, but the output buffer holds {output_length}"
            ),
            Self::CannotDelete { handle, kind } => {
                write!(f, "{kind} {handle:#x} may not be deleted by the driver now")
            }
            Self::TooManyDereferences { handle } => {
                write!(f, "object {handle:#x} is dereferenced more often than referenced")
            }
            Self::LockNotHeld { lock } => write!(
                f,
                "spin lock {lock:#x} is released by a thread that does not hold it"
            ),
            Self::ReferenceLeaked {
                handle,
                kind,
                references,
            } => write!(
                f,
                "{kind} {handle:#x} still has {references} reference(s) that the driver took"
            ),
            Self::DeviceInitLeaked => {
                f.write_str("a WDFDEVICE_INIT was neither turned into a device nor freed")
            }
            Self::RequestLeaked { request } => {
                write!(f, "request {request:#x} was never completed")
            }
            Self::FileOpenAtUnload { file } => {
                write!(f, "the driver is gone while file {file:#x} is open")
            }
            Self::FileClosedWithRequests { file } => {
                write!(f, "file {file:#x} is closed while it has requests under way")
            }
        }
    }
}
